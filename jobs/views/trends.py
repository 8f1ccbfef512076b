"""What ended lately, as figures and as series for the charts: the last day by hour, the last hours in short steps.

Read in a few queries from the index on what ended, and kept by the process until something else ended or the time
has moved on: a board on many screens reads it once. How it is drawn is charts.py's.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from threading import Lock

from django.db import connection
from django.db.models import Count, Q
from django.utils import timezone

from jobs.models import BuildJob
from jobs.models.job import BuildJobQuerySet
from jobs.states import JobStatus

HOURS = 24
STEPS = 36
STEP = timedelta(minutes=10)
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_SLICE_SECONDS = 60  # so often the charts move on though nothing ended
_SETTLE_SECONDS = 5.0  # while jobs end all the time, they are read again no sooner
_MOST_ROWS = 50_000


@dataclass(frozen=True)
class Run:
    """One job's times, as numbers: when it came, started and ended (seconds since 1970; None: not yet)."""

    status: str
    came: float
    started: float | None
    ended: float | None

    @property
    def seconds(self) -> float | None:
        """How long it ran."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    @property
    def waited(self) -> float | None:
        """How long it was queued before its last start."""
        return None if self.started is None else max(0.0, self.started - self.came)


@dataclass
class Hour:
    """What ended in one hour of the clock."""

    at: datetime
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    durations: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Trends:
    """The last day in figures; `key` changes with them, and is the same in each process that read the same."""

    key: str
    hours: list[Hour]
    failed_usually: float | None
    """In a day, over the week before; None: nothing had ended then."""
    queued: list[float]
    running: list[float]
    """How many there were at the end of each step of the last hours."""

    @property
    def failed(self) -> int:
        """How many failed in the last day."""
        return sum(hour.failed for hour in self.hours)

    @property
    def ended(self) -> int:
        """How many jobs ended in the last day."""
        return sum(hour.completed + hour.failed + hour.cancelled for hour in self.hours)

    @property
    def success_percent(self) -> float | None:
        """The share that completed, of those that were not cancelled."""
        completed = sum(hour.completed for hour in self.hours)
        return 100 * completed / (completed + self.failed) if completed + self.failed else None

    @property
    def durations(self) -> list[float]:
        """Seconds of every job that completed in the last day, in order of length."""
        return sorted(seconds for hour in self.hours for seconds in hour.durations)


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest rank of sorted values; None for none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def middle(values: Sequence[float]) -> float | None:
    """Their median; None for none."""
    return median(values) if values else None


class _Memory:
    """The last answer of this process, for one database."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.trends: Trends | None = None
        self.of: tuple[object, ...] = ()
        self.read_at = 0.0


_memory = _Memory()


def forget() -> None:
    """Read anew the next time."""
    _memory.trends = None


def read_trends() -> Trends:
    """The last day. One query when nothing has ended since, else up to five."""
    now = timezone.now()
    newest = BuildJob.objects.filter(completed_at__isnull=False).order_by("-completed_at")
    last = newest.values_list("completed_at", flat=True).first()
    of = (connection.settings_dict["NAME"], int(now.timestamp()) // _SLICE_SECONDS, last)
    with _memory.lock:
        known = _memory.trends
        is_settling = 0 <= now.timestamp() - _memory.read_at < _SETTLE_SECONDS and of[:1] == _memory.of[:1]
        if known is None or (_memory.of != of and not is_settling):
            known = _read(now, key=str(of[1:]))
            _memory.trends, _memory.of, _memory.read_at = known, of, now.timestamp()
        return known


def _read(now: datetime, *, key: str) -> Trends:
    since = (now - _DAY).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    columns = ("status", "created_at", "started_at", "completed_at")
    ended = BuildJob.objects.filter(completed_at__gte=since).order_by("-completed_at")
    over = [_run(*row) for row in ended.values_list(*columns)[:_MOST_ROWS]]
    open_ones = [_run(*row) for row in BuildJob.objects.unfinished().order_by().values_list(*columns)]
    week = BuildJob.objects.filter(completed_at__gte=since - _WEEK, completed_at__lt=since)
    first = week.order_by("completed_at").values_list("completed_at", flat=True).first()
    days = max(1.0, (since - first) / _DAY) if first else 0.0  # of a young board fewer than seven
    hours = _by_hour(over, since=since)
    times = [(now - STEP * number).timestamp() for number in reversed(range(STEPS))]
    recent = [run for run in (*over, *open_ones) if run.ended is None or run.ended >= times[0]]
    return Trends(
        key=key,
        hours=hours,
        failed_usually=_failed(week) / days if days else None,
        queued=_counts([(run.came, run.started or run.ended) for run in recent], times=times),
        running=_counts([(run.started, run.ended) for run in recent if run.started], times=times),
    )


def _failed(jobs: BuildJobQuerySet) -> int:
    """How many of them failed. Not by a filter: SQLite would rather go through all that ever failed."""
    told = jobs.order_by().aggregate(failed=Count("status", filter=Q(status=JobStatus.FAILED)))
    return int(told["failed"])


def _run(status: str, came: datetime, started: datetime | None, ended: datetime | None) -> Run:
    return Run(
        status,
        came.timestamp(),
        started.timestamp() if started else None,
        ended.timestamp() if ended else None,
    )


def _by_hour(runs: Sequence[Run], *, since: datetime) -> list[Hour]:
    hours = [Hour(since + timedelta(hours=number)) for number in range(HOURS)]
    for run in runs:
        at = int(((run.ended or 0) - since.timestamp()) // 3600)
        if not 0 <= at < HOURS:
            continue
        hour = hours[at]
        if run.status == JobStatus.COMPLETED:
            hour.completed += 1
            if run.seconds is not None:
                hour.durations.append(run.seconds)
        elif run.status == JobStatus.FAILED:
            hour.failed += 1
        else:
            hour.cancelled += 1
        if run.waited is not None:
            hour.waits.append(run.waited)
    return hours


def _counts(spans: Sequence[tuple[float | None, float | None]], *, times: Sequence[float]) -> list[float]:
    """How many spans (begin, end; None: still going on) hold each of the times."""
    begins = sorted(begin for begin, _ in spans if begin is not None)
    ends = sorted(end for _, end in spans if end is not None)
    return [float(bisect_right(begins, time) - bisect_right(ends, time)) for time in times]
