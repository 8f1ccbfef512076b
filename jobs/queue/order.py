"""The order in which queued jobs are looked at: priority and age together, as their rank says.

The rank itself is the database's (`models/rank.py`), whose turn it is within one class of need fairness.py's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q

from jobs.models import BuildJob
from jobs.models.rank import rank_of
from jobs.queue.conditions import Needs

PULLED = "orchestrator"  # the provider whose jobs are pulled: no build server is chosen for them
ANY_SERVER = "auto"
_FIRST_PAGE = 8  # mostly there is room for few
_PAGE = 1000
_NEEDS_AT_ONCE = 200
# What needs are made of: columns and values inside the submission, without the rest of it, which may be long.
_COLUMNS = ("target_architecture", "required_toolchain", "required_labels", "group", "requested_server")
_IN_SPEC = ("server_id", "min_cpu_cores", "min_memory_mb", "min_storage_gb", "build_command", "build_config")


@dataclass(frozen=True)
class Waiting:
    """A queued job as the dispatcher reads it."""

    id: UUID
    needs: Needs
    since: datetime

    def waited_seconds(self, now: datetime) -> float:
        """How long it could have been started, a retry not before its time."""
        return max(0.0, (now - self.since).total_seconds())


@dataclass(frozen=True)
class Place:
    """Where a job stands in the queue, from 1, and how many before it are for its architecture."""

    position: int
    rivals_ahead: int


def needs_of(job: BuildJob) -> Needs:
    """What a job asks of a server, from its columns and its frozen submission."""
    columns = [getattr(job, name) for name in (*_COLUMNS[:-1], "requested_server_id")]
    return _needs(*columns + [job.spec.get(name) for name in _IN_SPEC])


def read_needs(job_ids: Iterable[UUID]) -> dict[UUID, Needs]:
    """What these jobs ask for; a query for every 200 of them."""
    wanted = list(job_ids)
    fields = ("pk", *_COLUMNS, *(f"spec__{name}" for name in _IN_SPEC))
    found: dict[UUID, Needs] = {}
    for at in range(0, len(wanted), _NEEDS_AT_ONCE):
        rows = BuildJob.objects.filter(pk__in=wanted[at : at + _NEEDS_AT_ONCE]).order_by()
        found.update({row[0]: _needs(*row[1:]) for row in rows.values_list(*fields)})
    return found


def waiting_of(job: BuildJob) -> Waiting:
    """A job's row as the dispatcher would read it."""
    return Waiting(job.pk, needs_of(job), job.not_before or job.created_at)


def ready_jobs(
    known: dict[UUID, Needs] | None = None, *, among: Q | None = None, limit: int = 100_000
) -> Iterator[Waiting]:
    """Queued jobs that may start, in order, read page by page; at most `limit`, and only those `among`.

    Needs never change, so those in `known` are not read again, and new ones are added to it; but what a named
    server is may change with the fleet.
    """
    known = {} if known is None else known
    rows = BuildJob.objects.ready().filter(among or Q()).exclude(provider=PULLED)
    seen, size = 0, _FIRST_PAGE
    behind = Q()
    while seen < limit:
        size = min(size, limit - seen)
        page = list(rows.filter(behind).values_list("pk", "rank_ms", "created_at", "not_before")[:size])
        unsure = [job_id for job_id, *_ in page if job_id not in known or known[job_id].server]
        known.update(read_needs(unsure))
        for job_id, _, created_at, not_before in page:
            if job_id in known:
                yield Waiting(job_id, known[job_id], not_before or created_at)
        if len(page) < size:
            return
        # Behind the last one rather than after so many: those that were claimed meanwhile are in no page any more.
        last_id, rank_ms, created_at, _ = page[-1]
        behind = _after(last_id, rank_ms=rank_ms, created_at=created_at)
        seen, size = seen + len(page), _PAGE


def _after(job_id: UUID, *, rank_ms: int, created_at: datetime) -> Q:
    same = Q(rank_ms=rank_ms)
    return (
        Q(rank_ms__gt=rank_ms)
        | (same & Q(created_at__gt=created_at))
        | (same & Q(created_at=created_at, pk__gt=job_id))
    )


def place_of(job: BuildJob) -> Place:
    """The job's place in the queue. One query."""
    if job._state.adding:
        rank_ms = rank_of(job.created_at, priority=job.priority, ageing=job.ageing_seconds)
    else:
        rank_ms = job.rank_ms
    before = (
        Q(rank_ms__lt=rank_ms)
        | Q(rank_ms=rank_ms, created_at__lt=job.created_at)
        | Q(rank_ms=rank_ms, created_at=job.created_at, pk__lt=job.pk)
    )
    rivals = Q(target_architecture=job.target_architecture)
    counts = BuildJob.objects.queued().order_by().filter(before)
    found = counts.aggregate(ahead=Count("pk"), rivals=Count("pk", filter=rivals))
    return Place(position=found["ahead"] + 1, rivals_ahead=found["rivals"])


def _needs(
    architecture: str,
    toolchain: str,
    labels: dict[str, Any],
    group: str,
    requested_server: UUID | None,
    server: str | None,
    cores: int | None,
    memory_mb: int | None,
    storage_gb: int | None,
    command: str | None,
    kernel: dict[str, Any] | None,
) -> Needs:
    """A job whose named server was removed still waits for it: `auto` was not what it said."""
    asked = server if server and server != ANY_SERVER else str(requested_server or "")
    return Needs(
        architecture=architecture,
        toolchain=toolchain,
        labels=tuple(sorted((str(key), str(value)) for key, value in labels.items())),
        group=group,
        server=asked,
        server_id=str(requested_server or ""),
        cores=int(cores or 0),
        memory_mb=int(memory_mb or 0),
        storage_gb=int(storage_gb or 0),
        crosses=kernel is not None and not command,
    )
