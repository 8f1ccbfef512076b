"""Keeps what a probe measured and found on a server: samples for its charts, its size, its tools.

What it means for the server's status is health.py's; what a probe's words mean is probe.py's.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from servers.models import ProbeSample, Toolchain
from servers.probe import Measures, architecture_of, find_tools

SAMPLES_KEPT = timedelta(days=7)  # then the sweep of runners drops them
_PERCENTAGES = ("cpu_percent", "memory_percent", "storage_percent")
_SIZES = {
    "total_cpu_cores": "cores",
    "total_memory_mb": "memory_mb",
    "total_storage_gb": "storage_gb",
    "free_storage_mib": "free_storage_mib",
}
NOTHING_MEASURED = dict.fromkeys((*_PERCENTAGES, *_SIZES))
_TOOL_FACTS = ("tool.", "cross.", "targets.")


def columns_of(measures: Measures) -> dict[str, Any]:
    """What the columns of a server are to hold of its size and its load."""
    return {**_percentages(measures), **{name: getattr(measures, own) for name, own in _SIZES.items()}}


def _percentages(measures: Measures) -> dict[str, Any]:
    return {name: getattr(measures, name) for name in _PERCENTAGES}


def forget_measures(server_id: UUID) -> None:
    """Another machine is there now: its samples and tools go; its columns are to hold NOTHING_MEASURED."""
    Toolchain.objects.filter(server_id=server_id).delete()
    ProbeSample.objects.filter(server_id=server_id).delete()


def keep_sample(server_id: UUID, measures: Measures, *, at: datetime, latency_ms: float | None) -> None:
    """For the charts; `latency_ms`: how long the answer took."""
    ProbeSample.objects.create(
        server_id=server_id,
        at=at,
        latency_ms=latency_ms,
        load_per_core=measures.load_per_core,
        memory_stall_percent=measures.memory_stall_percent,
        **_percentages(measures),
    )


def own_architectures(facts: Mapping[str, str]) -> list[str]:
    """What a server that nobody named architectures for builds: its own."""
    own = architecture_of(facts)
    return [own] if own else []


def tool_facts(facts: Mapping[str, str]) -> dict[str, str]:
    """Those that tell of tools, which a light probe leaves as they are."""
    return {key: value for key, value in facts.items() if key.startswith(_TOOL_FACTS)}


def store_toolchains(server_id: UUID, facts: Mapping[str, str]) -> None:
    """The tools that it has now; those that it has no more go."""
    now = timezone.now()
    found = [
        Toolchain(
            server_id=server_id,
            name=tool.name,
            version=tool.version,
            target_architecture=tool.target,
            path=tool.path,
            seen_at=now,
        )
        for tool in find_tools(facts)
    ]
    if found:
        Toolchain.objects.bulk_create(
            found,
            update_conflicts=True,
            unique_fields=["server", "name", "target_architecture", "path"],
            update_fields=["version", "seen_at"],
        )
    Toolchain.objects.filter(server_id=server_id, seen_at__lt=now).delete()
