"""How far an active attempt is and when it should end, from builds like it. A help, not a promise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from jobs.models import Attempt, BuildJob
from jobs.queue.durations import Learnt
from jobs.queue.lasting import Range, left_between
from jobs.queue.past_builds import learn_of
from jobs.queue.predictions import Moments
from jobs.states import ATTEMPT_ACTIVE, Phase

_MOST_PERCENT = 99


@dataclass(frozen=True)
class Progress:
    """`step` counts from 1. The rest is None while nothing like it has completed; `over` until it takes longer.

    `left` and `over` are seconds; `learnt` is how long builds like it take, and of how many that was learnt.
    `ends` is when it should end, and `usual_end_at` when one that takes its usual time would, even if that is past.
    """

    percent: int = 0
    step: int = 1
    learnt: Learnt | None = None
    left: Range | None = None
    over: float | None = None
    ends: Moments | None = None
    usual_end_at: datetime | None = None


def progress_of(job: BuildJob, attempt: Attempt | None) -> Progress:
    """Of an attempt that runs, else nothing. One query."""
    if attempt is None or attempt.status not in ATTEMPT_ACTIVE:
        return Progress(job.progress)
    learnt = learn_of([job]).get(job.pk) if attempt.started_at else None
    return _progress(job, attempt, learnt=learnt, now=timezone.now())


def progress_among(attempts: Sequence[Attempt]) -> dict[UUID, Progress]:
    """The same of several that run, by their jobs' ids, which are read already. One query; none for none."""
    learnt, now = learn_of([one.job for one in attempts]), timezone.now()
    return {one.job_id: _progress(one.job, one, learnt=learnt.get(one.job_id), now=now) for one in attempts}


def progress_since(
    started_at: datetime, *, learnt: Learnt, now: datetime, least_percent: int = 0, step: int = 1
) -> Progress:
    """Of a build that has run since then, at `now`; it is as far at least as it said itself."""
    spent = (now - started_at).total_seconds()
    left = left_between(learnt, elapsed_seconds=spent)
    return Progress(
        percent=min(_MOST_PERCENT, max(least_percent, int(100 * spent / max(learnt.likely, 1.0)))),
        step=step,
        learnt=learnt,
        left=left,
        over=spent - learnt.likely if spent >= learnt.likely else None,
        ends=Moments.after(now, left),
        usual_end_at=started_at + timedelta(seconds=learnt.likely),
    )


def _progress(job: BuildJob, attempt: Attempt, *, learnt: Learnt | None, now: datetime) -> Progress:
    step = list(Phase).index(Phase(attempt.phase)) + 1
    if learnt is None:
        return Progress(job.progress, step)
    if attempt.started_at is None:
        return Progress(job.progress, step, usual_end_at=now + timedelta(seconds=learnt.likely))
    return progress_since(attempt.started_at, learnt=learnt, now=now, least_percent=job.progress, step=step)
