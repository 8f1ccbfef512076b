"""An SSH server that counts connections and every attempt to log in. It lets the right key in."""

import contextlib
import io
import socket
import threading
from typing import Self

import paramiko  # noqa: TID251  # it plays the other side, whom nothing else lets us count
from paramiko.common import (  # noqa: TID251  # same
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_SUCCEEDED,
)

from buildboard.core.crypto import generate_ssh_key_pair
from servers.host_keys import HostKey, key_of_blob
from tests.listening import Listener
from tests.waiting import wait_for


class CountingServer(paramiko.ServerInterface):
    """`with CountingServer() as server:`; `attempts` are (method, user), in their order."""

    def __init__(self) -> None:
        self.attempts: list[tuple[str, str]] = []
        self.connections = 0
        self.private_key, self.public_key = generate_ssh_key_pair("client")
        self._host_key = self._new_host_key()
        self._listener = Listener()
        self.port = self._listener.port
        self._transports: list[paramiko.Transport] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for transport in self._transports:
            transport.close()

    @property
    def host_key(self) -> HostKey:
        """The one that it shows now."""
        return key_of_blob(self._host_key.asbytes())

    def change_host_key(self) -> None:
        """Show another one from the next connection on."""
        self._host_key = self._new_host_key()

    def all_attempts(self) -> list[tuple[str, str]]:
        """The attempts, once every connection has ended: none can come after."""
        wait_for(
            lambda: (
                len(self._transports) == self.connections and not any(t.is_alive() for t in self._transports)
            )
        )
        return self.attempts

    def end_connections(self) -> None:
        """End those of now."""
        for transport in self._transports:
            transport.close()

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password"

    def check_auth_none(self, username: str) -> int:
        self.attempts.append(("none", username))
        return AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        self.attempts.append(("password", username))
        return AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.attempts.append(("publickey", username))
        right = key.get_base64() == self.public_key.split()[1]
        return AUTH_SUCCESSFUL if right else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._answer, args=(channel,), daemon=True).start()
        return True

    def _answer(self, channel: paramiko.Channel) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            channel.sendall(b"here\n")
            channel.send_exit_status(0)
            channel.close()

    def _accept(self) -> None:
        for client in self._listener.clients():
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        transport = paramiko.Transport(client)
        self._transports.append(transport)
        transport.add_server_key(self._host_key)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(server=self)

    def _new_host_key(self) -> paramiko.PKey:
        return paramiko.Ed25519Key.from_private_key(io.StringIO(generate_ssh_key_pair("host")[0]))
