"""How far an active attempt is and when it should end, from builds like it. A help, not a promise."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from jobs.models import Attempt, BuildJob
from jobs.queue.durations import Learnt, learn_of
from jobs.queue.lasting import Range, left_between
from jobs.queue.predictions import Moments
from jobs.states import ATTEMPT_ACTIVE, Phase

_MOST_PERCENT = 99


@dataclass(frozen=True)
class Progress:
    """`step` counts from 1. The rest is None while nothing like it has completed; `over` until it takes longer.

    `left` and `over` are seconds; `learnt` is how long builds like it take, and of how many that was learnt.
    """

    percent: int = 0
    step: int = 1
    learnt: Learnt | None = None
    left: Range | None = None
    over: float | None = None
    ends: Moments | None = None


def progress_of(job: BuildJob, attempt: Attempt | None) -> Progress:
    """Of an attempt that runs, else nothing. One query."""
    if attempt is None or attempt.status not in ATTEMPT_ACTIVE:
        return Progress(job.progress)
    learnt = learn_of([job]).get(job.pk) if attempt.started_at else None
    return _progress(job, attempt, learnt=learnt, now=timezone.now())


def progress_among(attempts: Sequence[Attempt]) -> dict[UUID, Progress]:
    """The same of several that run, by their jobs' ids, which are read already. One query; none for none."""
    learnt, now = learn_of([one.job for one in attempts if one.started_at]), timezone.now()
    return {one.job_id: _progress(one.job, one, learnt=learnt.get(one.job_id), now=now) for one in attempts}


def first_end(found: Iterable[Progress]) -> Range | None:
    """When the first of these builds ends; None when of one of them nobody can tell."""
    left = [one.left for one in found]
    known = [one for one in left if one is not None]
    if not known or len(known) < len(left):
        return None
    return Range(
        *(min(ends) for ends in zip(*((one.low, one.likely, one.high) for one in known), strict=True))
    )


def _progress(job: BuildJob, attempt: Attempt, *, learnt: Learnt | None, now: datetime) -> Progress:
    step = list(Phase).index(Phase(attempt.phase)) + 1
    if learnt is None or attempt.started_at is None:
        return Progress(job.progress, step)
    spent = (now - attempt.started_at).total_seconds()
    left = left_between(learnt, elapsed_seconds=spent)
    return Progress(
        percent=min(_MOST_PERCENT, max(job.progress, int(100 * spent / max(learnt.likely, 1.0)))),
        step=step,
        learnt=learnt,
        left=left,
        over=spent - learnt.likely if spent >= learnt.likely else None,
        ends=Moments.after(now, left),
    )
