"""The board breaks and the builds go on over SSH: its runner killed with -9, all of it killed, two of them at once."""

import sys
import time
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
