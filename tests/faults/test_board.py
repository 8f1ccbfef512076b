"""The board breaks and the builds go on over SSH: its runner killed with -9, all of it killed, two of them at once."""

import contextlib
import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.numbers import NUMBERS, chance, on_both_when_whole
from tests.faults.world import Server, World

pytestmark = [pytest.mark.slow, pytest.mark.ssh, pytest.mark.timeout(1800)]


@pytest.mark.both_databases
def test_kills_of_the_runner_and_restarts_of_the_board_lose_no_byte_and_run_nothing_twice(
    world: World, servers: list[Server]
) -> None:
    moments = chance("board")
    jobs = {server: world.submit(server, rounds=NUMBERS.rounds, pause=NUMBERS.pause) for server in servers}
    for server, job in jobs.items():
        server.attempt_of(job)
    faults = ["kill"] * NUMBERS.kills + ["restart"] * NUMBERS.restarts
    moments.shuffle(faults)

    for number, fault in enumerate(faults):
        # Every other one while it follows; the rest wherever it is on its way there.
        if number % 2 == 0 and (running := still_running(world, jobs)):
            world.wait_lines(running, more_than=world.log_size(running))
        pause = moments.uniform(0, 1.5)
        sys.stdout.write(f"{fault} after {pause:.3f} s\n")
        time.sleep(pause)
        if fault == "kill":
            kill_runner(world)
        else:
            world.board.kill()
            world.board.start()

    for server, job in jobs.items():
        world.assert_whole(job, server, rounds=NUMBERS.rounds)
        assert [event["kind"] for event in world.events(job)].count("claimed") == 1
    world.assert_nothing_left(*servers)
    assert any("re-attached" in reason for kind, reason in all_events(world, servers) if kind == "reattached")


def still_running(world: World, jobs: dict[Server, str]) -> str:
    """One of them that has not printed everything yet."""
    for server, job in jobs.items():
        if not (server.folder_of(job) / "exit").exists() and server.folder_of(job).exists():
            return job
    return ""


def kill_runner(world: World) -> None:
    """With -9, and wait until another process is the runner."""
    victim = world.runner()
    victim.kill()
    world.board.wait_for(lambda: world.runner() != victim, what="another runner", seconds=60)


def all_events(world: World, servers: list[Server]) -> list[tuple[str, str]]:
    return [event for server in servers for event in world.server_events(server)]


@on_both_when_whole
def test_two_boards_share_a_server_and_leave_each_others_builds_alone(
    world: World, servers: list[Server], tmp_path: Path
) -> None:
    server = servers[0]
    with World(tmp_path / "other") as other:
        same = other.register(server.sshd)
        other.wait_online(same)
        mine = [world.submit(server, rounds=6) for _ in range(2)]
        theirs = [other.submit(same, rounds=6) for _ in range(2)]
        for job in mine + theirs:
            server.attempt_of(job)
        # Who takes a server over asks for all that runs there, the other's builds among them.
        kill_runner(world)
        kill_runner(other)

        for job in mine:
            world.assert_whole(job, server, rounds=6)
        for job in theirs:
            other.assert_whole(job, same, rounds=6)
        world.assert_nothing_left(server)
        other.assert_nothing_left(same)
        assert "reconciled" not in [kind for kind, _ in all_events(world, [server])]
        assert "reconciled" not in [kind for kind, _ in other.server_events(same)]


FILES = 24
FILE_BYTES = 4 << 20
# Their sums are in the log as the build saw them.
MAKE_FILES = f"""
echo "$BUILDBOARD_JOB_ID $BUILDBOARD_ATTEMPT" >>"$HOME/starts"
mkdir out
for n in $(seq -w 1 {FILES}); do head -c {FILE_BYTES} /dev/urandom >out/$n.bin; done
(cd out && sha256sum *.bin)
"""


@on_both_when_whole
def test_kills_of_the_runner_while_it_fetches_artifacts_leave_each_once_and_whole(
    world: World, servers: list[Server]
) -> None:
    server = servers[1]
    job = world.submit(server, rounds=0, script=MAKE_FILES, artifact_paths=["out/*.bin"])

    kept: dict[str, str] = {}
    for more_than in (0, len(kept) + 5):
        with held_up_in_the_middle(world, server, job, more_than=more_than) as before:
            assert kept.items() <= before.items()  # what was kept is not fetched again
            kept = before
            kill_runner(world)
    ended = world.board.wait_until_finished(job, seconds=240)

    assert (ended["status"], ended["error_category"]) == ("completed", None), world.events(job)
    artifacts = world.board.call("GET", f"/infrastructure/build-jobs/{job}/artifacts")
    lines = [line.split() for line in world.board.log(job).decode().splitlines() if line.endswith(".bin")]
    sums = {f"out/{name}": told for told, name in lines}
    assert len(sums) == FILES
    assert {one["path"]: one["sha256"] for one in artifacts} == sums
    assert len(artifacts) == FILES
    assert kept.items() <= {one["path"]: one["id"].replace("-", "") for one in artifacts}.items()
    for one in artifacts:
        content = world.board.read(one["url"].removeprefix("/api/v1"))
        assert (len(content), hashlib.sha256(content).hexdigest()) == (FILE_BYTES, one["sha256"])
    world.assert_one_start(job, server)
    world.assert_nothing_left(server)


@contextlib.contextmanager
def held_up_in_the_middle(
    world: World, server: Server, job: str, *, more_than: int
) -> Iterator[dict[str, str]]:
    """Hold up the transfer once more artifacts than these are kept; those that are: path and id."""
    deadline = time.monotonic() + 120
    while len(kept_of(world, job)) <= more_than:
        assert time.monotonic() < deadline, world.events(job)
        time.sleep(0.01)
    stopped = server.sshd.stop_sessions()
    try:
        found = kept_of(world, job)
        assert len(found) < FILES, "all were fetched before the transfer was held up"
        yield found
    finally:
        for pid in stopped:  # one whose client was killed is no connection any more
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def kept_of(world: World, job: str) -> dict[str, str]:
    sql = "SELECT a.path, a.id FROM jobs_artifact a JOIN jobs_attempt t ON t.id = a.attempt_id WHERE t.job_id = %s"
    return {str(path): str(row).replace("-", "") for path, row in world.query(sql, world.key(job))}
