"""Why a job waits, in sentences, from the refusals that the last look left."""

from django.utils import timezone

from jobs.models import BuildJob, Refusal
from jobs.queue.refusals import NO_SERVERS
from jobs.states import JobStatus

_MOST = 50


def reasons_for(job: BuildJob) -> list[str]:
    """One sentence a reason, at most 50; empty when the job does not wait. One or two queries."""
    if job.status != JobStatus.QUEUED:
        return []
    if job.not_before and job.not_before > timezone.now():
        return [f"It is tried again at {job.not_before:%H:%M:%S} UTC."]
    needed = job.dependencies.exclude(needs__status="completed").count()
    if needed:
        return [f"It needs {needed} other job{'s' if needed > 1 else ''} that did not complete yet."]
    rows = (
        Refusal.objects.filter(job=job, until__isnull=True).select_related("server").order_by("server__name")
    )
    return [_sentence(row) for row in rows[:_MOST]] or [
        "It was not looked at yet; that takes about a second."
    ]


def _sentence(row: Refusal) -> str:
    if row.server is None:
        if row.condition == NO_SERVERS:
            return "There is no build server yet; an operator adds one under Servers in the admin site."
        return f"{row.detail[:1].upper()}{row.detail[1:]}."
    return f"{row.server.name}: {row.detail}."
