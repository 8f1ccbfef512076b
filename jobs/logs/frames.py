"""Owns how a log's bytes become the frames of a socket: in order, on character borders, at most 64 KiB.

Offsets stay those of the bytes, whatever the text makes of bytes that are not UTF-8. Pure.
"""

import json
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from jobs.logs.store import Piece

FRAME_BYTES = 64 * 1024
# Room for the other keys of a frame.
_TEXT_BYTES = FRAME_BYTES - 512
# What is tried first: ordinary text with its line ends escaped is under the limit then.
_TRIED_BYTES = 60 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """Text of the bytes from `offset` to `next_offset`; `line` counts from 1, `at` is of the first byte."""

    offset: int
    next_offset: int
    line: int
    text: str
    at: datetime

    def as_json(self) -> str:
        """The frame as the contract has it."""
        return encode(
            {
                "type": "log",
                "offset": self.offset,
                "next_offset": self.next_offset,
                "line": self.line,
                "text": self.text,
                "time": self.at.isoformat(),
            }
        )


class Framer:
    """Takes consecutive pieces and gives frames. It holds what it was fed and has not given."""

    def __init__(self, *, offset: int, line: int) -> None:
        """Begin at a byte and with the number, from 1, of the line that it is in."""
        self._data = bytearray()
        self._times: deque[tuple[int, datetime]] = deque()
        self._offset = offset
        self._line = line

    @property
    def end(self) -> int:
        """The offset of the next byte to be fed."""
        return self._offset + len(self._data)

    def feed(self, piece: Piece) -> None:
        """Add the next bytes. Raises ValueError when they do not follow: a gap must never pass."""
        if piece.offset != self.end:
            raise ValueError(f"A piece at {piece.offset} does not follow {self.end}.")
        self._times.append((piece.offset, piece.at))
        self._data += piece.data

    def take(self, *, final: bool) -> Frame | None:
        """The next frame; None when there is nothing, or only the beginning of a character.

        `final`: nothing will follow, so the beginning of a character is shown as a replacement.
        """
        data = bytes(self._data[:_TRIED_BYTES])
        count = len(data) if final and len(data) == len(self._data) else whole_characters(data)
        if not count:
            return None
        text = data[:count].decode(errors="replace")
        while (
            len(encode(text).encode()) > _TEXT_BYTES
        ):  # escapes and replacements are longer than their bytes
            count = whole_characters(data[: count // 2])
            text = data[:count].decode(errors="replace")
        frame = Frame(self._offset, self._offset + count, self._line, text, self._time())
        del self._data[:count]
        self._offset += count
        self._line += data.count(b"\n", 0, count)
        return frame

    def _time(self) -> datetime:
        while len(self._times) > 1 and self._times[1][0] <= self._offset:
            self._times.popleft()
        return self._times[0][1]


def whole_characters(data: bytes) -> int:
    """How many bytes there are before a character of UTF-8 that has begun and may go on."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return len(data) - back if back < length <= 4 and byte <= 0xF4 else len(data)
    return len(data)


def encode(value: object) -> str:
    """JSON as a socket sends it: short, and not ASCII only."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
