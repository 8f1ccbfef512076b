"""Whatever dies, the build goes on or is ended, its code is the true one, and no byte of its log is lost."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from servers.frames import RunLimits, RunState, build_submission
from servers.transport import HELPER_NAME, HELPER_TEXT, HelperRefused
from tests.requirements import require
from tests.servers.durable import SHELLS, Durable, is_alive, kill
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[2] / "servers"
# Longer than the second after which a watchdog comes.
COUNTING = "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; sleep 0.1; done; exit 6"
COUNTED = b"".join(b"line %d\n" % number for number in range(1, 31))


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    require("shellcheck")
    whole = tmp_path / "whole.sh"
    whole.write_bytes(HELPER_TEXT)

    for path in (whole, *sorted(HERE.glob("*.sh"))):
        done = subprocess.run(["shellcheck", "-s", "sh", path], capture_output=True, text=True, check=False)
        assert (done.stdout, done.returncode) == ("", 0), path


@pytest.mark.parametrize(
    "victims", [["runner"], ["watch"], ["logger"], ["runner", "watch"], ["watch", "logger"]]
)
def test_kill_of_what_watches_harms_nothing(durable: Durable, victims: list[str]) -> None:
    attempt = durable.start(COUNTING)
    wait_for(lambda: durable.look(attempt).data)
    before = {name: durable.pid(attempt, name) for name in victims}

    kill(*before.values())
    states = {durable.look(attempt).state}
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("exited", 6, False)
    assert (entry.data, durable.starts(attempt)) == (COUNTED, 1)
    assert states == ({RunState.ORPHAN} if "runner" in victims else {RunState.RUNNING})
    durable.wait_empty()


def test_kill_of_the_wrapper_reports_137(durable: Durable) -> None:
    attempt = durable.start("echo hi; sleep 60")
    wait_for(lambda: durable.look(attempt).data)

    kill(durable.pid(attempt, "build"))
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code, entry.exit.left, entry.data) == (
        "exited",
        137,
        False,
        b"hi\n",
    )
    durable.wait_empty()


@pytest.mark.parametrize("shell", SHELLS)
def test_server_whose_proc_shows_the_processes_of_others_is_refused(tmp_path: Path, shell: str) -> None:
    require("root")
    require("unshare")
    require(SHELLS[shell][0])
    server = Durable(tmp_path / "work", shell=("unshare", "--pid", "--fork", *SHELLS[shell]))

    with pytest.raises(HelperRefused) as refused:
        server.start("echo ran")

    assert (refused.value.word, refused.value.status) == ("noproc", 69)
    assert list(server.root.glob("jobs/*/starts")) == []


@pytest.mark.parametrize("also", [["watch"], ["watch", "logger"], []])
def test_kill_of_runner_and_wrapper_reports_lost_and_ends_the_rest(durable: Durable, also: list[str]) -> None:
    attempt = durable.start("echo hi; sleep 60")
    wait_for(lambda: durable.look(attempt).data)

    kill(*[durable.pid(attempt, name) for name in ("runner", "build", *also)])
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("lost", -1, False)
    assert entry.data == b"hi\n"
    durable.wait_empty()


def test_watchdog_that_was_killed_before_it_came_is_started_by_a_poll(durable: Durable) -> None:
    attempt = durable.start("sleep 60", limits=RunLimits(wall_seconds=7, grace_seconds=1))
    known = {durable.pid(attempt, name) for name in ("build", "logger")}
    runner = durable.pid(attempt, "runner")

    def to_come() -> set[int]:
        """The runner's child that waits for its second."""
        begun = (durable.job(attempt) / "starts").read_text()
        children = Path(f"/proc/{runner}/task/{runner}/children").read_text()
        return {int(word) for word in children.split()} - known if begun else set()

    kill(*wait_for(to_come))
    assert not (durable.job(attempt) / "watch").exists()
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.left) == ("timeout", False)
    durable.wait_empty()


def test_kill_of_everything_but_the_build_ends_in_a_verdict_without_blocking_the_poll(
    durable: Durable,
) -> None:
    """What is left ignores TERM: the poll answers at once, the ending happens beside it."""
    attempt = durable.start(
        "trap '' TERM; echo hi; while :; do sleep 1; done", limits=RunLimits(grace_seconds=2)
    )
    wait_for(lambda: durable.look(attempt).data)
    kill(*[durable.pid(attempt, name) for name in ("runner", "build", "watch")])

    states = [durable.look(attempt).state for _ in range(5)]
    entry = durable.finish(attempt)

    assert states == [RunState.ORPHAN] * 5
    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.left) == ("lost", False)
    durable.wait_empty()


def test_kill_at_any_moment_of_the_start_leaves_no_second_run(durable: Durable) -> None:
    """kill -9 of the submitting helper's group between any two steps; whoever asks again gets one start."""
    sizes, payload = build_submission(b"echo ran; exit 5", environment={}, limits=RunLimits(grace_seconds=1))
    durable.client.poll([])
    for delay_ms in range(0, 60, 4):
        attempt = str(uuid4())
        command = ["sh", str(durable.root / "lib" / HELPER_NAME), "submit", "n", attempt, *sizes]
        environment = {"PATH": os.environ["PATH"], "BUILDBOARD_HOME": str(durable.root)}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, start_new_session=True
        ) as process:
            assert process.stdin is not None
            process.stdin.write(payload)
            process.stdin.close()
            time.sleep(delay_ms / 1000)
            os.killpg(process.pid, signal.SIGKILL)

        durable.client.submit(
            attempt, script=b"echo ran; exit 5", environment={}, limits=RunLimits(grace_seconds=1)
        )
        entry = durable.finish(attempt)

        assert entry.exit is not None
        assert (entry.exit.reason, entry.exit.code, entry.data) == ("exited", 5, b"ran\n")
        assert durable.starts(attempt) == 1
    durable.wait_empty()


def test_kill_of_the_logger_again_and_again_costs_no_build(durable: Durable) -> None:
    attempt = durable.start(
        "n=0; while [ ! -e go ]; do n=$((n + 1)); echo $n; sleep 0.5; done; echo $n >count; exit 6"
    )
    wait_for(lambda: durable.look(attempt).data)

    for _ in range(3):
        first = durable.pid(attempt, "logger")
        kill(first)
        wait_for(lambda first=first: durable.pid(attempt, "logger") != first)  # type: ignore[misc]  # bound now
    tree = durable.job(attempt) / "ws"
    (tree / "go").touch()
    entry = durable.finish(attempt)

    count = int((tree / "count").read_text())
    assert entry.exit is not None
    assert (entry.exit.code, entry.data) == (6, b"".join(b"%d\n" % n for n in range(1, count + 1)))


def test_a_new_watchdog_keeps_the_wall_limit_of_the_first(durable: Durable) -> None:
    attempt = durable.start("sleep 60", limits=RunLimits(wall_seconds=3, grace_seconds=1))
    for _ in range(60):  # a watchdog that began anew would never see its limit
        time.sleep(0.6)
        if durable.look(attempt).state == RunState.DONE:
            break
        with contextlib.suppress(ProcessLookupError):
            kill(durable.pid(attempt, "watch"))

    entry = durable.look(attempt)
    assert entry.exit is not None
    assert entry.exit.reason == "timeout"


def test_two_watchdogs_become_one(durable: Durable) -> None:
    attempt = durable.start("sleep 60")
    first = durable.pid(attempt, "watch")
    environment = {"PATH": os.environ["PATH"], "BUILDBOARD_HOME": str(durable.root)}
    second = subprocess.Popen(
        ["sh", str(durable.root / "lib" / HELPER_NAME), "watch", attempt],
        env=environment,
        start_new_session=True,
    )

    wait_for(lambda: not is_alive(first))

    assert second.poll() is None
    durable.client.cancel(attempt)
    durable.finish(attempt)
    second.wait(timeout=10)


def test_job_folder_deleted_while_it_runs_ends_the_build(durable: Durable) -> None:
    attempt = durable.start("echo hi; sleep 60 & sleep 60")
    wait_for(lambda: durable.look(attempt).data)

    shutil.rmtree(durable.job(attempt))

    assert durable.look(attempt).state == RunState.ABSENT
    durable.wait_empty()


def test_helper_replaced_while_it_runs_changes_nothing(durable: Durable) -> None:
    attempt = durable.start(COUNTING)
    wait_for(lambda: durable.look(attempt).data)
    path = durable.root / "lib" / HELPER_NAME
    other = path.with_name("bb-0123456789abcdef.sh")
    shutil.copy(path, other)

    path.unlink()  # the board finds it missing, and brings it again
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.code, entry.data) == (6, COUNTED)
    assert path.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Durable]:
    """A server whose folder is on 3 MB of memory."""
    if os.geteuid() != 0:
        require("root, to mount a small disk,")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "buildboard-test", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        require("mount of a tmpfs")
    server = Durable(folder / "work")
    yield server
    server.clear()
    subprocess.run(["umount", "-l", folder], check=True)


def test_disk_full_in_the_middle_still_delivers_the_code(small_disk: Durable) -> None:
    attempt = small_disk.start("echo first; head -c 10000000 /dev/zero; echo last; exit 9")
    entry = small_disk.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("exited", 9, False)
    assert entry.data.startswith(b"first\n\0\0\0")
    assert 2_000_000 < entry.size < 3 << 20


def test_disk_full_again_after_the_room_for_the_code_still_delivers_it(small_disk: Durable) -> None:
    # As the log does by chance: it takes the room that was made for the code before the code is there.
    logged = "until grep -q first ../log; do sleep 0.05; done"
    fill = f"{logged}; head -c 10000000 /dev/zero >fill; rm -f ../ballast; head -c 10000000 /dev/zero >more; exit 9"
    attempt = small_disk.start(f"echo first; {fill}")
    entry = small_disk.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("exited", 9, False)
    assert entry.data.startswith(b"first\n")


def test_disk_full_at_the_start_is_a_clear_refusal(small_disk: Durable) -> None:
    small_disk.client.poll([])
    with (small_disk.root / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * 4096)

    with pytest.raises(HelperRefused) as refused:
        small_disk.start("echo ran")

    assert (refused.value.word, refused.value.status) == ("full", 74)
    (small_disk.root / "filler").unlink()
    assert small_disk.finish(small_disk.start("echo ran")).data == b"ran\n"


def test_disk_below_the_floor_ends_the_build(small_disk: Durable) -> None:
    attempt = small_disk.start(
        "echo hi; head -c 1500000 /dev/zero >big; exec sleep 60",
        limits=RunLimits(grace_seconds=1, disk_floor_kib=1500),
    )
    entry = small_disk.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.left, entry.data) == ("diskfull", False, b"hi\n")
    small_disk.wait_empty()
