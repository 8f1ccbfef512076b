"""One logger at a time, however slowly it starts: two readers of a build's output would mix up its log."""

import contextlib
import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.servers.durable import Durable, is_alive, kill
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
SCRIPT = "i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); sleep 0.1; done"
WHOLE = b"".join(b"line %d\n" % number for number in range(30))


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Durable]:
    """A server on which each logger takes 1.5 s to sign, longer than the watchdog waits between two looks."""
    tools = tmp_path / "tools"
    tools.mkdir()
    begun, real = shlex.quote(str(tmp_path / "begun")), shutil.which("mv")
    (tools / "mv").write_text(
        f'#!/bin/sh\ncase $2 in logger.*) echo "${{2##*.}}" >>{begun}; sleep 1.5 ;; esac\nexec {real} "$@"\n'
    )
    (tools / "mv").chmod(0o755)
    server = Durable(tmp_path / "work", environment={"PATH": f"{tools}:{os.environ['PATH']}"})
    yield server
    server.clear()


@pytest.fixture
def slow_shell(tmp_path: Path) -> Iterator[Durable]:
    """A server on which a logger that takes over needs 1.5 s to begin."""
    shell = tmp_path / "slow.sh"
    shell.write_text('[ "$2" != logger ] || sleep 1.5\nexec sh "$@"\n')
    server = Durable(tmp_path / "work", shell=("sh", str(shell)))
    yield server
    server.clear()


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def writers_of(server: Durable, attempt: str) -> list[int]:
    """Processes that write what they read to the log."""
    found = []
    for path in Path("/proc").glob("[0-9]*/fd/1"):
        with contextlib.suppress(OSError):
            if path.readlink() == server.job(attempt) / "log":
                found.append(int(path.parts[2]))
    return found


def begun(slow: Durable) -> list[int]:
    path = slow.root.parent / "begun"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def test_a_logger_that_starts_slowly_stays_the_only_one(slow: Durable) -> None:
    attempt = slow.start(SCRIPT)

    assert slow.finish(attempt).data == WHOLE
    assert len(begun(slow)) == 1


def test_a_logger_that_died_is_replaced_by_one(slow_shell: Durable) -> None:
    attempt = slow_shell.start(SCRIPT.replace("0.1", "0.3"))  # it outlives the change
    first = slow_shell.pid(attempt, "logger")
    wait_for(lambda: slow_shell.look(attempt).data)

    kill(first, *children_of(first))
    wait_for(lambda: slow_shell.pid(attempt, "logger") != first)
    second = slow_shell.pid(attempt, "logger")
    wait_for(lambda: b"line 25" in slow_shell.look(attempt).data)
    later = slow_shell.pid(attempt, "logger")
    lines = slow_shell.finish(attempt).data.splitlines()

    assert later == second
    assert lines == sorted(lines, key=WHOLE.splitlines().index)
    assert lines[-1] == b"line 29"


def test_a_logger_that_died_before_it_signed_is_replaced(slow: Durable) -> None:
    attempt = slow.start(SCRIPT.replace("0.1", "0.5"))
    wait_for(lambda: begun(slow))

    for pid in begun(slow):
        kill(pid)

    wait_for(lambda: slow.look(attempt).data)
    assert slow.finish(attempt).data == WHOLE


def test_what_a_killed_logger_left_reading_stays_the_only_reader(
    durable_any_shell: Durable, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    attempt = durable_any_shell.start(f"echo first; until [ -e '{go}' ]; do sleep 0.05; done; seq 1 200000")
    wait_for(lambda: durable_any_shell.look(attempt).data)
    first = durable_any_shell.pid(attempt, "logger")
    wait_for(lambda: children_of(first))

    kill(first)
    wait_for(lambda: durable_any_shell.pid(attempt, "logger") != first)
    wait_for(lambda: children_of(durable_any_shell.pid(attempt, "logger")))
    writers = writers_of(durable_any_shell, attempt)
    go.touch()
    log = durable_any_shell.read(attempt)

    assert len(writers) == 1
    assert log == b"first\n" + b"".join(b"%d\n" % number for number in range(1, 200_001))
    assert writers_of(durable_any_shell, attempt) == []


def test_a_logger_that_is_killed_at_the_very_end_loses_nothing(
    durable_any_shell: Durable, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    attempt = durable_any_shell.start(
        f"echo first; until [ -e '{go}' ]; do sleep 0.05; done; seq 1 5000; exit 3"
    )
    wait_for(lambda: durable_any_shell.look(attempt).data)
    logger = durable_any_shell.pid(attempt, "logger")
    wait_for(lambda: children_of(logger))
    stopped = [logger, *children_of(logger)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    go.touch()
    wait_for(lambda: (durable_any_shell.job(attempt) / "rc").exists(), what="the build ended")

    kill(*stopped)
    entry = durable_any_shell.finish(attempt)

    assert entry.data == b"first\n" + b"".join(b"%d\n" % number for number in range(1, 5001))
    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("exited", 3, False)
    durable_any_shell.wait_empty()


def test_output_outlasts_runner_and_logger_that_die_together(
    durable_any_shell: Durable, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    attempt = durable_any_shell.start(
        f"echo first; until [ -e '{go}' ]; do sleep 0.05; done; seq 1 5000; exit 3"
    )
    runner = durable_any_shell.pid(attempt, "runner")
    log, watch = (durable_any_shell.job(attempt) / name for name in ("log", "watch"))
    wait_for(lambda: log.read_bytes() == b"first\n")

    os.killpg(runner, signal.SIGKILL)  # before anybody looks, which would start a watchdog
    if watch.exists():
        kill(durable_any_shell.pid(attempt, "watch"))
    go.touch()
    wait_for(lambda: (durable_any_shell.job(attempt) / "rc").exists(), what="the build ended")
    inner = durable_any_shell.pid(attempt, "build")
    wait_for(lambda: not is_alive(inner), what="its wrapper ended, too")
    entry = durable_any_shell.finish(attempt)

    assert entry.data == b"first\n" + b"".join(b"%d\n" % number for number in range(1, 5001))
    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("exited", 3, False)
    durable_any_shell.wait_empty()
