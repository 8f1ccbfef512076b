"""The charts of the last day and the small lines beside the key figures, as numbers for SVG attributes.

What they show is read by trends.py; a server's load is drawn by charts.py.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.views.trends import Hour, Trends, middle, percentile

_LEFT, _RIGHT, _TOP, _BOTTOM = 30.0, 440.0, 6.0, 116.0
_BETWEEN = 3.0
_LABELS_EVERY = 6  # hours
_MOST_TICKS = 4
_SPARK_WIDTH, _SPARK_HEIGHT, _SPARK_EDGE = 96.0, 22.0, 2.0
_MINUTE, _HOUR = 60, 3600
_UNITS = ((2 * _MINUTE, 1, "seconds"), (2 * _HOUR, _MINUTE, "minutes"), (math.inf, _HOUR, "hours"))


@dataclass(frozen=True)
class Tick:
    """A line of the grid, or a label under it."""

    at: float
    text: str

    @property
    def label_at(self) -> float:
        """Where the foot of its text is, for a line of the grid."""
        return round(self.at + 3, 1)


@dataclass(frozen=True)
class Bar:
    """One part of an hour's column: its class of colour, where it begins and how high it is."""

    colour: str
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    """One hour: its parts from the bottom up, and a sentence for the pointer."""

    x: float
    width: float
    bars: list[Bar]
    sentence: str

    @property
    def bar_x(self) -> float:
        """Where its bars begin: there is room between two columns."""
        return round(self.x + _BETWEEN / 2, 1)

    @property
    def bar_width(self) -> float:
        """How broad they are."""
        return round(self.width - _BETWEEN, 1)


@dataclass(frozen=True)
class BarChart:
    """Columns by hour."""

    columns: list[Column]
    grid: list[Tick]
    labels: list[Tick]
    sentence: str


@dataclass(frozen=True)
class Curve:
    """One line of a chart; `area` is the ground under it, empty when it is not filled."""

    colour: str
    path: str
    area: str = ""


@dataclass(frozen=True)
class CurveChart:
    """Lines over hours; nothing was measured when there are none."""

    curves: list[Curve]
    grid: list[Tick]
    labels: list[Tick]
    unit: str
    sentence: str


def draw_throughput(hours: Sequence[Hour]) -> BarChart:
    """What ended in each hour: completed, failed and cancelled on top of each other."""
    most = max((hour.completed + hour.failed + hour.cancelled for hour in hours), default=0)
    top, grid = _scale(most)
    width = (_RIGHT - _LEFT) / max(1, len(hours))
    totals = [sum(getattr(hour, name) for hour in hours) for name in ("completed", "failed", "cancelled")]
    return BarChart(
        columns=[
            _column(hour, x=_LEFT + width * number, width=width, top=top) for number, hour in enumerate(hours)
        ],
        grid=grid,
        labels=_labels(hours),
        sentence=f"Jobs that ended in the last {len(hours)} hours: {totals[0]} completed, {totals[1]} failed, "
        f"{totals[2]} cancelled; at most {most} in one hour.",
    )


def _column(hour: Hour, *, x: float, width: float, top: float) -> Column:
    bars, below = [], _BOTTOM
    for colour, count in (("ok", hour.completed), ("bad", hour.failed), ("off", hour.cancelled)):
        if count:
            height = (_BOTTOM - _TOP) * count / top
            bars.append(Bar(colour, round(below - height, 1), round(max(0.5, height - 0.5), 1)))
            below -= height
    sentence = (
        f"{_clock(hour.at)} UTC: {hour.completed} completed, {hour.failed} failed, {hour.cancelled} cancelled"
    )
    return Column(round(x, 1), round(width, 1), bars, sentence)


def draw_durations(trends: Trends) -> CurveChart:
    """The median and the 95th percentile of completed jobs, hour by hour."""
    series = {
        "median": [middle(hour.durations) for hour in trends.hours],
        "95th percentile": [percentile(sorted(hour.durations), 0.95) for hour in trends.hours],
    }
    return _draw("How long completed jobs ran", series, colours=("info", "run"), hours=trends.hours)


def draw_waits(trends: Trends) -> CurveChart:
    """The 90th percentile of the time in the queue, of the jobs that ended in each hour."""
    series = {"90th percentile": [percentile(sorted(hour.waits), 0.9) for hour in trends.hours]}
    return _draw("How long jobs were queued", series, colours=("info",), hours=trends.hours)


def _draw(
    what: str, series: dict[str, list[float | None]], *, colours: Sequence[str], hours: Sequence[Hour]
) -> CurveChart:
    known = [value for values in series.values() for value in values if value is not None]
    most = max(known, default=0.0)
    divisor, unit = next((divisor, unit) for limit, divisor, unit in _UNITS if most < limit)
    top, grid = _scale(most / divisor)
    width = (_RIGHT - _LEFT) / max(1, len(hours))

    def place(number: int, value: float) -> tuple[float, float]:
        x = _LEFT + width * (number + 0.5)
        return round(x, 1), round(_BOTTOM - (_BOTTOM - _TOP) * value / divisor / top, 1)

    curves = []
    told = []
    for number, (name, values) in enumerate(series.items()):
        pieces = _pieces(values, place=place)
        area = "".join(
            f"{_path(piece)}L{piece[-1][0]},{_BOTTOM}L{piece[0][0]},{_BOTTOM}Z" for piece in pieces
        )
        if pieces:
            curves.append(
                Curve(colours[number], "".join(map(_path, pieces)), area if colours[number] == "info" else "")
            )
        last = next((value for value in reversed(values) if value is not None), None)
        if last is not None:
            low, high = (_number(of / divisor) for of in _span(values))
            told.append(f"{name} {_number(last / divisor)} lately, from {low} to {high} {unit}")
    sentence = f"{what} in the last {len(hours)} hours: {'; '.join(told) or 'nothing was measured'}."
    return CurveChart(curves[::-1], grid, _labels(hours), unit, sentence)


def _span(values: Sequence[float | None]) -> tuple[float, float]:
    known = [value for value in values if value is not None]
    return min(known), max(known)


def _pieces(
    values: Sequence[float | None], *, place: Callable[[int, float], tuple[float, float]]
) -> list[list[tuple[float, float]]]:
    """The line where there is something; it is broken where nothing was measured."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for number, value in enumerate(values):
        if value is not None:
            pieces[-1].append(place(number, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _path(piece: Sequence[tuple[float, float]]) -> str:
    path = "L".join(f"{x},{y}" for x, y in piece)
    return f"M{path}" if len(piece) > 1 else f"M{path}h3"


def draw_spark(values: Sequence[float | None]) -> str:
    """A small line in a box of 96 x 22 without axes; empty when there is no line to draw."""
    known = [value for value in values if value is not None]
    if len(known) < 2:  # one point is no line
        return ""
    low, span = min(known), max(known) - min(known)
    room = _SPARK_HEIGHT - 2 * _SPARK_EDGE
    step = _SPARK_WIDTH / (len(values) - 1)

    def place(number: int, value: float) -> tuple[float, float]:
        share = (value - low) / span if span else 0.0
        return round(step * number, 1), round(_SPARK_HEIGHT - _SPARK_EDGE - room * share, 1)

    return "".join(map(_path, _pieces(values, place=place)))


def _scale(most: float) -> tuple[float, list[Tick]]:
    """The value at the top of the chart, so many round steps above zero, and the grid."""
    step = _round_step(most / _MOST_TICKS)
    ticks = [step * number for number in range(max(1, math.ceil(most / step)) + 1)]
    top = ticks[-1]
    return top, [Tick(round(_BOTTOM - (_BOTTOM - _TOP) * value / top, 1), _number(value)) for value in ticks]


def _round_step(least: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below it; 1 at least."""
    power = 10 ** math.floor(math.log10(least)) if least >= 1 else 1
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= least))


def _labels(hours: Sequence[Hour]) -> list[Tick]:
    width = (_RIGHT - _LEFT) / max(1, len(hours))
    return [
        Tick(round(_LEFT + width * number, 1), _clock(hour.at))
        for number, hour in enumerate(hours)
        if number % _LABELS_EVERY == 0
    ]


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%H:%M")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"  # two digits
