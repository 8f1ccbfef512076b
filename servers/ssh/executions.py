"""One command on a channel: its input, output and end, none of them waited for without a bound.

It is not in charge of the channel's coming and going (keeper.py), nor of what the command is (commands.py).
"""

import contextlib
import os
import time

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

from servers.ssh.dialling import LIBRARY_ERRORS
from servers.transport import BadReply, TransportTimeout, Unreachable

_CHUNK_BYTES = 8 << 20  # what the library has gathered is moved for each piece, so a piece is all of it
_PACKET_BYTES = 32 << 10
_GATHER_SECONDS = 0.001  # while much flows, so that its thread and ours do not take turns for every packet
_STDERR_BYTES = 64 << 10
_LOOK_SECONDS = 0.02  # how long output is waited for while there is input to send or errors to take
_LOOK_SELDOM_SECONDS = 0.25

_fork = 0


def _count_fork() -> None:
    global _fork
    _fork += 1


os.register_at_fork(after_in_child=_count_fork)


def process_key() -> tuple[int, int]:
    """This process: another one in every fork, even if it were to get a pid of before."""
    return os.getpid(), _fork


# Kept so that a fork never collects one: a collected channel says good-bye on its parent's connection.
_open_channels: set[paramiko.Channel] = set()


class Execution:
    """A command that runs over a channel; `close` it always. Raises TransportError and what paramiko does.

    With `stdin` the command must read all of it before it ends (commands.py sees to that): input or its end that
    comes after a command's end makes OpenSSH cut the whole connection.
    """

    def __init__(self, channel: paramiko.Channel, *, stdin: bytes) -> None:
        self.stderr = bytearray()
        self.received_bytes = 0
        self._channel = channel
        self._transport = channel.get_transport()
        self._unsent = memoryview(stdin)
        self._process = process_key()
        self._flows = False
        _open_channels.add(channel)

    def start(self, line: str) -> None:
        """Ask for the command; its answer, and whether it is refused at all, shows in what comes after.

        The library's own call would wait for that without a bound, and would cost a round trip more.
        """
        request = paramiko.Message()
        request.add_byte(cMSG_CHANNEL_REQUEST)
        request.add_int(self._channel.remote_chanid)
        request.add_string("exec")
        request.add_boolean(True)  # a refusal then closes the channel
        request.add_string(line)
        self._transport._send_user_message(request)  # type: ignore[attr-defined]  # as Channel itself does

    def read(self, *, until: float) -> bytes:
        """The next piece of output, b"" at its end. Input and errors travel meanwhile, so neither can stall it."""
        look = _LOOK_SECONDS
        if self._flows and not self._unsent:
            time.sleep(_GATHER_SECONDS)
        while True:
            self._take_errors()
            if self._unsent:
                self._send(until=until)
                if self._unsent and not self._channel.recv_ready():
                    continue
            self._channel.settimeout(min(look, _left(until)))
            try:
                piece = self._channel.recv(_CHUNK_BYTES)
            except TimeoutError:
                look = min(look * 2, _LOOK_SELDOM_SECONDS)
                continue
            self._flows = len(piece) >= _PACKET_BYTES // 2
            self.received_bytes += len(piece)
            return piece

    def exit_code(self, *, until: float) -> int:
        """How it ended, once all its output was read.

        Unreachable: the connection was lost. BadReply: it was killed, or was never allowed to begin.
        """
        look = _LOOK_SECONDS
        while not self._channel.status_event.wait(min(look, _left(until))):
            self._send(until=until)
            self._take_errors()
            look = min(look * 2, _LOOK_SELDOM_SECONDS)
        self._take_errors()
        if self._channel.exit_status >= 0:
            return self._channel.exit_status
        if self._transport.is_active():
            raise BadReply(
                "the helper ended without an exit code: it was killed, or the account may run nothing"
            )
        raise Unreachable("the connection was lost before the answer was complete")

    def close(self) -> None:
        """Free the channel, whatever of the command still runs: what writes to it gets SIGPIPE."""
        if self._process != process_key():
            return  # it is the parent's
        with contextlib.suppress(*LIBRARY_ERRORS):
            self._channel.close()
        _open_channels.discard(self._channel)

    def _send(self, *, until: float) -> None:
        """Some input, as soon as the host takes any, unless there is output to take first.

        A host opens no room for it before the command has begun. One that has ended takes no more, and its exit
        code tells why.
        """
        if not self._unsent:
            return
        self._channel.settimeout(0.0 if self._channel.recv_ready() else min(_LOOK_SECONDS, _left(until)))
        try:
            count = self._channel.send(bytes(self._unsent[:_PACKET_BYTES]))
        except TimeoutError:
            return
        except OSError:
            count = 0
        self._unsent = self._unsent[count:] if count else memoryview(b"")
        if count and not self._unsent:
            self._channel.shutdown_write()

    def _take_errors(self) -> None:
        """The first of them are kept; all are read, or the host would stop."""
        while self._channel.recv_stderr_ready():
            piece = self._channel.recv_stderr(_CHUNK_BYTES)
            self.stderr += piece[: _STDERR_BYTES - len(self.stderr)]


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TransportTimeout("no answer in time")
    return left
