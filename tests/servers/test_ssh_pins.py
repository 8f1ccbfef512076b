"""Host keys: without the right pin no attempt to log in arrives, as a server that counts them sees it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from servers.host_keys import HostKey, parse_host_key
from servers.ssh import SshTarget, SshTransport, read_host_key
from servers.transport import HostKeyMismatch, HostKeyUnknown, TransportError
from tests.requirements import require
from tests.servers.counting_server import CountingServer
from tests.servers.ssh_targets import logins, target_for, transport_for
from tests.ssh_servers import SshServer
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
KINDS = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}


@pytest.fixture
def counting() -> Iterator[CountingServer]:
    with CountingServer() as server:
        yield server


def target_of(server: CountingServer, *pins: HostKey) -> SshTarget:
    return SshTarget(
        hostname="127.0.0.1",
        port=server.port,
        username="builder",
        private_key=server.private_key,
        host_keys=pins,
        server_id="row 7",
    )


def fail(target: SshTarget) -> TransportError:
    """The error of a first call."""
    transport = SshTransport(target)
    try:
        with pytest.raises(TransportError) as failed:
            transport.run(["poll"], timeout_seconds=10)
    finally:
        transport.close()
    return failed.value


def test_the_right_pin_lets_one_attempt_through(counting: CountingServer) -> None:
    transport = SshTransport(target_of(counting, counting.host_key))

    answers = [transport.run(["poll"], timeout_seconds=10).stdout for _ in range(3)]

    transport.close()
    assert answers == [b"here\n"] * 3
    assert counting.all_attempts() == [("publickey", "builder")]


def test_without_a_pin_the_key_is_read_and_nobody_logs_in(counting: CountingServer) -> None:
    error = fail(target_of(counting))

    assert isinstance(error, HostKeyUnknown)
    assert (error.seen, error.server_id, error.nothing_sent) == (counting.host_key, "row 7", True)
    assert counting.host_key.fingerprint in str(error)
    assert (counting.connections, counting.all_attempts()) == (1, [])


def test_with_a_wrong_pin_nobody_logs_in(counting: CountingServer) -> None:
    right = counting.host_key
    counting.change_host_key()

    error = fail(target_of(counting, right))

    assert isinstance(error, HostKeyMismatch)
    assert (error.seen, error.server_id, error.nothing_sent) == (counting.host_key, "row 7", True)
    assert (counting.connections, counting.all_attempts()) == (1, [])


def test_a_pin_of_another_type_is_a_changed_key_too(counting: CountingServer) -> None:
    other = parse_host_key(
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYM"
        "jNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
    )

    error = fail(target_of(counting, other))

    assert isinstance(error, HostKeyMismatch)
    assert error.seen == counting.host_key
    assert counting.all_attempts() == []


def test_a_key_that_changes_mid_life_stops_logins_at_once(counting: CountingServer) -> None:
    transport = SshTransport(target_of(counting, counting.host_key))
    transport.run(["poll"], timeout_seconds=10)
    counting.change_host_key()
    counting.end_connections()

    for _ in range(5):
        with pytest.raises(HostKeyMismatch) as failed:
            transport.run(["poll"], timeout_seconds=10)
        assert failed.value.seen == counting.host_key

    transport.close()
    assert counting.all_attempts() == [("publickey", "builder")]
    assert counting.connections == 2  # it is not asked again at once


def test_any_of_several_pins_will_do(counting: CountingServer) -> None:
    with CountingServer() as other:
        transport = SshTransport(target_of(counting, other.host_key, counting.host_key))
        assert transport.run(["poll"], timeout_seconds=10).stdout == b"here\n"
        transport.close()


def test_reading_the_key_logs_nobody_in(counting: CountingServer) -> None:
    target = target_of(counting)

    seen = [
        read_host_key(replace(target, host_keys=pins), timeout_seconds=10)
        for pins in ((), (counting.host_key,))
    ]

    assert seen == [counting.host_key] * 2
    assert (counting.connections, counting.all_attempts()) == (2, [])


def test_a_jump_host_is_compared_too_and_named(counting: CountingServer) -> None:
    with CountingServer() as behind:
        through = replace(target_of(counting), server_id="row 1")
        target = replace(target_of(behind, behind.host_key), jump=through)

        error = fail(target)

        assert isinstance(error, HostKeyUnknown)
        assert (error.seen, error.server_id) == (counting.host_key, "row 1")
        assert counting.all_attempts() + behind.all_attempts() == []
        assert behind.connections == 0


# ---- with a real sshd -----------------------------------------------------------------------------------
@pytest.mark.ssh
@pytest.mark.parametrize("kind", KINDS)
def test_every_accepted_type_of_host_key_can_be_pinned(kind: str) -> None:
    require("sshd")
    with SshServer(host_keys=["ed25519", "ecdsa", "rsa"]) as server:
        lines = dict(zip(server.host_key_types, server.host_key_lines, strict=True))
        pin = parse_host_key(lines[kind])

        with transport_for(server, host_keys=(pin,)) as transport:
            assert transport.run(["poll"], timeout_seconds=10).exit_code in {2, 127}

        assert pin.kind == KINDS[kind]
        assert read_host_key(target_for(server), timeout_seconds=10).line == lines["ed25519"]


@pytest.mark.ssh
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_lost_the_pinned_type_shows_another_key(kind: str) -> None:
    require("sshd")
    others = [other for other in KINDS if other != kind]
    with SshServer(host_keys=[kind]) as old, SshServer(host_keys=others) as server:
        error = fail(target_for(server, host_keys=(parse_host_key(old.host_key_line),)))

        assert isinstance(error, HostKeyMismatch)
        assert error.seen.line == server.host_key_lines[0]
        assert logins(server) == 0
        assert "Accepted" not in server.auth_log()


@pytest.mark.ssh
def test_a_server_set_up_anew_is_told_by_its_key() -> None:
    require("sshd")
    with SshServer() as server, transport_for(server) as transport:
        transport.run(["poll"], timeout_seconds=10)
        server.kill_all()
        server.change_host_key()
        server.start()

        def mismatch() -> bool:
            try:
                transport.run(["poll"], timeout_seconds=10)
            except HostKeyMismatch as error:
                return error.seen.line == server.host_key_line
            except TransportError:
                return False
            return False

        wait_for(mismatch)
        assert logins(server) == 1
