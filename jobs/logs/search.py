"""Owns the search of one log: which lines show a text, over all of it or what is new, in bounded memory and time.

A text is looked for as it is shown, without colours; upper and lower case are the same unless asked otherwise.
There are no regular expressions: those of a stranger could take any time.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import AnyStr

from jobs.logs import store
from jobs.logs.lines import MAX_COLUMNS
from jobs.logs.plain import line_blocks, plain_lines
from jobs.models import Attempt

MAX_LINES = 10_000
MAX_QUERY_CHARACTERS = 256
MOST_SECONDS = 5.0
_BLOCK_BYTES = 256 * 1024
# With one find in so many bytes, going through all lines is faster.
_DENSE = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """The first `lines` that show it, from 0, and how many do; `truncated`: not all are named.

    `whole` is False when the time ran out: then there are at least `count`. `total` is the number of whole lines
    that the log had; behind the last LF it was looked, too.
    """

    count: int
    lines: list[int]
    whole: bool
    total: int

    @property
    def truncated(self) -> bool:
        """Whether some lines are missing from `lines`."""
        return not self.whole or self.count > len(self.lines)


def search(
    attempt: Attempt,
    *,
    text: str,
    match_case: bool = False,
    first_line: int = 0,
    seconds: float | None = None,
) -> Found:
    """Find the lines from `first_line` on that show `text`, at most MAX_LINES of them by number. Raises LogGap.

    The text is one line of at most MAX_QUERY_CHARACTERS; an empty one is found nowhere.
    """
    needle = _Needle(text, match_case=match_case)
    size, total = store.extent(attempt)
    if not text or first_line > total:
        return Found(0, [], whole=True, total=total)
    deadline = time.monotonic() + (MOST_SECONDS if seconds is None else seconds)
    count, lines = 0, list[int]()
    pieces = store.read_pieces(attempt, start=store.locate_line(attempt, first_line).offset, end=size)
    for block in line_blocks(((piece.data, piece.at) for piece in pieces), joined_bytes=_BLOCK_BYTES):
        found = needle.lines_of(block.data)
        begin = first_line + block.first_line
        lines += [begin + line for line in found[: MAX_LINES - len(lines)]]
        count += len(found)
        if time.monotonic() > deadline:
            return Found(count, lines, whole=False, total=total)
    return Found(count, lines, whole=True, total=total)


class _Needle:
    """What is looked for: in bytes, which is many times faster, unless it has letters beyond A to Z in any case."""

    def __init__(self, text: str, *, match_case: bool) -> None:
        self._match_case = match_case
        self._text = text if match_case else text.casefold()
        uncased = all(one.isascii() or one.lower() == one.upper() == one.casefold() for one in text)
        # What is no text in the bytes is shown as a replacement, and so is in no bytes.
        by_bytes = (match_case or uncased) and "\ufffd" not in text
        self._bytes = self._text.encode(errors="replace") if by_bytes else b""

    def lines_of(self, block: bytes) -> list[int]:
        """The lines of a block, from 0, in which it is."""
        plain = plain_lines(block, lower=bool(self._bytes) and not self._match_case)
        if self._bytes:
            return _lines_with(plain, self._bytes, b"\n")
        shown = plain.decode(errors="replace")
        return _lines_with(shown if self._match_case else shown.casefold(), self._text, "\n")


def _lines_with(block: AnyStr, needle: AnyStr, line_feed: AnyStr) -> list[int]:
    """The short way for a few finds is a long one for many."""
    if block.count(needle) * _DENSE > len(block):
        return [
            line
            for line, text in enumerate(block.split(line_feed))
            if needle in text and (len(text) <= MAX_COLUMNS or _is_shown(text, text.find(needle), needle))
        ]
    return list(_few_lines_with(block, needle, line_feed))


def _few_lines_with(block: AnyStr, needle: AnyStr, line_feed: AnyStr) -> Iterator[int]:
    line, counted, at = 0, 0, block.find(needle)
    while at >= 0:
        line += block.count(line_feed, counted, at)
        begin = block.rfind(line_feed, 0, at) + 1
        if _is_shown(block[begin : at + len(needle)], at - begin, needle):
            yield line
        counted = block.find(line_feed, at)
        if counted < 0:
            return
        at = block.find(needle, counted)


def _is_shown(line: AnyStr, at: int, needle: AnyStr) -> bool:
    """Whether it is within the columns that are shown; a column is a character."""
    if len(line) <= MAX_COLUMNS:
        return True
    begin = line[: at + len(needle)]
    return len(begin.decode(errors="replace") if isinstance(begin, bytes) else begin) <= MAX_COLUMNS
