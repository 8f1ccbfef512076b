"""What the log, the resources and the spec of a job's page show, each worked out only when it is looked at."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone

from jobs.models import Artifact, Attempt, BuildJob
from jobs.views.log import Tail, read_tail
from jobs.views.log_windows import log_start_ms
from servers.models import ProbeSample

_MEASURES = (("CPU", "cpu_percent"), ("Memory", "memory_percent"), ("Storage", "storage_percent"))
_MOST_SAMPLES = 4000
_SILENCE = timedelta(minutes=4)
_WIDTH, _TOP, _BOTTOM = 300.0, 2.5, 70.5


def log_context(attempt: Attempt, *, with_tail: bool) -> dict[str, Any]:
    """What the viewer begins with; the tail is for readers without JavaScript."""
    return {
        "log_address": reverse("jobs:log", args=[attempt.job_id]),
        "log_total": attempt.log_lines or (1 if attempt.log_size else 0),
        "log_start_ms": log_start_ms(attempt),
        "tail": read_tail(attempt) if with_tail else Tail(),
    }


@dataclass(frozen=True)
class Load:
    """One measure of a server over the time of an attempt, in percent; `lines` are paths of a 300 x 76 chart."""

    name: str
    peak: int
    typical: int
    lines: list[str]
    sentence: str


def resources_context(attempt: Attempt, *, artifacts: list[Artifact]) -> dict[str, Any]:
    """The load of the attempt's server while it ran."""
    return {
        "loads": _loads(attempt),
        "log_total": attempt.log_lines,
        "artifact_bytes": sum(artifact.size for artifact in artifacts),
    }


def _loads(attempt: Attempt) -> list[Load]:
    start, end = attempt.started_at, attempt.completed_at or timezone.now()
    if attempt.server_id is None or start is None:
        return []
    samples = list(
        ProbeSample.objects.filter(server=attempt.server_id, at__gte=start, at__lte=end)
        .order_by("at")
        .values_list("at", *(column for _, column in _MEASURES))[:_MOST_SAMPLES]
    )
    loads = []
    for index, (name, _) in enumerate(_MEASURES, start=1):
        points = [(row[0], float(row[index])) for row in samples if row[index] is not None]
        if points:
            loads.append(_load(name, points, start=start, end=end))
    return loads


def _load(name: str, points: list[tuple[datetime, float]], *, start: datetime, end: datetime) -> Load:
    values = [value for _, value in points]
    peak, typical = round(max(values)), round(sum(values) / len(values))
    return Load(
        name=name,
        peak=peak,
        typical=typical,
        lines=_paths(points, start=start, end=end),
        sentence=f"{name} of the server while it ran: {peak}% at most, {typical}% on average.",
    )


def _paths(points: list[tuple[datetime, float]], *, start: datetime, end: datetime) -> list[str]:
    """SVG paths of a measure from `start` to `end`; a long silence breaks the line."""
    span = max((end - start).total_seconds(), 1.0)
    paths: list[list[str]] = []
    before: datetime | None = None
    for at, percent in points:
        if before is None or at - before > _SILENCE:
            paths.append([])
        before = at
        x = _WIDTH * (at - start).total_seconds() / span
        y = _BOTTOM - (_BOTTOM - _TOP) * min(100.0, max(0.0, percent)) / 100
        paths[-1].append(f"{x:.1f},{y:.1f}")
    return [f"M{'L'.join(path)}" if len(path) > 1 else f"M{path[0]}h1" for path in paths]


def spec_context(job: BuildJob) -> dict[str, Any]:
    """The submission as it was given."""
    return {"spec": json.dumps(job.spec, indent=2, ensure_ascii=False, sort_keys=True)}
