"""The build server itself breaks: the processes that keep a build are killed, its disk is full, it was started anew.

Also what a build does that has no end. It always ends by the truth, and nothing of it stays.
"""

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.numbers import on_both_when_whole
from tests.faults.world import Server, World, body_of, numbered_lines
from tests.requirements import require
from tests.ssh_servers import SshServer
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.ssh, on_both_when_whole, pytest.mark.timeout(900)]

ANSWER = 'echo "$BUILDBOARD_JOB_ID $BUILDBOARD_ATTEMPT" >>"$HOME/starts"\n'


@pytest.fixture(scope="module")
def server(world: World) -> Server:
    return world.add_servers(1)[0]


def pid_of(server: Server, job: str, record: str) -> int:
    """The process that a record of its attempt names, once it is there."""
    path = server.folder_of(job) / record
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"), what=f"the record {record}")
    return int(path.read_text().split()[0])


def kill(server: Server, job: str, *records: str) -> None:
    """All of them at once, so that none can notice the end of another."""
    victims = [psutil.Process(pid_of(server, job, record)) for record in records]
    for act in (psutil.Process.suspend, psutil.Process.kill):
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                act(victim)


# ---- who keeps a build -------------------------------------------------------------------------------------


def test_killed_keepers_of_builds_change_no_result_that_is_known(world: World, server: Server) -> None:
    """runner: waits for the build; watch: guards it; logger: writes its log; build: the wrapper around the script."""
    told = {
        ("runner",): "whole",
        ("watch",): "whole",
        ("runner", "watch"): "whole",
        ("logger",): "whole but what the logger held",
        ("build",): "killed",
        ("runner", "watch", "build"): "lost",
    }
    jobs = {records: world.submit(server, rounds=12, pause=0.5) for records in told}
    for records, job in jobs.items():
        world.wait_building(job)
        kill(server, job, *records)

    for records, job in jobs.items():
        if told[records] == "whole":
            world.assert_whole(job, server, rounds=12)
            continue
        ended = world.board.wait_until_finished(job)
        world.assert_one_start(job, server)
        seen = (ended["status"], ended["exit_code"], ended["error_category"])
        if told[records] == "killed":
            assert seen == ("failed", 137, "exit_code")
            assert "137 (ended by SIGKILL)" in ended["error_message"]
        elif told[records] == "lost":
            assert seen[2] == "lost"
            assert ended["error_message"] == "The build's processes ended without leaving a result."
        else:
            assert seen == ("failed", 7, "exit_code")
    world.assert_nothing_left(server)


# ---- limits ------------------------------------------------------------------------------------------------


def test_builds_without_an_end_are_ended_by_their_limits(world: World, server: Server) -> None:
    forever = ANSWER + "trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & while :; do "
    talks = world.submit(server, rounds=0, script=forever + "echo more; sleep 0.2; done", timeout_seconds=3)
    silent = world.submit(server, rounds=0, script=forever + "sleep 0.2; done", idle_timeout_seconds=2)

    for job, word in ((talks, "it ran longer than its limit of 3 s"), (silent, "it printed nothing for 2 s")):
        ended = world.board.wait_until_finished(job)
        assert (ended["status"], ended["error_category"]) == ("failed", "timeout")
        assert word in ended["error_message"]
        assert server.name in ended["error_message"]
        world.assert_one_start(job, server)
    world.assert_nothing_left(server)


# ---- started anew ------------------------------------------------------------------------------------------


def test_a_server_that_was_started_anew_is_said_to_have_been(world: World, server: Server) -> None:
    """Nothing of before lives there, and the records that name processes are of another boot."""
    job = world.submit(server, rounds=1000)
    world.wait_building(job)
    folder = server.folder_of(job)
    before = str(uuid.uuid4())
    for record in ("runner", "build", "watch", "logger"):
        pid_of(server, job, record)
    server.sshd.kill_listener()
    server.sshd.kill_processes()
    for path in (folder / name for name in ("runner", "build", "watch", "logger")):
        pid, start, _ = path.read_text().split()
        path.write_text(f"{pid} {start} {before}\n")
    server.sshd.start()

    ended = world.board.wait_until_finished(job)
    assert (ended["status"], ended["error_category"]) == ("failed", "lost")
    assert ended["error_message"] == "The build server was restarted while the build ran."
    lines = body_of(world.board.log(job))
    assert numbered_lines(1000).startswith(lines[: lines.rfind(b"\n") + 1])
    world.assert_one_start(job, server)
    world.assert_nothing_left(server)


def test_a_build_whose_folder_was_removed_is_lost_and_nothing_of_it_goes_on(
    world: World, server: Server
) -> None:
    job = world.submit(server, rounds=1000)
    world.wait_building(job)
    folder = server.folder_of(job)
    folder.rename(server.sshd.home / "gone")

    ended = world.board.wait_until_finished(job)
    assert (ended["status"], ended["error_category"]) == ("failed", "lost")
    assert (
        ended["error_message"]
        == f"{server.name} knows nothing of this build any more; its directory is gone."
    )
    world.assert_nothing_left(server)


# ---- disks -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(path: Path, *, mebibytes: int) -> Iterator[Path]:
    """A file system of its own in memory."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "none", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def small(world: World, tmp_path: Path) -> Iterator[Server]:
    """A server whose work folder is on a disk with little more room than a build must find."""
    require("sshd")
    require("root")
    with SshServer() as sshd, small_disk(sshd.home / "disk", mebibytes=300) as disk:
        server = world.register(sshd, work_dir=str(disk / "work"))
        world.wait_online(server)
        yield server
        world.board.call("DELETE", f"/infrastructure/build-servers/{server.id}")


def test_full_disks_end_builds_by_the_truth_and_keep_new_ones_waiting(world: World, small: Server) -> None:
    room = "free=$(df -Pk . | awk 'END { print $4 }')\nfallocate -l ${free}K fill\n"
    fill = f"{ANSWER}{room}head -c 1000000 /dev/zero >more || exit 9\n"
    at_once = world.submit(small, rounds=0, script=fill)
    # Unless the guard, which looks once a second, was faster.
    assert_ended(
        world, at_once, {("failed", 9, "exit_code"), ("failed", 9, "system"), ("failed", 143, "system")}
    )

    slowly = world.submit(small, rounds=0, script=ANSWER + "head -c 100000000 /dev/zero >fill; sleep 1000")
    ended = assert_ended(world, slowly, {("failed", 143, "system"), ("failed", 137, "system")})
    assert (
        f"The build was ended on {small.name}: less than 256 MiB of its disk was free."
        in ended["error_message"]
    )
    world.assert_nothing_left(small)

    in_the_way = small.root.parent / "somebody-elses"
    in_the_way.write_bytes(bytes(100_000_000))
    waits = world.submit(small, rounds=1)
    told = " MiB free of the 256 MiB that a build needs."
    wait_for(lambda: told in why_not(world, waits, small), what="it is said why it waits", seconds=60)
    assert small.starts[2:] == []
    assert kinds(world, waits).count("released") <= 1  # before a probe had seen it
    in_the_way.unlink()
    world.probe(small)
    world.board.wait_until_finished(waits)
    assert body_of(world.board.log(waits)) == numbered_lines(1)
    assert [job for job, _ in small.starts] == [at_once, slowly, waits]
    assert world.row(small)["status"] == "degraded"
    assert world.row(small)["status_reason"].endswith(" of its disk are free: make room.")
    world.assert_nothing_left(small)


def assert_ended(world: World, job: str, wanted: set[tuple[str, int, str]]) -> Any:
    ended = world.board.wait_until_finished(job)
    assert (ended["status"], ended["exit_code"], ended["error_category"]) in wanted, ended
    return ended


def why_not(world: World, job: str, server: Server) -> str:
    found = world.board.call("GET", f"/infrastructure/build-jobs/{job}/explain")
    return " ".join(
        reason for one in found["servers"] if one["server"] == server.name for reason in one["reasons"]
    )


def kinds(world: World, job: str) -> list[str]:
    return [event["kind"] for event in world.events(job)]
