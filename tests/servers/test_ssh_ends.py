"""Forks, threads and ends of a transport: nobody disturbs another's connection, and nothing is left."""

import gc
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from servers.ssh import SshTransport
from servers.transport import TransportError, Unreachable
from tests.servers.ssh_targets import REPLY_SECONDS, code, logins, recovers, target_for, transport_for
from tests.ssh_servers import SshServer, calm_port
from tests.waiting import wait_for

pytestmark = [pytest.mark.ssh, pytest.mark.slow]


def in_child(act: Callable[[], int]) -> int:
    """What `act` gives in a fork of this process."""
    pid = os.fork()
    if not pid:
        result = 99
        try:
            result = act()
        finally:
            os._exit(result)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_fork_makes_its_own_connection_and_leaves_its_parents(bad_server: SshServer) -> None:
    with transport_for(bad_server) as transport, ThreadPoolExecutor(1) as pool:
        code(transport)
        pieces = transport.stream(["endless"], timeout_seconds=REPLY_SECONDS)
        next(pieces)
        running = pool.submit(transport.run, ["sleep", "2"], timeout_seconds=REPLY_SECONDS)
        before = set(bad_server.sessions())
        open_here = [pieces]

        def child() -> int:
            open_here[0].close()
            open_here.clear()
            gc.collect()
            result = code(transport, 8)
            transport.close()
            return result

        assert [in_child(child) for _ in range(3)] == [8, 8, 8]

        assert running.result().stdout == b"slept\n"
        assert next(pieces)
        pieces.close()
        assert code(transport, 7) == 7
        assert before <= set(bad_server.sessions())
    assert logins(bad_server) == 4


def test_a_fork_that_lives_on_holds_no_connection_of_its_parent(bad_server: SshServer) -> None:
    reader, writer = os.pipe()
    with (
        transport_for(bad_server) as transport,
        transport_for(bad_server, jump=target_for(bad_server)) as jumped,
    ):
        assert code(transport) == code(jumped) == 0
        pid = os.fork()
        if not pid:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        assert code(transport, 3) == code(jumped, 3) == 3

    wait_for(lambda: not bad_server.sessions())
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.close(writer)
    os.close(reader)
    os.waitpid(pid, 0)


def test_a_closed_transport_stays_closed_and_frees_everything(bad_server: SshServer) -> None:
    transport = SshTransport(target_for(bad_server))
    code(transport)
    pieces = transport.stream(["endless"], timeout_seconds=REPLY_SECONDS)
    next(pieces)

    transport.close()
    transport.close()

    with pytest.raises(Unreachable):
        list(pieces)
    with pytest.raises(Unreachable) as failed:
        code(transport)
    assert failed.value.nothing_sent
    wait_for(lambda: not bad_server.sessions())
    wait_for(lambda: not bad_server.processes())


def test_a_retired_transport_ends_with_what_runs_on_it(bad_server: SshServer) -> None:
    with transport_for(bad_server) as transport, ThreadPoolExecutor(1) as pool:
        code(transport)
        running = pool.submit(transport.run, ["sleep", "1"], timeout_seconds=REPLY_SECONDS)
        time.sleep(0.3)
        transport.retire()

        with pytest.raises(Unreachable):
            code(transport)
        assert running.result().stdout == b"slept\n"
        wait_for(lambda: not bad_server.sessions())


def test_no_thread_and_no_descriptor_is_left(bad_server: SshServer) -> None:
    def here() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names alone

    with transport_for(bad_server) as transport:
        code(transport)
    gc.collect()
    before = here()

    for round_ in range(5):
        with (
            transport_for(bad_server) as transport,
            transport_for(bad_server, jump=target_for(bad_server)) as jumped,
        ):
            assert code(transport, round_) == code(jumped, round_) == round_
            next(transport.stream(["endless"], timeout_seconds=REPLY_SECONDS))
            bad_server.kill_sessions()
            with pytest.raises(TransportError):
                code(transport, seconds=0)
        with transport_for(bad_server, port=calm_port()) as nobody, pytest.raises(Unreachable):
            code(nobody)

    def settled() -> bool:
        gc.collect()
        threads, descriptors = here()
        return threads <= before[0] and descriptors <= before[1]

    wait_for(settled, what=lambda: f"{before} {here()}")


def test_a_server_is_not_stormed_by_threads(bad_server: SshServer) -> None:
    with transport_for(bad_server) as transport, ThreadPoolExecutor(16) as pool:
        for _ in range(3):
            list(pool.map(lambda n: code(transport, n), range(16)))
            bad_server.kill_sessions()
            recovers(transport)

    assert logins(bad_server) <= 7
