"""Line charts as numbers for SVG: what a template writes into attributes. No chart library, no inline style."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SPAN = timedelta(hours=1)
_GAP = timedelta(minutes=4)  # of an hour; of a longer span as much more
_TICKS = tuple((timedelta(minutes=ago), f"{ago}m") for ago in (60, 45, 30, 15))
_LEFT, _RIGHT, _TOP, _BOTTOM = 30.0, 300.0, 6.0, 68.0


@dataclass(frozen=True)
class Scale:
    """How high a chart goes, and how a value is said."""

    top: float = 100.0
    say: Callable[[float], str] = lambda value: f"{round(value)}%"


PERCENT = Scale()


@dataclass(frozen=True)
class LineChart:
    """One measure over a time: paths in a box of 300 x 84, words at its sides, and a sentence that says the same.

    `limit_y` is None of what has no limit.
    """

    lines: list[str]
    areas: list[str]
    limit_y: float | None
    levels: list[tuple[float, str]]
    ticks: list[tuple[float, str]]
    now_word: str
    sentence: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.lines


def draw_line(
    name: str,
    points: Sequence[tuple[datetime, float | None]],
    *,
    limit: int | None,
    now: datetime,
    span: timedelta = SPAN,
    ticks: Sequence[tuple[timedelta, str]] = _TICKS,
    scale: Scale = PERCENT,
    when: str = "in the last hour",
) -> LineChart:
    """The chart of points in order of time; a longer silence breaks the line."""
    known = [(at, value) for at, value in points if value is not None and at >= now - span]
    pieces: list[list[tuple[datetime, float]]] = []
    for at, value in known:
        if not pieces or at - pieces[-1][-1][0] > _GAP * (span / SPAN):
            pieces.append([])
        pieces[-1].append((at, value))
    drawn = [[(_x(now - at, span=span), _y(value, top=scale.top)) for at, value in piece] for piece in pieces]
    values = [value for _, value in known]
    return LineChart(
        lines=[_line(piece) for piece in drawn],
        areas=[f"{_line(piece)}L{piece[-1][0]},{_BOTTOM}L{piece[0][0]},{_BOTTOM}Z" for piece in drawn],
        limit_y=None if limit is None else _y(limit, top=scale.top),
        levels=[(_y(level, top=scale.top), f"{level:g}") for level in (0.0, scale.top / 2, scale.top)],
        ticks=[(_x(ago, span=span), word) for ago, word in ticks],
        now_word=scale.say(values[-1]) if values else "—",
        sentence=_sentence(name, values, limit=limit, scale=scale, when=when),
    )


def _line(piece: list[tuple[float, float]]) -> str:
    path = "L".join(f"{x},{y}" for x, y in piece)
    return f"M{path}" if len(piece) > 1 else f"M{path}h1"


def _x(ago: timedelta, *, span: timedelta) -> float:
    share = 1 - ago / span
    return round(_LEFT + (_RIGHT - _LEFT) * min(1.0, max(0.0, share)), 1)


def _y(value: float, *, top: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * min(top, max(0.0, value)) / top, 1)


def _sentence(name: str, values: list[float], *, limit: int | None, scale: Scale, when: str) -> str:
    if not values:
        return f"{name}: nothing was measured {when}."
    now, least, most = (scale.say(value) for value in (values[-1], min(values), max(values)))
    of_limit = "" if limit is None else f"; the limit is {limit}%"
    return f"{name} {when}: {now} now, from {least} to {most}{of_limit}."
