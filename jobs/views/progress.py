"""How far an active attempt is and when it should end, from builds like it. A help, not a promise."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from jobs.models import Attempt, BuildJob
from jobs.queue.durations import Learnt, learn_of, usual_seconds
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
    step = list(Phase).index(Phase(attempt.phase)) + 1
    learnt = learn_of([job]).get(job.pk) if attempt.started_at else None
    if learnt is None or attempt.started_at is None:
        return Progress(job.progress, step)
    now = timezone.now()
    spent = (now - attempt.started_at).total_seconds()
    left = left_between(learnt, elapsed_seconds=spent)
    return Progress(
        percent=_percent(job, spent, usual=learnt.likely),
        step=step,
        learnt=learnt,
        left=left,
        over=spent - learnt.likely if spent >= learnt.likely else None,
        ends=Moments.after(now, left),
    )


def percents_of(attempts: Sequence[Attempt]) -> dict[UUID, int]:
    """The same share of several that run, by their jobs' ids, which are read already. One query; none for none."""
    usual = usual_seconds([attempt.job for attempt in attempts if attempt.started_at])
    now = timezone.now()
    shares = {}
    for attempt in attempts:
        like = usual.get(attempt.job_id)
        share = attempt.job.progress
        if like is not None and attempt.started_at is not None:
            share = _percent(attempt.job, (now - attempt.started_at).total_seconds(), usual=like)
        shares[attempt.job_id] = share
    return shares


def _percent(job: BuildJob, spent: float, *, usual: float) -> int:
    return min(_MOST_PERCENT, max(job.progress, int(100 * spent / max(usual, 1.0))))
