"""Owns the kept log of an attempt: the rows of LogChunk and the two offsets `source_read` and `log_size`.

Everybody else appends and reads through it, by offset or by line, and does not learn in which form the bytes
lie. It is not in charge of how rows are written fast (rows.py), of masking (masking.py), of what is kept past the
limit (limit.py) or of how text looks (lines.py).

A line ends at LF, and what follows the last LF is a line too, if it is not empty. Lines are numbered from 0
here, as the API does; the socket and people count from 1.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from buildboard.core.doorbell import ring_on_commit
from jobs.logs.rows import cut, insert_rows
from jobs.models import Attempt, LogChunk

# Rows fetched by one query: at most 1 MiB in memory, and no query stays open while a slow reader takes it.
_ROWS = 16


class LogGap(Exception):
    """Bytes that the attempt says are kept are not there. It names the attempt and the offset."""


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the log stands after an append."""

    source_read: int
    log_size: int
    log_lines: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive kept bytes, and when they were kept."""

    offset: int
    data: bytes
    at: datetime

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class LineWindow:
    """Some lines of a log, without their LF; `next_line` is where to go on."""

    lines: list[str]
    first_line: int
    next_line: int
    total_lines: int


def append(
    attempt_id: uuid.UUID,
    *,
    lease_id: uuid.UUID,
    source_read: int,
    log_size: int,
    kept: bytes,
    consumed: int,
    omitted: int = 0,
    at: datetime | None = None,
) -> Appended | None:
    """Keep `kept`, which stands for `consumed` bytes of the source from `source_read` on, in one transaction.

    None, and nothing is changed, when the attempt is no longer active under this lease or when another
    follower has moved one of the two offsets. `omitted` bytes of `consumed` were left out past the limit.
    """
    if consumed < 0 or omitted < 0:
        raise ValueError("Offsets never go back.")
    pieces = cut(kept)
    lines = sum(count for _, count in pieces)
    with transaction.atomic():
        guarded = Attempt.objects.active().filter(
            pk=attempt_id, lease_id=lease_id, source_read=source_read, log_size=log_size
        )
        moved = guarded.update(
            source_read=source_read + consumed,
            log_size=log_size + len(kept),
            log_lines=F("log_lines") + lines,
            log_omitted=F("log_omitted") + omitted,
        )
        if not moved:
            return None
        log_lines = Attempt.objects.values_list("log_lines", flat=True).get(pk=attempt_id)
        if kept:
            first_line = log_lines - lines
            insert_rows(attempt_id, pieces, offset=log_size, first_line=first_line, at=at or timezone.now())
            ring_on_commit(f"log:{attempt_id}")
    return Appended(source_read + consumed, log_size + len(kept), log_lines)


def size(attempt: Attempt) -> int:
    """The bytes kept by now, read afresh."""
    return _extent(attempt)[0]


def read_pieces(attempt: Attempt, *, start: int, end: int) -> Iterator[Piece]:
    """The kept bytes from `start` up to `end` in pieces of at most 64 KiB; `end` must not be past the size.

    Raises LogGap when bytes of that range are not there.
    """
    chunks = LogChunk.objects.filter(attempt=attempt.pk, offset__lt=end).order_by("offset")
    first = chunks.filter(offset__lte=start).values_list("offset", flat=True).last()
    position, row_offset = start, first or 0
    while position < end:
        rows = list(chunks.filter(offset__gte=row_offset).values_list("offset", "data", "at")[:_ROWS])
        if not rows:
            raise LogGap(f"The log of attempt {attempt.pk} has no byte {position}.")
        for offset, stored, at in rows:
            data = bytes(stored)
            if not offset <= position < offset + len(data):
                raise LogGap(f"The log of attempt {attempt.pk} has no byte {position}.")
            part = data[position - offset : end - offset]
            yield Piece(position, part, at)
            position += len(part)
        row_offset = position


def read_bytes(attempt: Attempt, *, start: int, end: int) -> Iterator[bytes]:
    """The kept bytes from `start` up to `end`, cut to the log's size, in parts of at most 64 KiB.

    Raises LogGap when bytes of that range are not there.
    """
    for piece in read_pieces(attempt, start=max(start, 0), end=min(end, size(attempt))):
        yield piece.data


def line_at(attempt: Attempt, offset: int) -> int:
    """The number of the line that the byte at `offset` is in; at the end of the log, of the line to come."""
    chunk = (
        LogChunk.objects.filter(attempt=attempt.pk, offset__lte=offset)
        .order_by("-offset")
        .values_list("offset", "first_line", "data")
        .first()
    )
    if chunk is None:
        return 0
    return int(chunk[1]) + bytes(chunk[2])[: offset - chunk[0]].count(b"\n")


def read_lines(attempt: Attempt, *, first_line: int, limit: int, max_bytes: int) -> LineWindow:
    """At most `limit` lines and `max_bytes` bytes from line `first_line` on, as text.

    Bytes that are not UTF-8 become replacement characters. A line that alone is over `max_bytes` is cut
    there, so that every call gets on; its rest is in the raw bytes only. Past the end the window is empty.
    """
    end, line_feeds = _extent(attempt)
    first_line = max(first_line, 0)
    total = line_feeds + (0 if _ends_with_line_feed(attempt, end) else 1)
    start = _offset_of_line(attempt, first_line) if first_line < total else end
    lines: list[str] = []
    if start < end and limit > 0:
        lines = _take_lines(read_pieces(attempt, start=start, end=end), limit=limit, max_bytes=max_bytes)
    return LineWindow(lines, first_line, first_line + len(lines), total)


def _take_lines(pieces: Iterator[Piece], *, limit: int, max_bytes: int) -> list[str]:
    lines: list[bytes] = []
    rest, room = bytearray(), max_bytes
    for piece in pieces:
        *whole, tail = piece.data.split(b"\n")
        for part in whole:
            line = bytes(rest) + part
            if len(lines) == limit or (lines and len(line) >= room):
                return _decode(lines)
            lines.append(line[:max_bytes])
            room -= len(line) + 1
            rest.clear()
        rest += tail
        if len(lines) == limit or len(rest) >= max(room, 1):
            return _decode(lines or [bytes(rest[:max_bytes])])
    return _decode([*lines, bytes(rest)] if rest else lines)


def _decode(lines: list[bytes]) -> list[str]:
    return [line.decode(errors="replace") for line in lines]


def _offset_of_line(attempt: Attempt, line: int) -> int:
    """Where a line begins: behind the LF before it.

    The chunk with that LF is the last one that has any and begins in an earlier line: of the many chunks of a
    very long line only one has a LF.
    """
    if line <= 0:
        return 0
    chunk = (
        LogChunk.objects.filter(attempt=attempt.pk, first_line__lt=line, lines__gt=0)
        .order_by("-first_line")
        .values_list("offset", "first_line", "data")
        .first()
    )
    if chunk is None:
        raise LogGap(f"The log of attempt {attempt.pk} has no line {line}.")
    data = bytes(chunk[2])
    behind = data.split(b"\n", line - chunk[1])[-1]
    return int(chunk[0]) + len(data) - len(behind)


def _ends_with_line_feed(attempt: Attempt, end: int) -> bool:
    return end == 0 or next(read_pieces(attempt, start=end - 1, end=end)).data == b"\n"


def _extent(attempt: Attempt) -> tuple[int, int]:
    return Attempt.objects.values_list("log_size", "log_lines").get(pk=attempt.pk)
