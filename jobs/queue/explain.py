"""Why a job waits, in sentences, from the refusals that the last look left."""

from collections.abc import Iterable

from django.utils import timezone

from jobs.models import BuildJob, Refusal
from jobs.queue.choice import Condition, Kind, Refused
from jobs.queue.order import position_of
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


def summary_of(job: BuildJob) -> tuple[str, str]:
    """What to say first of a job that waits, and what would let it start ("" when it is a matter of time).

    Both are empty when the job does not wait. At most four queries.
    """
    if job.status != JobStatus.QUEUED:
        return "", ""
    kinds: dict[object, set[Kind]] = {}
    rows = Refusal.objects.filter(job=job, until__isnull=True).values_list("server_id", "condition", "hard")
    for server_id, condition, hard in rows:
        kinds.setdefault(server_id, set()).update(_kinds(condition, hard=hard))
    if kinds and all(Kind.IMPOSSIBLE in found for found in kinds.values()):
        return (
            "No build server can take it.",
            "It starts when one that fits is added or changed. Or cancel it and submit it with other needs.",
        )
    if kinds and all(found & {Kind.IMPOSSIBLE, Kind.OFFLINE} for found in kinds.values()):
        return "No build server that fits is in service.", "It starts when an operator brings one back."
    position = position_of(job)
    return ("It is first in the queue." if position == 1 else f"It is number {position} in the queue."), ""


def _kinds(condition: str, *, hard: bool) -> Iterable[Kind]:
    if condition == NO_SERVERS:
        return [Kind.IMPOSSIBLE]
    return [Refused(Condition(condition), "", hard).kind] if condition in set(Condition) else []


def _sentence(row: Refusal) -> str:
    if row.server is None:
        if row.condition == NO_SERVERS:
            return "There is no build server yet; an operator adds one under Servers in the admin site."
        return f"{row.detail[:1].upper()}{row.detail[1:]}."
    return f"{row.server.name}: {row.detail}."
