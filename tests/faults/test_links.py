"""What lies between breaks: listeners, sessions, servers, host keys. Builds go on, and every byte arrives once."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.numbers import NUMBERS, chance, on_both_when_whole
from tests.faults.world import Server, World

pytestmark = [pytest.mark.slow, pytest.mark.ssh, pytest.mark.timeout(1800)]

STOPPED_SECONDS = 10.0
ALARM = "host_key_changed"


@pytest.mark.both_databases
def test_listeners_and_sessions_that_break_lose_no_byte(world: World, servers: list[Server]) -> None:
    """One server's listener restarts, another loses every session, the third stands still; all at the same time."""
    moments = chance("links")
    plan = [
        lambda: restart_listener(
            servers[0], [moments.uniform(0.5, 3) for _ in range(NUMBERS.listener_restarts)]
        ),
        lambda: kill_sessions(servers[1], [moments.uniform(0.5, 3) for _ in range(NUMBERS.session_kills)]),
        lambda: stop_sessions(servers[2], NUMBERS.stops),
    ]
    jobs = [
        (server, world.submit(server, rounds=NUMBERS.rounds, pause=NUMBERS.pause))
        for server in servers
        for _ in range(2)
    ]
    for _, job in jobs:
        world.wait_building(job)
    before = world.server_events(servers[2])

    do_at_once(plan)

    for server, job in jobs:
        world.assert_whole(job, server, rounds=NUMBERS.rounds)
    world.assert_nothing_left(*servers)
    assert servers[1].sshd.auth_log().count("Accepted publickey") > NUMBERS.session_kills
    # Sessions that stand still are an answer that takes long; nobody need be told.
    assert world.server_events(servers[2]) == before


def restart_listener(server: Server, pauses: list[float]) -> None:
    """Sessions go on; then both go, as when a machine's sshd is ended with all its children."""
    for number, pause in enumerate(pauses):
        time.sleep(pause)
        if number % 2:
            server.sshd.kill_all()
            time.sleep(1)
            server.sshd.start()
        else:
            server.sshd.restart()


def kill_sessions(server: Server, pauses: list[float]) -> None:
    for pause in pauses:
        time.sleep(pause)
        server.sshd.kill_sessions()


def stop_sessions(server: Server, times: int) -> None:
    for _ in range(times):
        time.sleep(1)
        server.sshd.stop_sessions()
        time.sleep(STOPPED_SECONDS)
        server.sshd.continue_sessions()


def do_at_once(plan: list[Callable[[], None]]) -> None:
    """All of them, each in a thread; what fails there fails here."""
    failures: list[BaseException] = []

    def caught(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  # raised again below
            failures.append(error)

    threads = [threading.Thread(target=caught, args=(act,)) for act in plan]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# ---- away ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def away(server: Server) -> Iterator[None]:
    """Nobody answers there; its builds go on."""
    server.sshd.kill_all()
    try:
        yield
    finally:
        server.sshd.start()


@pytest.mark.both_databases
def test_a_server_that_is_away_longer_than_its_lease_is_taken_up_again(
    world: World, servers: list[Server]
) -> None:
    server, other = servers[0], servers[1]
    stays = world.submit(server, rounds=NUMBERS.rounds, pause=NUMBERS.pause)
    ends_there = world.submit(server, rounds=3, pause=1)
    unwanted = world.submit(server, rounds=10_000)
    for job in (stays, ends_there, unwanted):
        world.wait_building(job)
    with away(server):
        began = time.monotonic()
        row = world.wait_status(server, "offline")
        assert row["unreachable_since"] is not None
        assert row["active_build_count"] == 3
        world.board.call("PUT", f"/infrastructure/build-jobs/{unwanted}/cancel")
        waits = world.submit(server, rounds=1)
        # What the board can still do it does: another server builds meanwhile.
        world.assert_whole(world.submit(other, rounds=1), other, rounds=1)
        left = began + NUMBERS.away_seconds - time.monotonic()
        time.sleep(max(0.0, left))
        for job in (stays, ends_there, unwanted):
            assert world.board.job(job)["status"] == "running"
        assert world.board.job(waits)["status"] == "queued"
        verdicts = world.board.call("GET", f"/infrastructure/build-jobs/{waits}/explain")["servers"]
        (reason,) = next(one["reasons"] for one in verdicts if one["server"] == server.name)
        assert reason.startswith("Is offline: ")
        assert "sshd" in reason

    for job in (stays, ends_there):
        world.assert_whole(job, server, rounds=NUMBERS.rounds if job == stays else 3)
    world.assert_whole(waits, server, rounds=1)
    job = world.board.wait_until_finished(unwanted)
    assert (job["status"], job["error_category"]) == ("cancelled", "cancelled")
    world.assert_one_start(unwanted, server)
    world.assert_nothing_left(server)
    assert what_happened(world, server)[-2:] == ["offline", "online"]


# ---- host keys --------------------------------------------------------------------------------------------


@on_both_when_whole
def test_a_host_key_that_changes_while_builds_run_is_an_alarm_and_costs_no_build(
    world: World, servers: list[Server]
) -> None:
    server, sshd = servers[2], servers[2].sshd
    job = world.submit(server, rounds=10, pause=0.5)
    world.wait_building(job)
    old = [(path, path.read_bytes()) for path in sorted(sshd.folder.glob("host_*"))]
    logins = sshd.auth_log().count("Accepted publickey")

    alarms = what_happened(world, server).count(ALARM)
    sshd.kill_all()
    changed = sshd.change_host_key()
    sshd.start()
    wait_for_alarm(world, server, before=alarms)
    row = world.row(server)
    assert (row["status"], row["seen_host_key"]) == ("offline", changed)
    assert row["status_reason"].startswith("Its host key changed:")
    assert world.board.job(job)["status"] == "running"
    # Nobody logs in at what may be somebody else's machine.
    assert sshd.auth_log().count("Accepted publickey") == logins

    sshd.kill_all()
    for path, content in old:
        path.write_bytes(content)
    sshd.start()
    world.probe(server)
    world.assert_whole(job, server, rounds=10)
    world.wait_online(server)
    assert world.row(server)["seen_host_key"] is None
    world.assert_nothing_left(server)
    assert what_happened(world, server)[-4:] == ["offline", "host_key_changed", "host_key_back", "online"]


@on_both_when_whole
def test_a_changed_host_key_that_is_accepted_brings_running_builds_back(
    world: World, servers: list[Server]
) -> None:
    server, sshd = servers[2], servers[2].sshd
    job = world.submit(server, rounds=10, pause=0.5)
    world.wait_building(job)

    alarms = what_happened(world, server).count(ALARM)
    sshd.kill_all()
    sshd.change_host_key()
    sshd.start()
    wait_for_alarm(world, server, before=alarms)
    shown = world.row(server)["seen_host_key_fingerprint"]
    path = f"/infrastructure/build-servers/{server.id}/accept-host-key"
    world.board.call("POST", path, {"fingerprint": shown})

    world.assert_whole(job, server, rounds=10)
    world.wait_online(server)
    world.assert_whole(world.submit(server, rounds=1), server, rounds=1)
    world.assert_nothing_left(server)
    happened = what_happened(world, server)
    assert happened[happened.index("host_key_accepted") :] == ["host_key_accepted", "unknown", "online"]


def wait_for_alarm(world: World, server: Server, *, before: int) -> None:
    """Until there is one about its host key more than there were."""
    world.board.wait_for(
        lambda: what_happened(world, server).count(ALARM) > before,
        what=f"{ALARM} of {server.name}",
        seconds=60,
    )


def what_happened(world: World, server: Server) -> list[str]:
    """The statuses that a server came into, and its alarms, in order."""
    sql = (
        "SELECT kind, to_state FROM core_event WHERE subject_type = 'server' AND subject_id = %s "
        "AND (kind = 'status' OR kind LIKE 'host_key%%') ORDER BY sequence"
    )
    return [str(state or kind) for kind, state in world.query(sql, server.id)]
