"""Owns windows of a log as people see them: any lines of it, each drawn alone, with its time.

A line is made of its first 64 KiB: what is longer is cut, and the raw bytes have it all. However long the lines
are, a window costs no more than so much each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from jobs.logs import store
from jobs.logs.lines import ShownLine, show_line
from jobs.logs.plain import SHOWN_BYTES
from jobs.models import Attempt

MAX_LINES = 1000


@dataclass(frozen=True, slots=True)
class TimedLine:
    """A line, and when its first byte was kept."""

    at: datetime
    shown: ShownLine


@dataclass(frozen=True, slots=True)
class Window:
    """Lines from `first_line` on, of `total_lines` that have ended. `rest` is what follows the last LF by now.

    Of a log that can grow no more, that is a line like the others.
    """

    lines: list[TimedLine]
    first_line: int
    total_lines: int
    rest: TimedLine | None


@dataclass(slots=True)
class _Line:
    at: datetime
    data: bytes
    ended: bool
    cut: bool


def read_window(attempt: Attempt, *, first_line: int, limit: int, is_live: bool) -> Window:
    """At most `limit` lines (and MAX_LINES) from line `first_line` on. Raises LogGap."""
    size, total = store.extent(attempt)
    last = min(total, first_line + min(limit, MAX_LINES))
    lines = list(_draw(attempt, first_line, last, size)) if first_line < last else []
    wants_rest = first_line + min(limit, MAX_LINES) > total
    tail = list(_draw(attempt, total, total + 1, size)) if wants_rest else []
    if is_live:
        return Window(lines, first_line, total, tail[0] if tail else None)
    return Window(lines + tail if first_line <= total else lines, first_line, total + len(tail), None)


def _draw(attempt: Attempt, first: int, last: int, size: int) -> Iterator[TimedLine]:
    line = first
    while line < last:
        place = store.locate_line(attempt, line)
        state = place.sgr
        if place.offset >= size:
            return
        for taken in _lines(attempt, place.offset, size):
            shown, state = show_line(taken.data.decode(errors="replace"), state=state)
            yield TimedLine(taken.at, ShownLine(shown.text, shown.cut or taken.cut))
            line += 1
            if line == last or not taken.ended:
                return
            if taken.cut:
                break


def _lines(attempt: Attempt, start: int, end: int) -> Iterator[_Line]:
    """Lines from a byte on, the last one with what there is; one that is cut ends it, since it is not read on."""
    data, at = bytearray(), None
    for piece in store.read_pieces(attempt, start=start, end=end):
        position = 0
        while position < len(piece.data):
            stop = piece.data.find(b"\n", position)
            at = at or piece.at
            data += piece.data[position : stop if stop >= 0 else None][: SHOWN_BYTES + 1 - len(data)]
            if len(data) > SHOWN_BYTES:
                yield _Line(at, bytes(data[:SHOWN_BYTES]), ended=True, cut=True)
                return
            if stop < 0:
                break
            yield _Line(at, bytes(data), ended=True, cut=False)
            data.clear()
            at, position = None, stop + 1
    if at is not None:
        yield _Line(at, bytes(data), ended=False, cut=False)
