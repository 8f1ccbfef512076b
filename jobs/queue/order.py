"""The order in which queued jobs are looked at: priority, then age, and one class of need never blocks another."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Q

from jobs.models import BuildJob
from jobs.queue.choice import Needs

_FIRST_PAGE = 8  # mostly there is room for few
_PAGE = 200


def needs_of(job: BuildJob) -> Needs:
    """What a job asks of a server, from its columns and its frozen submission."""
    spec = job.spec
    return Needs(
        architecture=job.target_architecture,
        toolchain=job.required_toolchain,
        labels=tuple(sorted((str(key), str(value)) for key, value in job.required_labels.items())),
        group=job.group,
        server_id=str(job.requested_server_id or ""),
        cores=int(spec.get("min_cpu_cores") or 0),
        memory_mb=int(spec.get("min_memory_mb") or 0),
        storage_gb=int(spec.get("min_storage_gb") or 0),
    )


def waited_seconds(job: BuildJob, *, now: datetime) -> float:
    """How long the job has been queued."""
    return max(0.0, (now - job.created_at).total_seconds())


def ready_jobs(*, limit: int = 5000) -> Iterator[BuildJob]:
    """Queued jobs that may start, in order, read page by page; at most `limit`."""
    rows = BuildJob.objects.ready().exclude(provider="orchestrator")
    seen, size = 0, _FIRST_PAGE
    behind = Q()
    while seen < limit:
        size = min(size, limit - seen)
        page = list(rows.filter(behind)[:size])
        yield from page
        if len(page) < size:
            return
        # Behind the last one rather than after so many: those that were claimed meanwhile are in no page any more.
        last = page[-1]
        same = Q(priority=last.priority)
        behind = (
            Q(priority__lt=last.priority)
            | (same & Q(created_at__gt=last.created_at))
            | (same & Q(created_at=last.created_at, pk__gt=last.pk))
        )
        seen, size = seen + len(page), _PAGE


def position_of(job: BuildJob) -> int:
    """The job's place in the queue, from 1: who is of higher priority, or of the same and older."""
    queued = BuildJob.objects.queued().order_by()
    higher = queued.filter(priority__gt=job.priority).count()
    same = queued.filter(priority=job.priority)
    older = same.filter(created_at__lt=job.created_at).count()
    return 1 + higher + older + same.filter(created_at=job.created_at, pk__lt=job.pk).count()
