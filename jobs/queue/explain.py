"""Why a job waits, in sentences, from the refusals that the last look left."""

from collections.abc import Collection
from uuid import UUID

from django.utils import timezone

from jobs.models import BuildJob, Refusal
from jobs.queue.conditions import Condition, Kind, Refused
from jobs.queue.order import position_of
from jobs.queue.refusals import NO_SERVERS
from jobs.states import JobStatus

_MOST = 50
_UNFIT = "No build server can take it."
_AWAY = "No build server that fits is in service."
_WAYS_OUT = {
    _UNFIT: "It starts when one that fits is added or changed. Or cancel it and submit it with other needs.",
    _AWAY: "It starts when an operator brings one back.",
}


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


def summary_of(job: BuildJob) -> tuple[str, str]:
    """What to say first of a job that waits, and what would let it start ("" when it is a matter of time).

    Both are empty when the job does not wait. At most four queries.
    """
    if job.status != JobStatus.QUEUED:
        return "", ""
    blocked = blocked_among([job.pk]).get(job.pk)
    if blocked:
        return blocked, _WAYS_OUT[blocked]
    position = position_of(job)
    return ("It is first in the queue." if position == 1 else f"It is number {position} in the queue."), ""


def blocked_among(job_ids: Collection[UUID]) -> dict[UUID, str]:
    """For those that are not just waiting for their turn: the sentence that says so. One query; none for none."""
    if not job_ids:
        return {}
    found: dict[UUID, dict[UUID | None, set[Kind]]] = {}
    rows = Refusal.objects.filter(job_id__in=job_ids, until__isnull=True)
    for job_id, server_id, condition in rows.values_list("job_id", "server_id", "condition"):
        kinds = found.setdefault(job_id, {}).setdefault(server_id, set())
        if condition == NO_SERVERS:
            kinds.add(Kind.IMPOSSIBLE)
        elif condition in set(Condition):
            kinds.add(Refused(Condition(condition), "").kind)
    verdicts = {job_id: _verdict(servers.values()) for job_id, servers in found.items()}
    return {job_id: verdict for job_id, verdict in verdicts.items() if verdict}


def _verdict(servers: Collection[set[Kind]]) -> str:
    if all(Kind.IMPOSSIBLE in kinds for kinds in servers):
        return _UNFIT
    return _AWAY if all(kinds & {Kind.IMPOSSIBLE, Kind.OFFLINE} for kinds in servers) else ""


def _sentence(row: Refusal) -> str:
    if row.server is None:
        if row.condition == NO_SERVERS:
            return "There is no build server yet; an operator adds one under Servers in the admin site."
        return f"{row.detail[:1].upper()}{row.detail[1:]}."
    return f"{row.server.name}: {row.detail}."
