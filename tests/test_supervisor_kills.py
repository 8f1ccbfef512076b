"""Every process of a board killed with -9, idle and busy: work goes on, and nothing is left behind."""

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from buildboard.supervisor.busy import busy_workers
from tests.boards import RECOVER_SECONDS, RunningBoard, running_board

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


def wait_until_idle(board: RunningBoard) -> None:
    """Until the cluster of short tasks has just answered a ping: nothing comes for some seconds."""
    before = board.now()
    board.wait_for(
        lambda: board.beats_after("ping:buildboard", before), what="a ping", seconds=RECOVER_SECONDS
    )
    held = "SELECT 1 FROM django_q_ormq WHERE key LIKE 'buildboard@%'"
    board.wait_for(lambda: not board.query(held), what="its row is gone", seconds=RECOVER_SECONDS)


# Before any test that has a single worker replaced: in a fresh cluster members are told by their order.
@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "idle worker"), (-2, "monitor"), (-1, "pusher")],
    ids=["worker", "monitor", "pusher"],
)
def test_cluster_that_lost_a_member_is_replaced_whole(board: RunningBoard, number: int, name: str) -> None:
    """What a killed member had in its hand, a row or the lock of a queue, is lost to the others."""
    wait_until_idle(board)
    leader, victim = board.leader("buildboard"), board.members("buildboard")[number]
    before = board.now()

    victim.kill()

    board.wait_until_replaced("buildboard", leader)
    assert_work_goes_on(board, after=before)
    assert f"The cluster buildboard lost its {name} and is replaced" in board.output


def test_cluster_that_is_deaf_is_replaced(board: RunningBoard) -> None:
    """All its processes live, and nothing works."""
    leader, before = board.leader("buildboard"), board.now()
    board.members("buildboard")[-1].suspend()

    board.wait_until_replaced("buildboard", leader)

    assert_work_goes_on(board, after=before)
    assert "The cluster buildboard takes no tasks any more and is replaced" in board.output


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


def test_supervisor_that_was_killed_takes_all_along_and_can_be_started_again() -> None:
    with running_board("--no-local-server") as board:
        board.process.kill()
        board.process.wait()

        board.assert_nothing_left(within_seconds=RECOVER_SECONDS)

        board.start()
        assert "first start" not in board.output


@pytest.mark.parametrize("is_stuck", [False, True])
def test_what_outlives_the_supervisor_and_the_heads_of_the_clusters_ends_itself(*, is_stuck: bool) -> None:
    """Even while a sentinel waits for a lock that a killed worker took along."""
    with running_board("--no-local-server") as board:
        folder = board.data_dir / "busy" / "runner"
        (busy,) = board.wait_for(lambda: busy_workers(folder), what="a runner", seconds=RECOVER_SECONDS)
        heads = [board.process.pid, board.leader("buildboard").pid, board.leader("runner").pid]
        orphan = board.sentinel("runner")
        if is_stuck:
            orphan.suspend()

        for pid in [*heads, busy.pid]:  # the runner's next worker has nothing to do
            os.kill(pid, signal.SIGKILL)
        board.process.wait()

        assert orphan.is_running()
        board.assert_nothing_left(within_seconds=RECOVER_SECONDS)
