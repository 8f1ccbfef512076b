"""Entry points of django-q2's tasks, named by dotted path; each is short or stops when told, and may run twice."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING
from uuid import UUID

from buildboard.core.enqueue import enqueue
from buildboard.core.machine import machine_id
from jobs.diagnosis import hosts
from jobs.logs import seal
from jobs.queue import predictions

if TYPE_CHECKING:
    from jobs.execution.runner import Runner

RUN_SECONDS = 600.0
SEAL_SECONDS = 60.0


def run_builds() -> None:
    """Run builds for up to ten minutes, then hand over to the next task; at once when a live runner is here."""
    from jobs.execution.runner import Runner, live_runner_here  # noqa: PLC0415  # other clusters need nothing of it

    if live_runner_here():
        return
    runner = Runner()
    with _stopped_by_sigterm(runner):
        runner.run(seconds=RUN_SECONDS)
    if runner.ran_out:
        enqueue("jobs.tasks.run_builds", cluster="runner", machine=machine_id())


def judge_server(attempt_id: UUID) -> None:
    """Look whether the server is at fault on which an attempt failed, or that was on trial with it."""
    hosts.judge_server(attempt_id)


def foresee_queue() -> None:
    """Foresee when jobs start and end, keep it, and note beside what was foreseen before what came."""
    predictions.refresh()


def seal_log(attempt_id: UUID) -> None:
    """Seal the long log of an attempt that has ended."""
    seal.seal_log(attempt_id)


def seal_all() -> None:
    """Seal the other logs that ended since, and remove what was left of sealing."""
    seal.seal_all(seconds=SEAL_SECONDS)


@contextmanager
def _stopped_by_sigterm(runner: "Runner") -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        runner.stop()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
