"""How long a queued job may still wait: from the durations of past builds, or a default while there are none.

An estimate is a help, not a promise. Order and position are order.py's, reasons are explain.py's.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal
from uuid import UUID

from django.db.models import Count, OuterRef, Q, Subquery

from jobs.models import BuildJob
from jobs.queue.order import Place
from jobs.states import JOB_ACTIVE, JobStatus
from servers.models import BuildServer
from servers.states import ServerStatus

DEFAULT_SECONDS = 300
_SAMPLE = 50
_USUAL_OF = 9  # latest builds
_RECENT = 500  # of all architectures together


@dataclass(frozen=True)
class Estimate:
    """A wait in whole seconds, and what it is computed from."""

    seconds: int
    basis: Literal["history", "default"]


@dataclass(frozen=True)
class QueueState:
    """The counts of the queue now."""

    total_queued: int
    total_building: int
    jobs_by_architecture: dict[str, int]


def estimate_wait(
    *, ahead: int, queued: int, building: int, slots: int, durations: Sequence[float]
) -> Estimate:
    """The wait of a job behind `ahead` others.

    Without past durations it is 300 s for each of the `queued` jobs. Else the free slots take jobs at
    once; the others come free evenly, each after half a typical (median) build, then after whole ones.
    """
    if not durations:
        return Estimate(DEFAULT_SECONDS * queued, "default")
    free = max(0, slots - building)
    if slots and ahead < free:
        return Estimate(0, "history")
    typical = median(durations)
    waves = (ahead - free) / max(1, slots)
    return Estimate(math.ceil(typical / 2 + typical * waves), "history")


def queue_state() -> QueueState:
    """How many jobs wait, by architecture, and how many are claimed or running. One query."""
    rows = (
        BuildJob.objects.unfinished()
        .values("target_architecture")
        .annotate(
            queued=Count("pk", filter=Q(status=JobStatus.QUEUED)),
            building=Count("pk", filter=Q(status__in=JOB_ACTIVE)),
        )
        .order_by("target_architecture")
    )
    return QueueState(
        total_queued=sum(row["queued"] for row in rows),
        total_building=sum(row["building"] for row in rows),
        jobs_by_architecture={row["target_architecture"]: row["queued"] for row in rows if row["queued"]},
    )


def estimate_of_queue(state: QueueState) -> Estimate:
    """The wait of a job that would be submitted now, at the end of the queue. Two queries."""
    if not state.total_queued:
        return Estimate(0, "history" if _past_durations() else "default")
    return estimate_wait(
        ahead=state.total_queued,
        queued=state.total_queued,
        building=state.total_building,
        slots=_slots(),
        durations=_past_durations(),
    )


def estimate_of_job(job: BuildJob, *, place: Place, state: QueueState, slots: int, building: int) -> Estimate:
    """A queued job's wait behind those for its architecture, where servers of so many slots fit it.

    `building` of those slots are taken. One or two queries.
    """
    return estimate_wait(
        ahead=place.rivals_ahead,
        queued=state.total_queued,
        building=building,
        slots=slots,
        durations=_past_durations(job.target_architecture) or _past_durations(),
    )


def usual_seconds(job_ids: Collection[UUID]) -> dict[UUID, float]:
    """How long each of these jobs should take: the median of the latest nine of its repository and architecture.

    Jobs whose like never completed are left out. One query; none for none.
    """
    if not job_ids:
        return {}
    like = BuildJob.objects.filter(
        source_repository=OuterRef("source_repository"),
        target_architecture=OuterRef("target_architecture"),
        status=JobStatus.COMPLETED,
    ).order_by("-completed_at", "-ran_ms")
    one_each = [Subquery(like.values("ran_ms")[number : number + 1]) for number in range(_USUAL_OF)]
    rows = BuildJob.objects.filter(pk__in=job_ids).order_by().values_list("pk", *one_each)
    found = {row[0]: [ms / 1000 for ms in row[1:] if ms is not None] for row in rows}
    return {job_id: median(seconds) for job_id, seconds in found.items() if seconds}


def usual_seconds_of(repository: str, *, architecture: str) -> tuple[float, int] | None:
    """The median of a repository's latest nine completed builds for an architecture, and their number. One query."""
    like = BuildJob.objects.filter(
        source_repository=repository,
        target_architecture=architecture,
        status=JobStatus.COMPLETED,
        ran_ms__isnull=False,
    )
    latest = like.order_by("-completed_at", "-ran_ms").values_list("ran_ms", flat=True)[:_USUAL_OF]
    seconds = [ms / 1000 for ms in latest if ms is not None]
    return (median(seconds), len(seconds)) if seconds else None


def recent_durations() -> dict[str, list[float]]:
    """Seconds of the latest completed builds by architecture, at most 50 of each, and of all under "". One query."""
    done = BuildJob.objects.filter(status=JobStatus.COMPLETED, ran_ms__isnull=False)
    rows = done.order_by("-created_at", "-pk").values_list("target_architecture", "ran_ms")[:_RECENT]
    found: dict[str, list[float]] = {"": []}
    for architecture, ran_ms in rows:
        for name in ("", architecture):
            if len(found.setdefault(name, [])) < _SAMPLE:
                found[name].append(ran_ms / 1000)
    return found


def _past_durations(architecture: str = "") -> list[float]:
    """Seconds of the latest completed builds, at most 50."""
    done = BuildJob.objects.filter(status=JobStatus.COMPLETED, started_at__isnull=False)
    if architecture:
        done = done.filter(target_architecture=architecture)
    times = done.order_by("-created_at", "-pk").values_list("started_at", "completed_at")[:_SAMPLE]
    return [(end - start).total_seconds() for start, end in times if start and end]


def _slots() -> int:
    """Slots of the servers that take jobs now."""
    rows = BuildServer.objects.filter(
        enabled=True, draining=False, status__in=[ServerStatus.ONLINE, ServerStatus.DEGRADED]
    ).values_list("max_concurrent_builds", flat=True)
    return sum(rows)
