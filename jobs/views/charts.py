"""Line charts as numbers for SVG: what a template writes into attributes. No chart library, no inline style."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SPAN = timedelta(hours=1)
_GAP = timedelta(minutes=4)
_LEFT, _RIGHT, _TOP, _BOTTOM = 30.0, 300.0, 6.0, 68.0


@dataclass(frozen=True)
class LineChart:
    """The last hour of one measure in percent: paths in a box of 300 x 84, and a sentence that says the same."""

    lines: list[str]
    areas: list[str]
    limit_y: float
    sentence: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.lines


def draw_line(
    name: str, points: Sequence[tuple[datetime, float | None]], *, limit: int, now: datetime
) -> LineChart:
    """The chart of points in order of time; a longer silence breaks the line."""
    known = [(at, value) for at, value in points if value is not None and at >= now - SPAN]
    pieces: list[list[tuple[datetime, float]]] = []
    for at, value in known:
        if not pieces or at - pieces[-1][-1][0] > _GAP:
            pieces.append([])
        pieces[-1].append((at, value))
    drawn = [[(_x(at, now=now), _y(value)) for at, value in piece] for piece in pieces]
    return LineChart(
        lines=[_line(piece) for piece in drawn],
        areas=[f"{_line(piece)}L{piece[-1][0]},{_BOTTOM}L{piece[0][0]},{_BOTTOM}Z" for piece in drawn],
        limit_y=_y(limit),
        sentence=_sentence(name, [value for _, value in known], limit=limit),
    )


def _line(piece: list[tuple[float, float]]) -> str:
    path = "L".join(f"{x},{y}" for x, y in piece)
    return f"M{path}" if len(piece) > 1 else f"M{path}h1"


def _x(at: datetime, *, now: datetime) -> float:
    share = 1 - (now - at) / SPAN
    return round(_LEFT + (_RIGHT - _LEFT) * min(1.0, max(0.0, share)), 1)


def _y(value: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * min(100.0, max(0.0, value)) / 100, 1)


def _sentence(name: str, values: list[float], *, limit: int) -> str:
    if not values:
        return f"{name}: nothing was measured in the last hour."
    return (
        f"{name} in the last hour: {round(values[-1])}% now, from {round(min(values))}% to "
        f"{round(max(values))}%; the limit is {limit}%."
    )
