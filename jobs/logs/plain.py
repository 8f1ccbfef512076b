"""Owns the text of a log as it is shown, without its colours, for whoever looks for something in it.

Many lines at once go the short way: what shows nothing is taken out of the bytes, and only lines in which a
terminal would move, erase or hide something are drawn by lines.py. Pure; linear in the input.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from jobs.logs.lines import show_line

# Of a longer line only so much is looked at: it covers the columns that are shown of ordinary text.
SHOWN_BYTES = 64 * 1024

_SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")
# Where nothing moves back, erasing to the right erases nothing.
_HARMLESS = re.compile(rb"\x1b\[(?:[0-9;:]*+m|0?K)")
_ODD = re.compile(
    rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)
# The bytes of which what is odd is made.
_SUSPECT = bytes({*range(9), *range(0x0B, 0x20), 0x7F, 0xC2, 0xD8, 0xE2, *range(0x80, 0xC0)})
_ORDINARY = bytes(set(range(256)) - set(_SUSPECT))
_LOWER = bytes(range(256)).lower()


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines, each with its LF (but the last of a log); `first_at` is when the first one began."""

    first_line: int
    data: bytes
    first_at: datetime
    at: datetime


class LineBlocks:
    """Cuts consecutive bytes into blocks of whole lines. It holds at most the beginning of one line."""

    def __init__(self) -> None:
        self._line = 0
        self._carry = bytearray()
        self._carry_at: datetime | None = None

    def feed(self, data: bytes, *, at: datetime) -> Block | None:
        """The lines that are whole now; None when none is."""
        ended = data.rfind(b"\n") + 1
        if not ended:
            self._keep(data, at)
            return None
        first_at = self._carry_at or at
        block = Block(self._line, bytes(self._carry) + data[:ended], first_at, at)
        self._line += data.count(b"\n", 0, ended)
        self._carry.clear()
        self._carry_at = None
        self._keep(data[ended:], at)
        return block

    def rest(self) -> Block | None:
        """The line that has no LF, if there is one. It stays."""
        if self._carry_at is None:
            return None
        return Block(self._line, bytes(self._carry), self._carry_at, self._carry_at)

    def _keep(self, data: bytes, at: datetime) -> None:
        if data:
            self._carry_at = self._carry_at or at
            self._carry += data[: SHOWN_BYTES + 1 - len(self._carry)]


def plain_line(line: bytes) -> str:
    """One line (without its LF) as it is shown, without colours."""
    shown, _ = show_line(line[:SHOWN_BYTES].decode(errors="replace"))
    return _SEQUENCE.sub("", shown.text)


def plain_lines(block: bytes, *, lower: bool) -> bytes:
    """The shown text of lines, line for line; `lower`: with A to Z as a to z.

    Bytes that are not UTF-8 stay as they are, and a line that is cut when shown may be here as a whole.
    """
    suspect = block.translate(None, _ORDINARY)
    if _ODD.search(suspect):
        # What is put together by taking out what was between it still has its escape, and so is drawn.
        clean = _HARMLESS.sub(b"", block.replace(b"\r\n", b"\n") if b"\r" in suspect else block)
        block = _with_drawn(clean, block) if _ODD.search(clean.translate(None, _ORDINARY)) else clean
    return block.translate(_LOWER) if lower else block


def _with_drawn(clean: bytes, block: bytes) -> bytes:
    """`clean`, with the lines in which something odd is left drawn from their bytes in `block`."""
    lines, originals = clean.split(b"\n"), block.split(b"\n")
    index, counted = 0, 0
    while found := _ODD.search(clean, counted):
        index += clean.count(b"\n", counted, found.start())
        lines[index] = plain_line(originals[index]).encode()
        counted = clean.find(b"\n", found.end())
        if counted < 0:
            break
    return b"\n".join(lines)


def line_blocks(pieces: Iterable[tuple[bytes, datetime]], *, joined_bytes: int) -> Iterator[Block]:
    """Blocks of whole lines; small pieces are joined until there are `joined_bytes`, and have the first's time."""
    blocks, held, since = LineBlocks(), bytearray(), None
    for data, at in pieces:
        since = since or at
        held += data
        if len(held) >= joined_bytes:
            block = blocks.feed(bytes(held), at=since)
            held.clear()
            since = None
            if block is not None:
                yield block
    if since is not None and (block := blocks.feed(bytes(held), at=since)) is not None:
        yield block
    if (block := blocks.rest()) is not None:
        yield block
