"""Owns the kept log of an attempt: the rows of LogChunk and the two offsets `source_read` and `log_size`.

Everybody else appends and reads through it, by offset or by line, and does not learn in which form the bytes
lie: rows while the log is live, an object once it is sealed (seal.py), and from one to the other in the middle
of reading. It is not in charge of how rows are written fast (row_writing.py), of masking (masking.py), of what is
kept past the limit (limit.py) or of how text looks (lines.py).

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
from jobs.logs import rows, sealed
from jobs.logs.pieces import LogGap, Piece, Place
from jobs.logs.row_writing import Cut, cut, insert_rows
from jobs.logs.sealed import Sealed
from jobs.models import Attempt, LogChunk

__all__ = [
    "Appended",
    "LineWindow",
    "LogGap",
    "Piece",
    "Place",
    "append",
    "drop_rows",
    "extent",
    "line_at",
    "locate_line",
    "read_bytes",
    "read_lines",
    "read_pieces",
    "size",
]


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the log stands after an append."""

    source_read: int
    log_size: int
    log_lines: int


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
        log_lines, sgr = Attempt.objects.values_list("log_lines", "log_sgr").get(pk=attempt_id)
        if kept:
            first = {"offset": log_size, "first_line": log_lines - lines, "sgr": sgr}
            _keep(LogChunk(attempt_id=attempt_id, at=at or timezone.now(), **first), pieces)
            ring_on_commit(f"log:{attempt_id}")
    return Appended(source_read + consumed, log_size + len(kept), log_lines)


def _keep(begin: LogChunk, pieces: Cut) -> None:
    """Write rows, the first of which begins as `begin` does, and note the colours behind them."""
    lead = insert_rows(
        begin.attempt_id,
        pieces,
        offset=begin.offset,
        first_line=begin.first_line,
        at=begin.at,
        lead=begin.sgr,
    )
    if lead != begin.sgr:
        Attempt.objects.filter(pk=begin.attempt_id).update(log_sgr=lead)


def drop_rows(attempt_id: uuid.UUID, *, most: int) -> int:
    """Remove rows of a log that is sealed, the last ones first; how many. Whoever reads goes on in the other form."""
    chunks = LogChunk.objects.filter(attempt=attempt_id)
    ids = list(chunks.order_by("-offset").values_list("pk", flat=True)[:most])
    LogChunk.objects.filter(pk__in=ids).delete()
    return len(ids)


def size(attempt: Attempt) -> int:
    """The bytes kept by now, read afresh."""
    return extent(attempt)[0]


def extent(attempt: Attempt) -> tuple[int, int]:
    """The bytes kept by now and the LFs in them, read afresh."""
    return Attempt.objects.values_list("log_size", "log_lines").get(pk=attempt.pk)


def read_pieces(attempt: Attempt, *, start: int, end: int) -> Iterator[Piece]:
    """The kept bytes from `start` up to `end` in pieces of at most 64 KiB; `end` must not be past the size.

    Raises LogGap when bytes of that range are not there.
    """
    position = start
    try:
        for piece in rows.read_pieces(attempt.pk, start=start, end=end):
            yield piece
            position = piece.end
    except LogGap as gap:
        yield from _sealed(attempt, gap).read_pieces(start=position, end=end)


def _sealed(attempt: Attempt, gap: LogGap) -> Sealed:
    """The form that a log is in when its rows have gone. Raises the gap when it is not."""
    found = sealed.find(attempt.pk)
    if found is None:
        raise gap
    return found


def read_bytes(attempt: Attempt, *, start: int, end: int) -> Iterator[bytes]:
    """The kept bytes from `start` up to `end`, cut to the log's size, in parts of at most 64 KiB.

    Raises LogGap when bytes of that range are not there.
    """
    for piece in read_pieces(attempt, start=max(start, 0), end=min(end, size(attempt))):
        yield piece.data


def line_at(attempt: Attempt, offset: int) -> int:
    """The number of the line that the byte at `offset` is in; at the end of the log, of the line to come.

    Raises LogGap when the bytes before it are not there.
    """
    try:
        return rows.line_at(attempt.pk, offset)
    except LogGap as gap:
        return _sealed(attempt, gap).line_at(offset)


def locate_line(attempt: Attempt, line: int) -> Place:
    """Where a line begins: behind the LF before it. Raises LogGap when it is not there."""
    try:
        return rows.locate_line(attempt.pk, line)
    except LogGap as gap:
        return _sealed(attempt, gap).locate_line(line)


def read_lines(attempt: Attempt, *, first_line: int, limit: int, max_bytes: int) -> LineWindow:
    """At most `limit` lines and `max_bytes` bytes from line `first_line` on, as text.

    Bytes that are not UTF-8 become replacement characters. A line that alone is over `max_bytes` is cut
    there, so that every call gets on; its rest is in the raw bytes only. Past the end the window is empty.
    """
    end, line_feeds = extent(attempt)
    first_line = max(first_line, 0)
    total = line_feeds + (0 if _ends_with_line_feed(attempt, end) else 1)
    start = locate_line(attempt, first_line).offset if first_line < total else end
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


def _ends_with_line_feed(attempt: Attempt, end: int) -> bool:
    return end == 0 or next(read_pieces(attempt, start=end - 1, end=end)).data == b"\n"
