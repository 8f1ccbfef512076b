"""Every process of a board killed with -9, idle and busy: work goes on, and nothing is left behind."""

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from buildboard.supervisor.busy import busy_workers
from tests.boards import RECOVER_SECONDS, RunningBoard, running_board, running_boards

# The boards here have databases of their own.
pytestmark = [pytest.mark.slow, pytest.mark.sqlite_only]


@pytest.fixture(scope="module")
def board() -> Iterator[RunningBoard]:
    with running_board("--no-local-server") as running:
        yield running


def assert_work_goes_on(board: RunningBoard, *, after: str) -> None:
    """A task that is enqueued now runs, a runner beats, and probes are content."""
    board.wait_for(
        lambda: board.beats_after("runner", after) and board.status("/readyz") == 200,
        what="a live runner",
        seconds=RECOVER_SECONDS,
    )
    row = board.enqueue("time.sleep", 0)
    wait_for_task(board, row)


def wait_for_task(board: RunningBoard, row: int, *, seconds: float = RECOVER_SECONDS) -> None:
    board.wait_for(lambda: not board.is_queued(row), what=f"task {row} has run", seconds=seconds)


def kill_and_wait_for_its_group(victim: psutil.Process, leader: psutil.Process) -> None:
    family = [leader, *leader.children(recursive=True)]
    victim.kill()
    _, alive = psutil.wait_procs(family, timeout=RECOVER_SECONDS)
    assert alive == []


@pytest.mark.parametrize("cluster", ["buildboard", "runner"])
@pytest.mark.parametrize("role", ["main", "sentinel"])
def test_cluster_whose_head_was_killed_is_replaced_whole(
    board: RunningBoard, cluster: str, role: str
) -> None:
    leader = board.leader(cluster)
    victim = leader if role == "main" else board.sentinel(cluster)
    before = board.now()

    kill_and_wait_for_its_group(victim, leader)

    assert_work_goes_on(board, after=before)
    assert board.leader(cluster).pid != leader.pid


def test_web_that_was_killed_answers_again(board: RunningBoard) -> None:
    before = board.now()
    board.leader("web").kill()

    assert_work_goes_on(board, after=before)


def test_runner_that_was_killed_is_followed_by_another(board: RunningBoard) -> None:
    before = board.now()
    (runner,) = busy_workers(board.data_dir / "busy" / "runner")
    os.kill(runner.pid, signal.SIGKILL)

    assert_work_goes_on(board, after=before)
    assert board.query("SELECT COUNT(*) FROM core_heartbeat WHERE name = 'runner'") == [(1,)]
    assert runner.pid not in [worker.pid for worker in busy_workers(board.data_dir / "busy" / "runner")]


def test_runner_that_hangs_is_replaced(board: RunningBoard) -> None:
    before = board.now()
    (runner,) = busy_workers(board.data_dir / "busy" / "runner")
    os.kill(runner.pid, signal.SIGSTOP)
    # Signs of life that were on their way are not those of the next one.
    board.wait_for(lambda: not psutil.pid_exists(runner.pid), what="it ends", seconds=RECOVER_SECONDS)

    assert_work_goes_on(board, after=before)
    assert f"The runner (process {runner.pid}) hangs and is killed" in board.output


def test_task_of_a_killed_worker_is_run_again(board: RunningBoard) -> None:
    row = board.enqueue("time.sleep", 2)
    folder = board.data_dir / "busy" / "buildboard"
    (first,) = board.wait_for(
        lambda: [worker for worker in busy_workers(folder) if worker.row == row],
        what="the task begins",
        seconds=RECOVER_SECONDS,
    )

    os.kill(first.pid, signal.SIGKILL)

    wait_for_task(board, row)


def test_pusher_that_was_killed_is_replaced(board: RunningBoard) -> None:
    before = board.now()
    board.leader("buildboard").kill()  # a fresh cluster, so that its members are told by their order
    assert_work_goes_on(board, after=before)

    before = board.now()
    board.members("buildboard")[-1].kill()

    assert_work_goes_on(board, after=before)


def test_cluster_left_deaf_by_a_kill_is_replaced() -> None:
    """An idle worker or monitor that is killed takes a lock along: all look alive, and nothing works."""
    with running_boards([["--no-local-server"], ["--no-local-server", "--web", "2"]]) as boards:
        killed_at = time.monotonic()
        leaders = [board.leader("buildboard").pid for board in boards]
        first, second, monitor, _ = boards[0].members("buildboard")
        first.kill()
        second.kill()
        _, _, monitor, _ = boards[1].members("buildboard")
        monitor.kill()

        rows = [board.enqueue("time.sleep", 0) for board in boards]

        for board, row, leader in zip(boards, rows, leaders, strict=True):
            within = max(1.0, RECOVER_SECONDS - (time.monotonic() - killed_at))
            wait_for_task(board, row, seconds=within)
            assert board.leader("buildboard").pid != leader


def test_supervisor_that_was_killed_takes_all_along_and_can_be_started_again() -> None:
    with running_board("--no-local-server") as board:
        board.process.kill()
        board.process.wait()

        board.assert_nothing_left(within_seconds=RECOVER_SECONDS)

        board.start()
        assert "first start" not in board.output
