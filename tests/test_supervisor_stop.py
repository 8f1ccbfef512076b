"""How a board ends, and how it lives through an outage of its database."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from buildboard.supervisor import busy, tie
from buildboard.supervisor.board import Board
from buildboard.supervisor.group import LONGEST_DELAY_SECONDS, Group, Spec
from tests.boards import RECOVER_SECONDS, ROOT, RunningBoard, running_board
from tests.requirements import require
from tests.services import fresh_database, postgres_url
from tests.waiting import wait_for

# The boards here have databases of their own.
pytestmark = [pytest.mark.slow, pytest.mark.sqlite_only]

WAIT_SECONDS = 20.0


def start_detached(board: RunningBoard, pid_file: Path) -> psutil.Process:
    """Have a worker start a process in a session of its own, as a build on this machine is."""
    board.enqueue("os.system", f"setsid sh -c 'echo $$ > {pid_file}; exec sleep 300' &")
    pid = board.wait_for(
        lambda: pid_file.exists() and pid_file.read_text(), what="a build", seconds=WAIT_SECONDS
    )
    return psutil.Process(int(pid))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_one_signal_ends_all_but_builds(tmp_path: Path, number: signal.Signals) -> None:
    with running_board("--no-local-server", "--web", "2") as board:
        build = start_detached(board, tmp_path / "pid")
        board.enqueue("time.sleep", 100)
        folder = board.data_dir / "busy" / "buildboard"
        board.wait_for(lambda: busy.busy_workers(folder), what="a busy worker", seconds=WAIT_SECONDS)

        status = board.stop(number)

        try:
            assert status == 0
            assert [process for process in board.processes() if process != build] == []
            assert build.status() == psutil.STATUS_SLEEPING
            assert (
                board.lines[-1] == "Stopped. Running builds go on and are followed again at the next start."
            )
            assert board.query("SELECT COUNT(*) FROM core_heartbeat WHERE name = 'runner'") == [(0,)]
        finally:
            build.kill()


@pytest.mark.postgres
def test_board_lives_through_an_outage_of_its_database() -> None:
    require("postgres")
    name = f"outage_{os.getpid()}"
    with (
        fresh_database(name) as url,
        psycopg.connect(postgres_url(), autocommit=True) as postgres,
        running_board("--no-local-server", extra={"DATABASE_URL": url}) as board,
    ):
        leaders = [board.leader(word).pid for word in ("web", "buildboard", "runner")]

        cut_off(postgres, name)
        board.wait_for(lambda: board.status("/readyz") == 503, what="not ready", seconds=WAIT_SECONDS)
        assert board.status("/healthz") == 200
        board.wait_for(lambda: "The database is away" in board.output, what="a word", seconds=WAIT_SECONDS)
        postgres.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))

        board.wait_for(lambda: board.status("/readyz") == 200, what="ready again", seconds=RECOVER_SECONDS)
        row = board.enqueue("time.sleep", 0)
        is_queued = f"from buildboard.core.enqueue import is_queued; print(is_queued({row}))"
        board.wait_for(
            lambda: board.run(is_queued).strip() == "False", what="a task", seconds=RECOVER_SECONDS
        )
        assert [board.leader(word).pid for word in ("web", "buildboard", "runner")] == leaders
        assert board.output.count("The database is away") == 1
        assert board.stop() == 0
        board.assert_nothing_left()


def cut_off(postgres: "psycopg.Connection[tuple[object, ...]]", name: str) -> None:
    postgres.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


# ---- groups ---------------------------------------------------------------------------------------------


def shell_group(script: str) -> Group:
    return Group(Spec(name="test", command=["sh", "-c", script]))


@pytest.fixture
def groups() -> Iterator[list[Group]]:
    made: list[Group] = []
    yield made
    for group in made:
        group.kill()


def wait_ended(group: Group) -> None:
    wait_for(group.has_ended, what="the first process ends", seconds=WAIT_SECONDS)


def test_rest_of_a_group_is_killed_when_its_first_process_ends_well(
    groups: list[Group], tmp_path: Path
) -> None:
    group = shell_group(f"sleep 300 & echo $! > {tmp_path / 'pid'}")
    groups.append(group)
    group.start_when_due()
    wait_ended(group)
    orphan = psutil.Process(int((tmp_path / "pid").read_text()))

    status = group.clean_up()

    assert status == 0
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE


def test_restart_waits_longer_each_time_up_to_a_bound(groups: list[Group]) -> None:
    group = shell_group("exit 3")
    groups.append(group)
    for delay in (0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_DELAY_SECONDS):
        group._due_at = 0.0
        assert group.start_when_due()
        wait_ended(group)
        before = time.monotonic()
        assert group.clean_up() == 3
        assert before + delay <= group._due_at <= time.monotonic() + delay
        assert not group.start_when_due()


def test_command_that_cannot_be_started_is_tried_again_later(
    groups: list[Group], caplog: pytest.LogCaptureFixture
) -> None:
    group = Group(Spec(name="test", command=["/nowhere/at/all"]))
    groups.append(group)

    assert not group.start_when_due()

    assert (group.pid, group.has_ended()) == (0, False)
    assert group._due_at > time.monotonic()
    assert caplog.messages == [
        "test cannot be started: [Errno 2] No such file or directory: '/nowhere/at/all'"
    ]


def test_replaced_group_is_due_at_once(groups: list[Group]) -> None:
    group = shell_group("exec sleep 300")
    groups.append(group)
    group.start_when_due()
    first = group.pid

    group.replace()

    assert group.start_when_due()
    assert group.pid not in (0, first)


def test_second_signal_skips_the_graces(groups: list[Group], monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = shell_group("trap '' TERM; sleep 300 & wait; wait")
    groups.append(stubborn)
    stubborn.start_when_due()
    board = Board(web=[stubborn], clusters=[])
    monkeypatch.setattr("buildboard.supervisor.board.WEB_SECONDS", 300.0)
    board._signals = 2

    board.stop()

    assert stubborn.pid == 0


# ---- the tie --------------------------------------------------------------------------------------------


def test_child_whose_supervisor_is_gone_before_it_starts_ends_at_once() -> None:
    gone = subprocess.Popen(["true"])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), tie.SUPERVISOR_VARIABLE: f"{gone.pid}:never"}
    gone.wait()
    program = "from buildboard.supervisor import tie; tie.tie_leader(); print('started')"

    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "buildboard: the supervisor is gone\n"


def test_note_of_a_task_names_the_worker_until_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(busy.FOLDER_VARIABLE, str(tmp_path))

    busy.note_task(row=7, path="a.b")

    (worker,) = busy.busy_workers(tmp_path)
    assert (worker.pid, worker.row, worker.path, worker.is_alive) == (os.getpid(), 7, "a.b", True)
    busy.note_end()
    assert busy.busy_workers(tmp_path) == []
