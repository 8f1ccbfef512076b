"""Logging in over SSH: keys of every kind, refusals, silence, jump hosts, and no key text in any error."""

import contextlib
import io
import logging
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from buildboard.core.crypto import generate_ssh_key_pair, load_ssh_private_key
from servers.host_keys import HostKey
from servers.ssh import SshTarget, SshTransport, read_host_key
from servers.ssh.dialling import dial
from servers.transport import LoginRefused, TransportError, Unreachable
from tests.listening import Listener
from tests.requirements import require
from tests.servers.ssh_targets import install_bad_helper, logins, target_for, transport_for
from tests.ssh_servers import SshServer, calm_port

pytestmark = [pytest.mark.ssh, pytest.mark.slow]
SECONDS = 10.0


def first_error(target: SshTarget, *, connect_seconds: float = 10.0) -> TransportError:
    """What a first call ends with."""
    transport = SshTransport(target, connect_seconds=connect_seconds)
    try:
        with pytest.raises(TransportError) as failed:
            transport.run(["poll"], timeout_seconds=20)
    finally:
        transport.close()
    assert failed.value.nothing_sent
    return failed.value


@contextmanager
def listener(*, greeting: bytes = b"", hang_up: bool = False) -> Iterator[int]:
    """The port of a TCP server that says this to everybody and no more."""
    kept: list[socket.socket] = []

    def talk(server: Listener) -> None:
        with contextlib.suppress(OSError):
            for client in server.clients():
                kept.append(client)
                client.sendall(greeting)
                if hang_up:
                    client.shutdown(socket.SHUT_RDWR)

    with contextlib.closing(Listener()) as server:
        thread = threading.Thread(target=talk, args=(server,), daemon=True)
        thread.start()
        yield server.port
    thread.join(10)
    for client in kept:
        client.close()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("passphrase", ["", "a passphrase"])
def test_login_keys_of_every_type_let_in(kind: str, passphrase: str) -> None:
    require("sshd")
    with SshServer(client_key=kind, passphrase=passphrase) as server:
        private, public = load_ssh_private_key(server.private_key, passphrase=passphrase or None)

        with transport_for(server, private_key=private) as transport:
            assert transport.run(["poll"], timeout_seconds=SECONDS).exit_code in {2, 127}
        assert public.split()[:2] == server.public_key.split()[:2]


def test_a_pair_made_by_the_board_lets_in_once_it_is_authorized(ssh_server: SshServer) -> None:
    private, public = generate_ssh_key_pair("buildboard")

    assert isinstance(first_error(target_for(ssh_server, private_key=private)), LoginRefused)
    ssh_server.authorize(public)
    with transport_for(ssh_server, private_key=private) as transport:
        assert transport.run(["poll"], timeout_seconds=SECONDS).exit_code in {2, 127}


def test_a_refused_login_says_what_to_do_and_is_not_repeated_at_once(ssh_server: SshServer) -> None:
    ssh_server.authorize()
    with transport_for(ssh_server) as transport:
        for _ in range(5):
            with pytest.raises(LoginRefused, match="authorized_keys"):
                transport.run(["poll"], timeout_seconds=SECONDS)

    assert ssh_server.auth_log().count("Failed publickey") == 1


def test_another_user_is_refused(ssh_server: SshServer) -> None:
    assert isinstance(first_error(target_for(ssh_server, username="nobody-here")), LoginRefused)


def test_a_server_that_asks_for_more_than_a_key_is_refused() -> None:
    require("sshd")
    settings = {
        "AuthenticationMethods": "publickey,keyboard-interactive",
        "KbdInteractiveAuthentication": "yes",
    }
    with SshServer(settings=settings) as server:
        error = first_error(target_for(server))

        assert isinstance(error, LoginRefused)
        assert "more than a key" in str(error)


@pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END"])
def test_a_stored_key_that_cannot_be_read_is_a_refusal(ssh_server: SshServer, text: str) -> None:
    error = first_error(target_for(ssh_server, private_key=text))

    assert isinstance(error, LoginRefused)
    assert "private key" in str(error)
    assert logins(ssh_server) == 0


def test_refused_connections_and_unknown_names_are_unreachable(ssh_server: SshServer) -> None:
    refused = first_error(target_for(ssh_server, port=calm_port()))
    unknown = first_error(target_for(ssh_server, hostname="no-such-host.invalid"))

    assert isinstance(refused, Unreachable)
    assert "refuses connections" in str(refused)
    assert isinstance(unknown, Unreachable)
    assert "no-such-host.invalid:" in str(unknown)


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-silence\r\n"])
def test_a_silent_listener_is_given_up_in_time(ssh_server: SshServer, greeting: bytes) -> None:
    with listener(greeting=greeting) as port:
        for call in (_connect, _read_key):
            began = time.monotonic()
            assert isinstance(call(target_for(ssh_server, port=port)), Unreachable)
            assert 0.9 <= time.monotonic() - began < 2.5


def _connect(target: SshTarget) -> TransportError:
    return first_error(target, connect_seconds=1)


def _read_key(target: SshTarget) -> TransportError:
    with pytest.raises(TransportError) as failed:
        read_host_key(target, timeout_seconds=1)
    return failed.value


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n\0\0\0\1", b"\xff" * 500]
)
def test_what_is_no_ssh_server_is_unreachable(ssh_server: SshServer, greeting: bytes) -> None:
    with listener(greeting=greeting, hang_up=True) as port:
        error = first_error(target_for(ssh_server, port=port), connect_seconds=2)

    assert isinstance(error, Unreachable)
    assert str(error).isascii()
    assert str(error).isprintable()


@pytest.mark.parametrize("seed", range(12))
def test_no_server_can_make_anything_else_of_a_login(ssh_server: SshServer, seed: int) -> None:
    """Packets that are none, after a greeting that is one: truncated lists, wrong numbers, noise."""
    dice = random.Random(seed)
    lists = [b"curve25519-sha256@libssh.org", b"ssh-ed25519", *[b"aes128-ctr"] * 2, *[b"hmac-sha2-256"] * 2]
    lists += [b"none"] * 2 + [b""] * 2
    whole = b"\x14" + bytes(16) + b"".join(struct.pack(">I", len(one)) + one for one in lists) + bytes(5)
    payloads = [whole if seed % 2 else whole[: dice.randrange(len(whole))]]
    payloads += [
        bytes([dice.choice([0, 1, 2, 20, 21, 30, 31, 52, 80, 94, 255])]) + dice.randbytes(40)
        for _ in range(3)
    ]
    greeting = b"SSH-2.0-x\r\n"
    for payload in payloads:
        padding = 8 - (len(payload) + 5) % 8 + 8
        greeting += struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)

    with listener(greeting=greeting, hang_up=bool(seed % 3)) as port:
        for call in (_connect, _read_key):
            assert isinstance(call(target_for(ssh_server, port=port)), Unreachable)


def test_sockets_notice_dead_peers_and_wait_for_nothing(ssh_server: SshServer) -> None:
    until = time.monotonic() + 5
    with dial(target_for(ssh_server), until=until) as dialled:
        options = [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        ]
        assert [dialled.getsockopt(*option) for option in options] == [1, 1, 15, 5, 3, 20_000]


def test_a_server_of_old_algorithms_is_said_to_be_one() -> None:
    require("sshd")
    with SshServer(settings={"Ciphers": "aes256-cbc,3des-cbc"}) as server:
        error = first_error(target_for(server))

        assert isinstance(error, Unreachable)
        assert "algorithm" in str(error)


# ---- jump hosts -----------------------------------------------------------------------------------------
def test_jump_hosts_lead_on(ssh_server: SshServer) -> None:
    install_bad_helper(ssh_server)
    with SshServer() as first, SshServer() as second:
        jump = target_for(second, jump=target_for(first))
        with transport_for(ssh_server, jump=jump) as transport:
            blob = bytes(range(256)) * 8192
            assert transport.run(["mirror"], stdin=blob, timeout_seconds=30).stdout == blob
            assert sum(map(len, transport.stream(["zeros", str(8 << 20)], timeout_seconds=30))) == 8 << 20
            assert [logins(server) for server in (first, second, ssh_server)] == [1, 1, 1]
            assert (
                read_host_key(target_for(ssh_server, jump=jump), timeout_seconds=10).line
                == ssh_server.host_key_line
            )

        assert logins(ssh_server) == 1


def test_a_jump_host_that_leads_nowhere_is_said_to(ssh_server: SshServer) -> None:
    with SshServer(settings={"AllowTcpForwarding": "no"}) as closed, SshServer() as jump:
        forbidden = first_error(target_for(ssh_server, jump=target_for(closed)))
        nobody = first_error(target_for(ssh_server, port=calm_port(), jump=target_for(jump)))
        jump.kill_all()
        gone = first_error(target_for(ssh_server, jump=target_for(jump)))

    assert [type(error) for error in (forbidden, nobody, gone)] == [Unreachable] * 3
    assert "AllowTcpForwarding" in str(forbidden)
    assert "does not reach it" in str(nobody)
    assert f":{jump.port} refuses" in str(gone)


def test_a_lost_jump_host_is_connected_to_anew(ssh_server: SshServer) -> None:
    install_bad_helper(ssh_server)
    with SshServer() as jump, transport_for(ssh_server, jump=target_for(jump)) as transport:
        assert transport.run(["code", "1"], timeout_seconds=SECONDS).exit_code == 1
        jump.kill_sessions()

        deadline = time.monotonic() + 20
        while True:
            try:
                assert transport.run(["code", "2"], timeout_seconds=SECONDS).exit_code == 2
                break
            except TransportError:
                assert time.monotonic() < deadline
        assert logins(jump) == 2


# ---- secrets --------------------------------------------------------------------------------------------
def test_no_key_text_is_in_errors_reprs_and_logs(
    ssh_server: SshServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("paramiko").setLevel(logging.DEBUG)
    printed = io.StringIO()
    handler = logging.StreamHandler(printed)
    logging.getLogger("paramiko").addHandler(handler)
    try:
        target = target_for(ssh_server)
        other = target_for(ssh_server, host_keys=(HostKey("ssh-ed25519", b"\0"),), jump=target)
        ssh_server.authorize()
        errors = [
            first_error(one)
            for one in (target, other, target_for(ssh_server, private_key="x" + target.private_key))
        ]
        ssh_server.authorize(ssh_server.public_key)
        with transport_for(ssh_server) as transport:
            transport.run(["poll"], timeout_seconds=SECONDS)
            told = [
                repr(transport),
                repr(vars(transport)),
                repr(target),
                repr(other),
                printed.getvalue(),
                caplog.text,
            ]
    finally:
        logging.getLogger("paramiko").removeHandler(handler)
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    told += [f"{error!r} {error} {error.__cause__!r} {vars(error)}" for error in errors]

    secret = target.private_key.splitlines()[1:-1]
    assert len(secret) > 3
    assert [line for line in secret for text in told if line in text] == []
    assert "Connected" in printed.getvalue()  # it could have been there
