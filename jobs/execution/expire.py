"""Ends the wait of queued jobs whose time is up, and keeps since when a job is impossible. deadlines.py decides.

Each pass is bounded in time and rows: what is left comes with the next one.
"""

import logging
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from jobs.errors import IllegalTransition
from jobs.lifecycle import fail_queued_job
from jobs.models import BuildJob
from jobs.needs import needs_of
from jobs.queue.deadlines import Wait, why_it_ends
from jobs.queue.hindrances import Hindrance, hindrance_of_read, with_unmet
from jobs.queue.order import Waiting, startable_since
from jobs.queue.verdicts import Verdicts
from jobs.states import ErrorCategory, JobStatus
from servers.fleet import load_fleet

logger = logging.getLogger(__name__)

MOST_SECONDS = 0.5  # of one pass: meanwhile the runner gives out no jobs
_MOST = 500
_NOTED_AT_ONCE = 500


def note_impossible(jobs: Sequence[Waiting], *, classes: Collection[str]) -> None:
    """Keep since when these jobs are impossible, those of such classes; of others that they are no more.

    Costs nothing where nothing changed.
    """
    begins = [job.id for job in jobs if job.impossible_since is None and job.key in classes]
    ends = [job.id for job in jobs if job.impossible_since is not None and job.key not in classes]
    for since, ids in ((timezone.now(), begins), (None, ends)):
        for at in range(0, len(ids), _NOTED_AT_ONCE):
            rows = BuildJob.objects.filter(
                pk__in=ids[at : at + _NOTED_AT_ONCE],
                status=JobStatus.QUEUED,
                impossible_since__isnull=since is not None,
            )
            rows.update(impossible_since=since)


def expire_jobs() -> int:
    """Fail the queued jobs whose time is up, with the reasons; how many. Two short queries where there are none."""
    now = timezone.now()
    too_long = now - timedelta(seconds=settings.IMPOSSIBLE_SECONDS)
    due = [*_due(Q(queue_deadline_at__lte=now)), *_due(Q(impossible_since__lte=too_long))]
    if not due:
        return 0
    fleet, failed, until = load_fleet(), 0, time.monotonic() + MOST_SECONDS
    verdicts = Verdicts(fleet, now=now)
    for job in {job.pk: job for job in due}.values():
        if failed and time.monotonic() > until:
            break
        told = why_it_ends(
            _wait_of(job, now=now),
            servers=verdicts.of(needs_of(job), since=startable_since(job)),
            now=now,
            impossible_seconds=settings.IMPOSSIBLE_SECONDS,
        )
        if told is not None:
            failed += _fail(job.pk, message=told)
    return failed


def _due(condition: Q) -> list[BuildJob]:
    return list(with_unmet(BuildJob.objects.queued().filter(condition))[:_MOST])


def _wait_of(job: BuildJob, *, now: datetime) -> Wait:
    hindrance = hindrance_of_read(job, now=now)
    return Wait(
        since=job.created_at,
        deadline=job.queue_deadline_at,
        impossible_since=job.impossible_since,
        hindrance=_told(hindrance, job) if hindrance else "",
    )


def _told(hindrance: Hindrance, job: BuildJob) -> str:
    return {
        Hindrance.NOT_DUE: f"Its next try is due at {job.not_before or job.created_at:%H:%M:%S} UTC only.",
        Hindrance.NEEDS_ANOTHER: "It needs another job that did not complete yet.",
        Hindrance.IS_PULLED: "No orchestrator has taken it.",
    }[hindrance]


def _fail(job_id: UUID, *, message: str) -> int:
    try:
        fail_queued_job(job_id, category=ErrorCategory.SYSTEM, message=message)
    except IllegalTransition:
        return 0  # it was claimed or cancelled just now
    logger.info("A job waited too long: %s", message, extra={"action": "expire", "job_id": str(job_id)})
    return 1
