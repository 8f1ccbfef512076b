"""The panel of a job that waits: why, what would let it start, and every server. It judges nothing itself."""

from typing import Any

from jobs.models import BuildJob
from jobs.queue.conditions import Needs, memory_text
from jobs.queue.explain import explain_job
from jobs.queue.verdicts import COLUMNS, steps_to_one
from jobs.states import JobStatus

_FRESH_SECONDS = 10  # so often is it said again that nothing has changed


def waiting_part(job: BuildJob) -> tuple[dict[str, Any], object]:
    """What the panel shows, and what its version is made of; nothing of a job that is not queued."""
    if job.status != JobStatus.QUEUED:
        return {}, None
    why = explain_job(job)
    context = {
        "why": why,
        "funnel": steps_to_one(why.servers, needs=why.needs),
        "columns": [name for name, _ in COLUMNS],
        "chips": _chips(why.needs),
    }
    looked = [(one.server.name, one.refused) for one in why.servers]
    return context, (
        why.summary,
        why.would_start_if,
        why.place,
        why.total_queued,
        looked,
        int(why.checked_at.timestamp()) // _FRESH_SECONDS,
    )


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
