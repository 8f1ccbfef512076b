"""How far an active attempt is and when it should end, from builds like it. A help, not a promise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from jobs.models import Attempt, BuildJob
from jobs.queue.estimate import usual_seconds
from jobs.states import ATTEMPT_ACTIVE, Phase

_MOST_PERCENT = 99


@dataclass(frozen=True)
class Progress:
    """`step` counts from 1. `usual`, `left` and `over` are seconds, None while nothing like it has completed."""

    percent: int = 0
    step: int = 1
    usual: float | None = None
    left: float | None = None
    over: float | None = None
    ends_at: datetime | None = None


def progress_of(job: BuildJob, attempt: Attempt | None) -> Progress:
    """Of an attempt that runs, else nothing. One query."""
    if attempt is None or attempt.status not in ATTEMPT_ACTIVE:
        return Progress(job.progress)
    step = list(Phase).index(Phase(attempt.phase)) + 1
    usual = usual_seconds([job.pk]).get(job.pk) if attempt.started_at else None
    if usual is None or attempt.started_at is None:
        return Progress(job.progress, step)
    spent = (timezone.now() - attempt.started_at).total_seconds()
    percent = _percent(job, spent, usual=usual)
    if spent >= usual:
        return Progress(percent, step, usual, over=spent - usual)
    ends_at = attempt.started_at + timedelta(seconds=usual)
    return Progress(percent, step, usual, left=usual - spent, ends_at=ends_at)


def percents_of(attempts: Sequence[Attempt]) -> dict[UUID, int]:
    """The same share of several that run, by their jobs' ids, which are read already. One query; none for none."""
    usual = usual_seconds([attempt.job_id for attempt in attempts if attempt.started_at])
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
