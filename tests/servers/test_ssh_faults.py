"""What can happen to a connection: sessions refused, killed, stopped, half open and cut."""

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import paramiko  # noqa: TID251  # to slow it down
import pytest

from servers.transport import BadReply, TransportError, TransportTimeout, Unreachable
from tests.requirements import require
from tests.servers.ssh_targets import REPLY_SECONDS, code, install_bad_helper, logins, recovers, transport_for
from tests.ssh_servers import SshServer, calm_port
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.ssh, pytest.mark.slow]


def marks(server: SshServer) -> list[str]:
    path = server.home / "marks"
    return sorted(path.read_text().split()) if path.exists() else []


# ---- sessions -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("most", [1, 2, 10])
def test_every_command_runs_once_however_few_sessions_are_allowed(most: int) -> None:
    require("sshd")
    names = [f"m{number:03}" for number in range(12 * 15)]
    with SshServer(settings={"MaxSessions": str(most)}) as server:
        install_bad_helper(server)
        with transport_for(server) as transport, ThreadPoolExecutor(12) as pool:
            said = list(
                pool.map(
                    lambda name: transport.run(["mark", name], timeout_seconds=60).stdout.decode(), names
                )
            )

        assert [word.strip() for word in said] == names
        assert marks(server) == names
        assert logins(server) == 1


def test_a_server_that_allows_no_session_is_said_to() -> None:
    require("sshd")
    with SshServer(settings={"MaxSessions": "0"}) as server, transport_for(server) as transport:
        with pytest.raises(TransportError, match="MaxSessions") as failed:
            code(transport, seconds=1)

        assert failed.value.nothing_sent


def test_ends_of_input_that_come_late_lose_no_connection(bad_server: SshServer) -> None:
    """The stray end of input: a command that ends while its input is still sent, again and again."""
    outcomes: Counter[int] = Counter()

    def feed(number: int) -> int:
        stdin = os.urandom(1 + number % 7 * 9_000)
        word = ["code", "3"] if number % 2 else ["mirror"]
        return transport.run(word, stdin=stdin if number % 3 else b"", timeout_seconds=60).exit_code

    with transport_for(bad_server) as transport, ThreadPoolExecutor(12) as pool:
        outcomes.update(pool.map(feed, range(480)))

    assert outcomes == Counter({3: 240, 0: 240})
    assert logins(bad_server) == 1
    assert "nonexistent channel" not in bad_server.auth_log()


def test_the_end_of_input_may_come_after_the_commands_own_work(
    bad_server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shut_slowly(channel: paramiko.Channel) -> None:
        with channel.lock:
            message = channel._send_eof()  # type: ignore[attr-defined]  # as the original does
        time.sleep(0.2)
        channel.get_transport()._send_user_message(message)  # type: ignore[attr-defined]  # same

    monkeypatch.setattr(paramiko.Channel, "shutdown_write", shut_slowly)
    with transport_for(bad_server) as transport:
        done = [transport.run(["code", "3"], stdin=b"x", timeout_seconds=REPLY_SECONDS) for _ in range(3)]

    assert [one.exit_code for one in done] == [3, 3, 3]
    assert logins(bad_server) == 1


def test_a_command_that_hangs_keeps_its_session_and_nobody_elses() -> None:
    require("sshd")
    with SshServer(settings={"MaxSessions": "1"}) as server:
        install_bad_helper(server)
        with transport_for(server) as transport:
            for number in range(3):
                with pytest.raises(TransportTimeout):
                    transport.run(["hang"], timeout_seconds=0.5)
                assert code(transport, number, seconds=10) == number


# ---- ends of connections --------------------------------------------------------------------------------
def test_a_restarted_listener_is_not_even_noticed(bad_server: SshServer) -> None:
    with transport_for(bad_server) as transport:
        code(transport)
        bad_server.restart()

        assert code(transport, 4) == 4
    assert logins(bad_server) == 1


def test_killed_sessions_are_made_anew_by_the_next_call(bad_server: SshServer) -> None:
    with transport_for(bad_server) as transport:
        for number in range(5):
            assert code(transport, number) == number
            bad_server.kill_sessions()
            recovers(transport)

    assert 6 <= logins(bad_server) <= 11


def test_a_command_that_was_under_way_may_have_happened(bad_server: SshServer) -> None:
    with transport_for(bad_server) as transport, ThreadPoolExecutor(1) as pool:
        code(transport)
        running = pool.submit(transport.run, ["hang"], timeout_seconds=REPLY_SECONDS)
        time.sleep(0.3)
        bad_server.kill_sessions()

        with pytest.raises(Unreachable) as failed:
            running.result()
        assert not failed.value.nothing_sent
        recovers(transport)


def test_a_stream_that_was_under_way_says_so(bad_server: SshServer) -> None:
    with transport_for(bad_server) as transport:
        pieces = transport.stream(["endless"], timeout_seconds=REPLY_SECONDS)
        next(pieces)
        bad_server.kill_sessions()

        with pytest.raises(Unreachable):
            for _ in pieces:
                pass
        recovers(transport)


def test_a_dead_server_is_said_at_once_and_found_again(bad_server: SshServer) -> None:
    with transport_for(bad_server) as transport:
        code(transport)
        bad_server.kill_all()
        errors = []
        began = time.monotonic()
        while time.monotonic() < began + 2:
            asked = time.monotonic()
            with pytest.raises(Unreachable) as failed:
                code(transport)
            errors.append((failed.value.nothing_sent, time.monotonic() - asked < 1))
        bad_server.start()
        recovers(transport)

    assert {nothing_sent for nothing_sent, _ in errors[1:]} == {True}
    assert {soon for _, soon in errors} == {True}
    assert len(errors) > 50  # it did not sleep in between


def test_tries_grow_rare_while_nobody_is_there(bad_server: SshServer) -> None:
    with TcpProxy(calm_port()) as proxy:  # nobody is behind it
        with transport_for(bad_server, port=proxy.port) as transport:
            began = time.monotonic()
            while time.monotonic() < began + 3:
                with pytest.raises(TransportError):
                    code(transport)

        assert 3 <= proxy.connections <= 12


def test_stopped_sessions_cost_time_and_no_error(bad_server: SshServer) -> None:
    with transport_for(bad_server) as transport, ThreadPoolExecutor(1) as pool:
        code(transport)
        bad_server.stop_sessions()
        running = pool.submit(code, transport, 6)
        time.sleep(2)
        assert not running.done()
        bad_server.continue_sessions()

        assert running.result() == 6
    assert logins(bad_server) == 1


@pytest.mark.parametrize("stdin", [b"", bytes(4 << 20)])
def test_stopped_sessions_hold_nobody_longer_than_asked(bad_server: SshServer, stdin: bytes) -> None:
    with transport_for(bad_server) as transport:
        code(transport)
        bad_server.stop_sessions()
        began = time.monotonic()
        with pytest.raises(TransportTimeout):
            transport.run(["mirror"], stdin=stdin, timeout_seconds=1)
        assert time.monotonic() - began < 3

        assert code(transport, 5) == 5  # over another connection
        bad_server.continue_sessions()
    assert logins(bad_server) == 2


def test_input_of_any_size_cannot_hold_a_caller(bad_server: SshServer) -> None:
    """More than all buffers take, to a session that takes nothing."""
    with transport_for(bad_server) as transport, ThreadPoolExecutor(1) as pool:
        running = pool.submit(transport.run, ["hang"], stdin=bytes(64 << 20), timeout_seconds=2)
        time.sleep(0.5)
        bad_server.stop_sessions()
        with pytest.raises(TransportError):
            running.result(timeout=10)
        bad_server.continue_sessions()
        recovers(transport)


def test_half_open_connections_are_left_for_new_ones(bad_server: SshServer) -> None:
    with TcpProxy(bad_server.port) as proxy, transport_for(bad_server, port=proxy.port) as transport:
        code(transport)
        proxy.silence()
        began = time.monotonic()
        with pytest.raises(TransportTimeout):
            code(transport, seconds=1)
        assert time.monotonic() - began < 2.5

        assert code(transport, 3) == 3
        assert proxy.connections == 2


@pytest.mark.parametrize("count", [0, 10, 1_000, 3_000, 5_000, 100_000])
def test_a_reply_that_is_cut_anywhere_is_never_taken_for_whole(bad_server: SshServer, count: int) -> None:
    with TcpProxy(bad_server.port) as proxy:
        proxy.cut_after(count)
        with transport_for(bad_server, port=proxy.port, connect_seconds=3) as transport:
            with pytest.raises((Unreachable, BadReply, TransportTimeout)):
                transport.run(["zeros", "1000000"], timeout_seconds=REPLY_SECONDS)
            with pytest.raises((Unreachable, BadReply, TransportTimeout)):
                list(transport.stream(["zeros", "1000000"], timeout_seconds=REPLY_SECONDS))


def test_bytes_that_are_damaged_on_the_way_end_the_connection_and_no_more(bad_server: SshServer) -> None:
    with TcpProxy(bad_server.port) as proxy, transport_for(bad_server, port=proxy.port) as transport:
        assert code(transport) == 0
        proxy.damages = True

        for _ in range(5):
            with pytest.raises(TransportError):
                code(transport)
            time.sleep(0.3)

        proxy.damages = False
        recovers(transport)


def test_noise_of_the_login_shell_comes_before_the_reply() -> None:
    require("sshd")
    noisy = 'echo noise; echo more noise >&2; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with SshServer(settings={"ForceCommand": noisy}) as server:
        install_bad_helper(server)
        with transport_for(server) as transport:
            done = transport.run(["mirror"], stdin=b"\0\xff", timeout_seconds=REPLY_SECONDS)

    assert (done.stdout, done.stderr) == (b"noise\n\0\xff", b"more noise\n")
