"""Owns the sealed form of a log: an object of compressed blocks, and an index of them in its row.

A block has 256 KiB of the log and the times of its pieces, and is read alone. The index says for each where it
begins in the object, its first line, and the colours that it begins with. Who seals is seal.py.

Compression is a library's (zstd): what Python brings takes ten times as long, and three times to read.
"""

import os
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import FileIO
from uuid import UUID

import zstandard

from jobs.logs import objects
from jobs.logs.pieces import LogGap, Piece, Place, behind_line_feeds
from jobs.logs.sgr import PLAIN, lead_after, state_behind
from jobs.models import SealedLog

BLOCK_BYTES = 256 * 1024
PIECE_BYTES = 64 * 1024
_LEVEL = 3
_VERSION = 1
_HEAD = struct.Struct("<BI")
# Each byte of a block may be a piece of its own.
_MOST_PAYLOAD = _HEAD.size + BLOCK_BYTES * (1 + 4 + 8)
_MOST_INDEX = 1 << 28
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# What a damaged object or index leads to when it is taken apart.
DAMAGED = (OSError, zstandard.ZstdError, struct.error, ValueError, IndexError, OverflowError)


# ---- writing ----------------------------------------------------------------------------------------------


@dataclass
class Writer:
    """Takes the pieces of a log in their order and gives `write` its blocks. It holds one block."""

    write: Callable[[bytes], object]
    size: int = 0
    lines: int = 0
    _data: bytearray = field(default_factory=bytearray)
    _starts: list[int] = field(default_factory=list)
    _times: list[int] = field(default_factory=list)
    _lead: str = ""
    _objects: list[int] = field(default_factory=lambda: [0])
    _first_lines: list[int] = field(default_factory=lambda: [0])
    _leads: list[str] = field(default_factory=list)

    def feed(self, piece: Piece) -> None:
        """The next bytes."""
        rest = piece.data
        while rest:
            part, rest = rest[: BLOCK_BYTES - len(self._data)], rest[BLOCK_BYTES - len(self._data) :]
            self._starts.append(len(self._data))
            self._times.append((piece.at - _EPOCH) // _MICROSECOND)
            self._data += part
            if len(self._data) == BLOCK_BYTES:
                self._end_block()

    def finish(self) -> bytes:
        """Write the last block; the index of all."""
        if self._data:
            self._end_block()
        count = len(self._leads)
        numbers = struct.pack(f"<{2 * count + 2}Q", *self._objects, *self._first_lines)
        return packed(_HEAD.pack(_VERSION, count) + numbers + "\n".join(self._leads).encode())

    def _end_block(self) -> None:
        data, count = bytes(self._data), len(self._starts)
        head = _HEAD.pack(_VERSION, count) + struct.pack(f"<{count}I{count}q", *self._starts, *self._times)
        stored = packed(head + data)
        self.write(stored)
        self.size += len(data)
        self.lines += data.count(b"\n")
        self._objects.append(self._objects[-1] + len(stored))
        self._first_lines.append(self.lines)
        self._leads.append(self._lead)
        self._lead = lead_after(self._lead, data)
        self._data.clear()
        self._starts.clear()
        self._times.clear()


def packed(data: bytes) -> bytes:
    """As it is stored, with a checksum."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(data)


def unpacked(data: bytes, *, most: int) -> bytes:
    """What was packed, at most so many bytes. Raises ValueError or ZstdError when it is damaged."""
    if not 0 <= zstandard.frame_content_size(data) <= most:
        raise ValueError("This is not what was stored.")
    return zstandard.ZstdDecompressor().decompress(data)


# ---- reading ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    data: bytes
    starts: tuple[int, ...]
    times: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed log to read. Its methods are those of rows.py, and raise LogGap where it is damaged."""

    attempt_id: UUID
    storage_key: str
    size: int
    objects: tuple[int, ...]
    first_lines: tuple[int, ...]
    leads: tuple[str, ...]

    def read_pieces(self, *, start: int, end: int) -> Iterator[Piece]:
        """The bytes from `start` up to `end`, in the pieces in which they were kept."""
        position = start
        while position < end:
            number, base = position // BLOCK_BYTES, position // BLOCK_BYTES * BLOCK_BYTES
            block = self._block(number)
            last = min(end - base, len(block.data))
            if position - base >= last:
                raise LogGap(self.attempt_id, f"byte {position}")
            while position - base < last:
                index = bisect_right(block.starts, position - base)
                behind = block.starts[index] if index < len(block.starts) else last
                behind = min(behind, last, position - base + PIECE_BYTES)
                at = _EPOCH + block.times[index - 1] * _MICROSECOND
                yield Piece(position, block.data[position - base : behind], at)
                position = base + behind

    def line_at(self, offset: int) -> int:
        """The number of LFs before the byte at `offset`, which may be the one to come."""
        if offset <= 0:
            return 0
        number = (offset - 1) // BLOCK_BYTES
        block = self._block(number)
        if offset - number * BLOCK_BYTES > len(block.data):
            raise LogGap(self.attempt_id, f"byte {offset - 1}")
        return self.first_lines[number] + block.data[: offset - number * BLOCK_BYTES].count(b"\n")

    def locate_line(self, line: int) -> Place:
        """Where a line begins: behind the LF before it."""
        if line <= 0:
            return Place(0, PLAIN)
        number = bisect_left(self.first_lines, line) - 1
        if number + 1 >= len(self.first_lines):
            raise LogGap(self.attempt_id, f"line {line + 1}")
        data = self._block(number).data
        inside = behind_line_feeds(data, line - self.first_lines[number])
        return Place(number * BLOCK_BYTES + inside, state_behind(self.leads[number], data[:inside]))

    def _block(self, number: int) -> _Block:
        try:
            with objects.open_object(self.storage_key) as source:
                stored = _read(source, self.objects[number], self.objects[number + 1])
            payload = unpacked(stored, most=_MOST_PAYLOAD)
            version, count = _HEAD.unpack_from(payload)
            numbers = struct.unpack_from(f"<{count}I{count}q", payload, _HEAD.size)
            data = payload[_HEAD.size + count * 12 :]
            if version != _VERSION or len(data) != min(BLOCK_BYTES, self.size - number * BLOCK_BYTES):
                raise ValueError("This is not what was stored.")
        except DAMAGED as error:
            raise LogGap(self.attempt_id, f"byte {number * BLOCK_BYTES}") from error
        return _Block(data, numbers[:count], numbers[count:])


def _read(source: FileIO, start: int, end: int) -> bytes:
    data = os.pread(source.fileno(), end - start, start)
    if len(data) != end - start:
        raise ValueError("The object is shorter than it was.")
    return data


def find(attempt_id: UUID) -> Sealed | None:
    """The sealed log of an attempt; None while there is none. Raises LogGap when its index is damaged."""
    rows = SealedLog.objects.filter(attempt=attempt_id, published_at__isnull=False)
    row = rows.values_list("storage_key", "size", "index").first()
    if row is None:
        return None
    return open_sealed(attempt_id, storage_key=row[0], size=row[1], index=bytes(row[2]))


def open_sealed(attempt_id: UUID, *, storage_key: str, size: int, index: bytes) -> Sealed:
    """A sealed log by what its row says. Raises LogGap when the index is damaged."""
    try:
        payload = unpacked(index, most=_MOST_INDEX)
        version, count = _HEAD.unpack_from(payload)
        numbers = struct.unpack_from(f"<{2 * count + 2}Q", payload, _HEAD.size)
        leads = payload[_HEAD.size + (2 * count + 2) * 8 :].decode().split("\n")
        if version != _VERSION or len(leads) != max(count, 1):
            raise ValueError("This is not what was stored.")
    except DAMAGED as error:
        raise LogGap(attempt_id, "byte 0") from error
    return Sealed(attempt_id, storage_key, size, numbers[: count + 1], numbers[count + 1 :], tuple(leads))
