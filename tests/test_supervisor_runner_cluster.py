"""The runner's cluster loses a member to kill -9: it is replaced, and a build that runs meanwhile goes on."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from buildboard.supervisor.busy import busy_workers
from tests.boards import RECOVER_SECONDS
from tests.repositories import make_repository
from tests.whole_board import WholeBoard

# The board here has a database of its own.
pytestmark = [pytest.mark.slow, pytest.mark.sqlite_only]

HELD = "SELECT id FROM django_q_ormq WHERE key LIKE 'runner@%' AND lock > datetime('now', '+1 minute')"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeBoard]:
    with WholeBoard(tmp_path_factory.mktemp("board")).running() as running:
        make_repository(running.folder / "demo", {"README": "x\n"})
        yield running


def runner_of(board: WholeBoard) -> int:
    """The worker of a whole cluster that is in the runner's task and gave a sign of life."""

    def look() -> int:
        with suppress(psutil.NoSuchProcess, StopIteration, IndexError):
            workers = [worker.pid for worker in busy_workers(board.data_dir / "busy" / "runner")]
            members = [member.pid for member in board.members("runner")]
            ((pid,),) = board.query("SELECT COALESCE(MAX(pid), 0) FROM core_heartbeat WHERE name = 'runner'")
            if len(members) == 3 and pid in members and pid in workers:
                return int(str(pid))
        return 0

    return board.wait_for(look, what="a runner", seconds=RECOVER_SECONDS)


def monitor_and_pusher(board: WholeBoard) -> list[psutil.Process]:
    """Both, in the order in which they were started; the worker may have been started again since."""
    runner = runner_of(board)
    return [member for member in board.members("runner") if member.pid != runner]


def submit(board: WholeBoard, command: str) -> str:
    return board.submit(board.folder / "demo", build_command=command)


def enqueue_behind_the_runner(board: WholeBoard) -> int:
    """A task that the pusher has in its hand until the runner's task is over; its row."""
    board.wait_for(lambda: len(board.query(HELD)) == 2, what="a ping waits", seconds=RECOVER_SECONDS)
    call = "from buildboard.core.enqueue import enqueue; print(enqueue('time.sleep', 0, cluster='runner'))"
    row = int(board.run(call))
    board.wait_for(lambda: (row,) in board.query(HELD), what="the pusher takes it", seconds=RECOVER_SECONDS)
    return row


def assert_result_is_acknowledged(board: WholeBoard, row: int) -> None:
    """The task leaves the queue at its end: pusher, worker and monitor do their parts."""
    os.kill(runner_of(board), signal.SIGTERM)  # it hands over, and its worker is free for the next task
    board.wait_for(lambda: not board.is_queued(row), what="acknowledged", seconds=RECOVER_SECONDS)


def assert_builds_complete(board: WholeBoard) -> None:
    assert board.wait_until_finished(submit(board, "true"))["status"] == "completed"


@pytest.mark.parametrize("number", [0, 1], ids=["monitor", "pusher"])
def test_cluster_that_lost_a_member_beside_a_busy_runner_is_replaced_and_the_build_goes_on(
    board: WholeBoard, number: int, tmp_path: Path
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    build = submit(
        board, f"echo begun; touch {begun}; while [ ! -e {go} ]; do sleep 0.1; done; echo ended; exit 5"
    )
    board.wait_for(begun.exists, what="the build runs", seconds=60)
    row = enqueue_behind_the_runner(board)
    leader = board.leader("runner")

    monitor_and_pusher(board)[number].kill()

    board.wait_until_replaced("runner", leader)
    assert_result_is_acknowledged(board, row)
    go.touch()
    job = board.wait_until_finished(build)
    assert (job["status"], job["exit_code"], job["attempts"]) == ("failed", 5, 1)
    assert board.log(build).count(b"begun\nended\n") == 1
    assert_builds_complete(board)
    assert f"The cluster runner lost its {'pusher' if number else 'monitor'} and is replaced" in board.output


def test_cluster_whose_worker_was_killed_between_two_tasks_is_replaced(board: WholeBoard) -> None:
    monitor, pusher = monitor_and_pusher(board)
    row = enqueue_behind_the_runner(board)
    leader = board.leader("runner")
    pusher.suspend()  # the next worker gets the ping that waits, and nothing after it
    (running,) = busy_workers(board.data_dir / "busy" / "runner")
    (ping,) = {int(str(held)) for (held,) in board.query(HELD)} - {row, running.row}
    os.kill(running.pid, signal.SIGKILL)
    board.wait_for(lambda: not board.is_queued(ping), what="an idle worker", seconds=RECOVER_SECONDS)
    (idle,) = [member for member in board.members("runner") if member not in (monitor, pusher)]

    idle.kill()

    board.wait_until_replaced("runner", leader)
    assert_result_is_acknowledged(board, row)
    assert_builds_complete(board)
    assert "The cluster runner lost its idle worker and is replaced" in board.output
