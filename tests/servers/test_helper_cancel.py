"""A cancel, a limit or an end leaves nothing of a build, however its processes behave."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.frames import RunLimits, RunState
from servers.runs import CancelOutcome
from tests.servers.durable import Durable, is_alive, kill
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

# Each tells a process in `pid` of its work tree, and is set up once `ready` is there. TELL does both.
TELL = "echo $$ >pid; touch ready;"
TREES = {
    "plain": "sleep 300 & echo $! >pid; touch ready; wait",
    "ignores-term": f"trap '' TERM; {TELL} while :; do sleep 300; done",
    "stopped": f"sh -c '{TELL} kill -STOP $$; sleep 300'",
    "stops-itself": f"{TELL} kill -STOP $$; sleep 300",
    "new-session": "setsid sleep 300 & echo $! >pid; touch ready; wait",
    "new-session-ignores-term": f"setsid sh -c 'trap : TERM; {TELL} while :; do sleep 1; done' & wait",
    "double-fork": "(setsid sh -c 'sleep 300 & echo $! >pid; touch ready' &); sleep 300",
    "empty-environment": f"env -i setsid sh -c '{TELL} exec sleep 300' & wait",
    "empty-environment-elsewhere": f"env -i setsid sh -c '{TELL} cd /; exec sleep 300' & wait",
    "marked-alone": f"setsid sh -c '{TELL} cd /; exec sleep 300 >/dev/null 2>&1' & wait",
    "own-session-silent": (
        f"env -i sh -c '{TELL} cd /; trap : TERM; exec >/dev/null 2>&1; while :; do sleep 1; done' & wait"
    ),
    "forking": f"f() {{ (sleep 0.05; f) & (exec sleep 300) & }}; {TELL} f; sleep 300",
    "deep": f"n() {{ [ $1 -lt 20 ] || {{ {TELL} exec sleep 300; }}; (n $(($1 + 1))); }}; n 0",
}


def is_ready(durable: Durable, attempt: str) -> int:
    """The pid that the tree wrote, once it is there."""
    tree = durable.job(attempt) / "ws"
    wait_for(lambda: (tree / "ready").exists() and (tree / "pid").read_text().endswith("\n"))
    return int((tree / "pid").read_text())


@pytest.mark.parametrize("name", TREES)
def test_cancel_leaves_nothing_of_a_tree(durable: Durable, name: str) -> None:
    attempt = durable.start(TREES[name], limits=RunLimits(grace_seconds=1))
    pid = is_ready(durable, attempt)

    assert durable.client.cancel(attempt) in {CancelOutcome.REQUESTED, CancelOutcome.DONE}
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.left) == ("cancelled", False)
    assert not is_alive(pid)
    durable.wait_empty()
    assert durable.look(attempt) == entry


@pytest.mark.parametrize(
    "name", ["plain", "new-session", "empty-environment", "marked-alone", "own-session-silent", "forking"]
)
def test_end_leaves_no_daemon_and_keeps_the_code(durable: Durable, name: str) -> None:
    script = TREES[name].replace("wait", "").replace("sleep 300\n", "")
    attempt = durable.start(
        f"({script}) & while [ ! -e ready ] || [ ! -s pid ]; do sleep 0.01; done; exit 4",
        limits=RunLimits(grace_seconds=1),
    )
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("exited", 4, False)
    assert not is_alive(int((durable.job(attempt) / "ws" / "pid").read_text()))
    durable.wait_empty()


def test_end_leaves_none_of_several_that_shed_all_but_the_session(durable: Durable) -> None:
    """What the kernel says of eight in a row is not taken for the numbers that say that none is left."""
    attempt = durable.start(
        "printf '#!/bin/sh\\nkill -STOP $$\\n' >nap.1.2; chmod +x nap.1.2; tree=$PWD; cd /\n"
        'for one in 1 2 3 4 5 6 7 8; do env -i "$tree/nap.1.2" </dev/null >/dev/null 2>&1 & '
        'echo $! >>"$tree/pids"; done\n'
        'until [ -e "$tree/stopped" ]; do sleep 0.01; done; exit 4\n',
        limits=RunLimits(grace_seconds=1),
    )
    tree = durable.job(attempt) / "ws"

    def stopped() -> list[int]:
        pids = [int(line) for line in (tree / "pids").read_text().split()] if (tree / "pids").exists() else []
        words = [Path(f"/proc/{pid}/stat").read_text().split()[1:3] for pid in pids]
        return pids if words == [["(nap.1.2)", "T"]] * 8 else []

    pids = wait_for(stopped)
    (tree / "stopped").touch()
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("exited", 4, False)
    assert [pid for pid in pids if is_alive(pid)] == []
    assert (durable.job(attempt) / "err").read_text() == ""


def test_cancel_under_every_shell(durable_any_shell: Durable) -> None:
    attempt = durable_any_shell.start(TREES["ignores-term"], limits=RunLimits(grace_seconds=1))
    pid = is_ready(durable_any_shell, attempt)

    assert durable_any_shell.client.cancel(attempt) == CancelOutcome.REQUESTED
    assert durable_any_shell.client.cancel(attempt, reason="again") == CancelOutcome.REQUESTED
    entry = durable_any_shell.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("cancelled", 137, False)
    assert not is_alive(pid)
    durable_any_shell.wait_empty()


def test_cancel_lets_a_build_clean_up_within_its_grace(durable: Durable) -> None:
    attempt = durable.start(
        "trap 'sleep 0.5; echo cleaned; exit 3' TERM; echo $$ >pid; touch ready; while :; do sleep 0.1; done",
        limits=RunLimits(grace_seconds=10),
    )
    is_ready(durable, attempt)

    durable.client.cancel(attempt)
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code) == ("cancelled", 3)
    assert entry.data.endswith(b"cleaned\n")


def test_cancel_right_after_the_launch_never_misses(durable: Durable) -> None:
    for _ in range(10):
        attempt = durable.start("echo hi; sleep 60")

        durable.client.cancel(attempt)
        entry = durable.finish(attempt)

        assert entry.exit is not None
        assert (entry.exit.reason, entry.exit.left) == ("cancelled", False)
    durable.wait_empty()


def test_cancel_with_the_watchdog_dead_is_carried_out(durable: Durable) -> None:
    attempt = durable.start(TREES["ignores-term"], limits=RunLimits(grace_seconds=1))
    is_ready(durable, attempt)

    kill(*[durable.pid(attempt, name) for name in ("runner", "watch")])
    assert durable.client.cancel(attempt) == CancelOutcome.REQUESTED
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.left) == ("cancelled", False)
    durable.wait_empty()


def test_cancel_leaves_another_attempt_alone(durable: Durable) -> None:
    first, second = (durable.start("echo hi; sleep 60") for _ in range(2))
    wait_for(lambda: durable.look(first).data and durable.look(second).data)

    durable.client.cancel(first)
    durable.finish(first)

    assert durable.look(second).state == RunState.RUNNING
    durable.client.cancel(second)
    durable.finish(second)


def test_idle_build_is_ended_and_a_talking_one_is_not(durable: Durable) -> None:
    limits = RunLimits(idle_seconds=4, grace_seconds=1)
    idle = durable.start("echo hi; sleep 60", limits=limits)
    talking = durable.start("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i; sleep 0.5; done", limits=limits)

    entries = [durable.finish(attempt) for attempt in (idle, talking)]

    assert [entry.exit.reason for entry in entries if entry.exit] == ["idle", "exited"]


def test_build_within_its_limits_ends_by_itself(durable: Durable) -> None:
    limits = RunLimits(wall_seconds=60, idle_seconds=60, grace_seconds=1, disk_floor_kib=1)

    entry = durable.finish(durable.start("echo hi; sleep 1.5; exit 2", limits=limits))

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code) == ("exited", 2)


@pytest.fixture
def armed(tmp_path: Path) -> Iterator[Durable]:
    """A server whose next look at processes that were listed waits until one of them has left a child and gone."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "grep").write_text(
        f"#!/bin/sh\nif [ -e {tmp_path}/armed ]; then touch {tmp_path}/listed; "
        f"until [ -e {tmp_path}/gone ]; do sleep 0.02; done; fi\n"
        f'exec {shutil.which("grep")} "$@"\n'
    )
    (tools / "grep").chmod(0o755)
    server = Durable(tmp_path / "work", environment={"PATH": f"{tools}:{os.environ['PATH']}"})
    yield server
    server.clear()


@pytest.mark.parametrize("ended_by", ["itself", "kill -9 of its wrapper"])
def test_end_finds_what_a_process_leaves_that_goes_while_it_is_looked_for(
    armed: Durable, tmp_path: Path, ended_by: str
) -> None:
    leaves = (
        f'until [ -e "{tmp_path}/listed" ]; do sleep 0.02; done; '
        "(cd /; exec >/dev/null 2>&1; while [ -e /proc/$$/cwd ]; do sleep 0.02; done; "
        f"touch {tmp_path}/gone; exec sleep 60) & echo $! >pid"
    )
    ways = {"itself": f"setsid sh -c '{leaves}' & exit 4", "kill -9 of its wrapper": f"exec sh -c '{leaves}'"}
    attempt = armed.start(f"touch {tmp_path}/armed; {ways[ended_by]}")

    wait_for((tmp_path / "armed").exists)
    if ended_by != "itself":
        kill(armed.pid(attempt, "build"))
    entry = armed.finish(attempt)

    assert entry.exit is not None
    code = 4 if ended_by == "itself" else 137
    assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("exited", code, False)
    assert not is_alive(int((armed.job(attempt) / "ws" / "pid").read_text()))
    armed.wait_empty()
