"""The panel of a job that waits: why, what would let it start, and every server. It judges nothing itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from jobs.models import BuildJob
from jobs.needs import Needs
from jobs.queue.conditions import memory_text
from jobs.queue.estimate import Foresight
from jobs.queue.explain import explain_job
from jobs.queue.passing import ahead_of
from jobs.queue.verdicts import COLUMNS, steps_to_one
from jobs.queue.waits import history_of, since_when
from jobs.states import JobStatus
from jobs.views.waiting_servers import table_of

_NAMED_AHEAD = 3
_FRESH_SECONDS = 10  # so often is it said again that nothing has changed


def waiting_part(request: HttpRequest, job: BuildJob) -> tuple[dict[str, Any], object]:
    """What the panel shows, and what its version is made of; nothing of a job that is not queued."""
    if job.status != JobStatus.QUEUED:
        return {}, None
    why = explain_job(job)
    since = cache(lambda: since_when(job))  # looked up when a row is shown, as what comes last below
    table = table_of(request, why.servers, free_in=why.free_in, since=since)
    rivals = why.place.rivals_ahead if why.place else 0
    context = {
        "why": why,
        "kind": why.kind and why.kind.value,
        "funnel": steps_to_one(why.servers, needs=why.needs),
        "columns": [name for name, _ in COLUMNS],
        "table": table,
        "chips": _chips(why.needs),
        # Looked up when they are shown: most polls are answered without.
        "ahead": SimpleLazyObject(lambda: _ahead(job, rivals)),
        "history": SimpleLazyObject(lambda: history_of(job)),
        "track_record": SimpleLazyObject(lambda: Foresight().track_record),
    }
    return context, (
        why.summary,
        why.would_start_if,
        why.place,
        why.total_queued,
        table.key,
        int(why.checked_at.timestamp()) // _FRESH_SECONDS,
    )


@dataclass(frozen=True)
class Ahead:
    """The first of those that it waits behind, and how many more there are."""

    jobs: Sequence[BuildJob] = ()
    more: int = 0


def _ahead(job: BuildJob, rivals: int) -> Ahead:
    """One query; none for nobody."""
    jobs = ahead_of(job, limit=_NAMED_AHEAD) if rivals else []
    return Ahead(jobs, max(0, rivals - len(jobs)))


def _chips(needs: Needs) -> list[str]:
    """What it asks for, one short word each."""
    return [
        needs.architecture,
        *([needs.toolchain] if needs.toolchain else []),
        *([f"{needs.server}, or any other" if needs.fallback else needs.server] if needs.server else []),
        *([f"group {needs.group}"] if needs.group else []),
        *(f"{key}={value}" for key, value in needs.labels),
        *([f"{needs.cores} cores"] if needs.cores else []),
        *([memory_text(needs.memory_mb)] if needs.memory_mb else []),
        *([f"{needs.storage_gb} GB free"] if needs.storage_gb else []),
    ]
