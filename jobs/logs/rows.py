"""Reads the live form of a log: the rows of LogChunk. Everybody but store.py reads through that.

Rows go when a log is sealed, at any moment: whoever reads finds a gap then, and no wrong byte.
"""

from collections.abc import Iterator
from uuid import UUID

from jobs.logs.pieces import LogGap, Piece, Place, behind_line_feeds
from jobs.logs.sgr import PLAIN, state_behind
from jobs.models import LogChunk

# What one query fetches: few rows at first, since a window needs no more, then up to so much. No query stays
# open while a slow reader takes it.
_FIRST_ROWS = 2
_MOST_ROWS = 1024
_MOST_BYTES = 1 << 20


def read_pieces(attempt_id: UUID, *, start: int, end: int) -> Iterator[Piece]:
    """The bytes from `start` up to `end`, in the pieces in which they were kept. Raises LogGap."""
    chunks = LogChunk.objects.filter(attempt=attempt_id, offset__lt=end).order_by("offset")
    first = chunks.filter(offset__lte=start).values_list("offset", flat=True).last()
    position, row_offset, count = start, first or 0, _FIRST_ROWS
    while position < end:
        begin = position
        rows = list(chunks.filter(offset__gte=row_offset).values_list("offset", "data", "at")[:count])
        if not rows:
            raise LogGap(attempt_id, f"byte {position}")
        for offset, stored, at in rows:
            data = bytes(stored)
            if not offset <= position < offset + len(data):
                raise LogGap(attempt_id, f"byte {position}")
            part = data[position - offset : end - offset]
            yield Piece(position, part, at)
            position += len(part)
        row_offset = position
        typical = max((position - begin) // len(rows), 1)
        count = min(count * 4, max(_MOST_BYTES // typical, _FIRST_ROWS), _MOST_ROWS)


def line_at(attempt_id: UUID, offset: int) -> int:
    """The number of LFs before the byte at `offset`, which may be the one to come. Raises LogGap."""
    if offset <= 0:
        return 0
    chunk = (
        LogChunk.objects.filter(attempt=attempt_id, offset__lt=offset)
        .order_by("-offset")
        .values_list("offset", "first_line", "data")
        .first()
    )
    if chunk is None or offset > chunk[0] + len(chunk[2]):
        raise LogGap(attempt_id, f"byte {offset - 1}")
    return int(chunk[1]) + bytes(chunk[2])[: offset - chunk[0]].count(b"\n")


def locate_line(attempt_id: UUID, line: int) -> Place:
    """Where a line begins: behind the LF before it. Raises LogGap.

    The chunk with that LF is the last one that has any and begins in an earlier line: of the many chunks of a
    very long line only one has a LF.
    """
    if line <= 0:
        return Place(0, PLAIN)
    chunk = (
        LogChunk.objects.filter(attempt=attempt_id, first_line__lt=line, lines__gt=0)
        .order_by("-first_line")
        .values_list("offset", "first_line", "lines", "sgr", "data")
        .first()
    )
    if chunk is None or chunk[1] + chunk[2] < line:
        raise LogGap(attempt_id, f"line {line + 1}")
    data = bytes(chunk[4])
    inside = behind_line_feeds(data, line - chunk[1])
    return Place(int(chunk[0]) + inside, state_behind(chunk[3], data[:inside]))
