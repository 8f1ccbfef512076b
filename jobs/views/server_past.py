"""A server's past on its page: who changed its status and why, and its load over a day or a week as charts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from buildboard.core.models import Event
from jobs.views.charts import LineChart, Scale, draw_line
from servers.models import BuildServer, ProbeSample

_MOST_STATUSES = 10
_LOWEST_TOP_MS = 50.0
_DAY = timedelta(days=1)
_DAYS_FROM = 3


@dataclass(frozen=True)
class StatusSpan:
    """One status that it had. `seconds` is how long, None of the one that it has; an empty `who` is the board."""

    sequence: int
    status: str
    at: datetime
    seconds: float | None
    who: str
    reason: str

    @property
    def days(self) -> int:
        """How many, when hours would be too many to read; else 0."""
        lasted = (
            (timezone.now() - self.at) / _DAY if self.seconds is None else self.seconds / _DAY.total_seconds()
        )
        return int(lasted) if lasted >= _DAYS_FROM else 0


def statuses_of(server: BuildServer) -> list[StatusSpan]:
    """The last ones, the newest first. One query."""
    events = Event.objects.filter(subject_type="server", subject_id=str(server.pk), kind="status")
    spans: list[StatusSpan] = []
    ended_at: datetime | None = None
    for event in events.order_by("-sequence")[:_MOST_STATUSES]:
        seconds = (ended_at - event.at).total_seconds() if ended_at else None
        spans.append(StatusSpan(event.sequence, event.to_state, event.at, seconds, event.actor, event.reason))
        ended_at = event.at
    return spans


# ---- charts ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """A length of time to look back: in how many steps it is drawn, and what is written under it."""

    word: str
    length: timedelta
    steps: int
    ticks: Sequence[tuple[timedelta, str]]


SPANS = {
    "day": Span(
        "Day", timedelta(days=1), 144, [(timedelta(hours=ago), f"{ago}h") for ago in (24, 18, 12, 6)]
    ),
    "week": Span("Week", timedelta(days=7), 168, [(timedelta(days=ago), f"{ago}d") for ago in (7, 5, 3, 1)]),
}
_COLUMNS = ("load_per_core", "memory_percent", "storage_percent", "latency_ms")


@dataclass(frozen=True)
class Past:
    """The four charts of one span; `tabs` are the spans: query, word, whether it is this one."""

    charts: Sequence[tuple[str, LineChart]]
    tabs: Sequence[tuple[str, str, bool]]


def past_of(server: BuildServer, *, span: str) -> Past:
    """Load for each core, memory, disk and time to answer, each the worst of every step. One query."""
    chosen = span if span in SPANS else "day"
    length, now = SPANS[chosen].length, timezone.now()
    samples = ProbeSample.objects.filter(server=server, at__gte=now - length).order_by("at")
    rows = [(row[0], row[1:]) for row in samples.values_list("at", *_COLUMNS)]
    steps = _worst(rows, step=length / SPANS[chosen].steps)
    columns = {name: [(at, values[number]) for at, values in steps] for number, name in enumerate(_COLUMNS)}
    limits = (None, server.memory_limit_percent, server.storage_limit_percent, None)
    scales = (
        Scale(top=_top_of(columns["load_per_core"], least=1.0), say=lambda value: f"{value:.1f}"),
        Scale(),
        Scale(),
        Scale(top=_top_of(columns["latency_ms"], least=_LOWEST_TOP_MS), say=lambda value: f"{value:.0f} ms"),
    )
    names = ("Load for each core", "Memory", "Disk", "Time to answer")
    charts = [
        (
            name,
            draw_line(
                name,
                columns[column],
                limit=limit,
                now=now,
                span=length,
                ticks=SPANS[chosen].ticks,
                scale=scale,
                when=f"in the last {chosen}",
            ),
        )
        for name, column, limit, scale in zip(names, _COLUMNS, limits, scales, strict=True)
    ]
    return Past(charts, [(f"?span={name}", one.word, name == chosen) for name, one in SPANS.items()])


_Row = tuple[datetime, tuple[float | None, ...]]


def _worst(rows: Sequence[_Row], *, step: timedelta) -> list[_Row]:
    """One row a step, at the time of its last sample, each column the greatest of the step."""
    found: list[_Row] = []
    slot = None
    for at, values in rows:
        this = int(at.timestamp() // step.total_seconds())
        if this == slot:
            pairs = zip(found.pop()[1], values, strict=True)
            values = tuple(_greater(*pair) for pair in pairs)
        found.append((at, values))
        slot = this
    return found


def _greater(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


def _top_of(points: Sequence[tuple[datetime, float | None]], *, least: float) -> float:
    """A round number that no value is over: 1, 2 or 5 times a power of ten times the least."""
    most = max((value for _, value in points if value is not None), default=0.0)
    top, factors = least, (2.0, 2.5, 2.0)
    for number in range(30):
        if top >= most:
            break
        top *= factors[number % 3]
    return top
