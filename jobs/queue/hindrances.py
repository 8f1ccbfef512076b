"""What holds a queued job up before any server is asked. One judgement; what is said of it is the callers'."""

from datetime import datetime
from enum import StrEnum

from django.db.models import Exists, OuterRef, QuerySet

from jobs.models import BuildJob, JobDependency
from jobs.queue.order import PULLED
from jobs.states import JobStatus


class Hindrance(StrEnum):
    """Its next try is not due, it needs a job that did not complete, or an orchestrator has to pull it."""

    NOT_DUE = "not_due"
    NEEDS_ANOTHER = "needs_another"
    IS_PULLED = "is_pulled"


def with_unmet(jobs: QuerySet[BuildJob]) -> QuerySet[BuildJob]:
    """With `is_unmet` on each: whether it needs one that did not complete."""
    unmet = JobDependency.objects.filter(job=OuterRef("pk")).exclude(needs__status=JobStatus.COMPLETED)
    return jobs.annotate(is_unmet=Exists(unmet))


def hindrance_of(job: BuildJob, *, is_unmet: bool, now: datetime) -> Hindrance | None:
    """The first of what holds it up; None when it waits for a server alone."""
    if job.not_before and job.not_before > now:
        return Hindrance.NOT_DUE
    if is_unmet:
        return Hindrance.NEEDS_ANOTHER
    return Hindrance.IS_PULLED if job.provider == PULLED else None


def hindrance_of_read(job: BuildJob, *, now: datetime) -> Hindrance | None:
    """The same of one that was read by `with_unmet`."""
    return hindrance_of(job, is_unmet=getattr(job, "is_unmet", False), now=now)
