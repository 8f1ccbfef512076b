"""Owns how a line of a log looks: what a terminal would show of it, with nothing left in it but colours.

Carriage returns, backspaces, erase-in-line and the column are acted on; colours (SGR) are kept in one short
normal form, each line beginning with those in force, so that it can be drawn alone; every other control
sequence is dropped; control and direction-changing characters are made visible. Pure, linear in the input and
bounded in memory by the columns.

It is not in charge of what colours mean (sgr.py) or of markup: whoever puts a line on a page does so as text.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, zip_longest

from jobs.logs.sgr import PLAIN, Sgr, apply_sgr

MAX_COLUMNS = 16 * 1024
_BLANK = " "

# Characters that are not drawn: C0 but tab, DEL, C1, those that turn the direction of writing, line ends.
_UNSEEN = "\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_HAS_UNSEEN = re.compile(f"[{_UNSEEN}]")
# Every alternative is possessive or of fixed length: linear. A string or CSI without its end falls to
# `escape`: its introducer goes and its text is shown, so that it cannot hide what follows.
_TOKEN = re.compile(
    f"(?P<text>[^{_UNSEEN}]++)"
    r"|\x1b\[(?P<parameters>[0-?]*+)[ -/]*+(?P<final>[@-~])"
    r"|(?P<string>\x1b[\]PX^_][^\x07\x1b]*+(?:\x07|\x1b\\))"
    r"|(?P<escape>\x1b[ -/]*+[0-~])"
    r"|(?P<single>[\x00-\U0010ffff])"
)
_COLOUR = re.compile(r"\x1b\[([0-9;:]*+)m")


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line to show. `cut`: what was beyond 16,384 columns is missing; the raw bytes have it."""

    text: str
    cut: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Pen:
    """How and when a run of characters was written; one object a run, compared by identity."""

    sgr: Sgr
    moment: int


class _Row:
    """One line of a terminal: columns that are written, overwritten and erased.

    Erasing to the left only notes the moment, since blanking each column each time could be made to cost the
    width for every four bytes of input.
    """

    def __init__(self) -> None:
        self.characters: list[str] = []
        self.pens: list[_Pen] = []
        self.column = 0
        self.cut = False
        self.moment = 0
        self.erased: dict[int, int] = {}

    def write(self, text: str, sgr: Sgr) -> None:
        room = MAX_COLUMNS - self.column
        if len(text) > room:
            text, self.cut = text[:room], True
        end = self.column + len(text)
        self.characters[self.column : end] = text
        self.pens[self.column : end] = [_Pen(sgr, self.moment)] * len(text)
        self.column = end

    def move_to(self, column: int) -> None:
        self.column = max(0, min(column, len(self.characters)))

    def erase(self, mode: str) -> None:
        if mode in ("1", "2"):
            self.moment += 1
            self.erased[self.column] = self.moment
        if mode in ("", "0", "2"):
            del self.characters[self.column :]
            del self.pens[self.column :]

    def cells(self) -> list[tuple[str, Sgr]]:
        """What is left, column by column, without blanks from erasing at the end."""
        cells = list(zip(self.characters, (pen.sgr for pen in self.pens), strict=True))
        if not self.erased:
            return cells
        latest = max((moment for column, moment in self.erased.items() if column >= len(cells)), default=0)
        for column in reversed(range(len(cells))):
            latest = max(latest, self.erased.get(column, 0))
            if self.pens[column].moment < latest:
                cells[column] = (_BLANK, PLAIN)
                if column == len(cells) - 1:
                    cells.pop()
        return cells


def show_lines(lines: Iterable[str], *, state: Sgr = PLAIN) -> Iterator[ShownLine]:
    """Each line (without its LF) as a terminal would leave it; `state` is in force before the first."""
    for line in lines:
        shown, state = show_line(line, state=state)
        yield shown


def show_line(line: str, *, state: Sgr = PLAIN) -> tuple[ShownLine, Sgr]:
    """One line as a terminal would leave it, and the colours in force behind it."""
    if not _HAS_UNSEEN.search(line):
        start = "" if state == PLAIN or not line else str(state)
        return ShownLine(start + line[:MAX_COLUMNS], len(line) > MAX_COLUMNS), state
    parts = _COLOUR.split(line)
    texts = parts[::2]
    plain = "".join(texts)
    if len(plain) <= MAX_COLUMNS and not _HAS_UNSEEN.search(plain):
        return _show_coloured(texts, parts[1::2], state)
    return _show_drawn(line, state)


def _show_coloured(texts: list[str], colours: list[str], state: Sgr) -> tuple[ShownLine, Sgr]:
    """A line in which nothing moves: each text with the colours before it. The short way of most lines."""
    shown: list[str] = []
    current = PLAIN
    for text, parameters in zip_longest(texts, colours):
        if text:
            if state != current:
                shown.append(str(state))
                current = state
            shown.append(text)
        if parameters is not None:
            state = apply_sgr(state, parameters)
    return ShownLine("".join(shown), cut=False), state


def _show_drawn(line: str, state: Sgr) -> tuple[ShownLine, Sgr]:
    row = _Row()
    for token in _TOKEN.finditer(line):
        if (text := token["text"]) is not None:
            row.write(text, state)
        elif (final := token["final"]) == "m":
            state = apply_sgr(state, token["parameters"])
        elif final is not None:
            _act(row, final, token["parameters"])
        elif (single := token["single"]) is not None:
            _write_single(row, single, state)
    return ShownLine(_join(row.cells()), row.cut), state


def _act(row: _Row, final: str, parameters: str) -> None:
    if final == "K":
        row.erase(parameters)
    elif final == "G" and len(parameters) < 6 and (parameters or "1").isdecimal():
        row.move_to(int(parameters or "1") - 1)


def _write_single(row: _Row, character: str, state: Sgr) -> None:
    if character == "\r":
        row.move_to(0)
    elif character == "\b":
        row.move_to(row.column - 1)
    else:
        row.write(f"\\x{ord(character):02x}" if character < "\u0100" else f"\\u{ord(character):04x}", state)


def _join(cells: list[tuple[str, Sgr]]) -> str:
    """The text, with a sequence wherever the colours change; a line begins without any."""
    parts: list[str] = []
    current = PLAIN
    for sgr, run in groupby(cells, key=lambda cell: cell[1]):
        if sgr != current:
            parts.append(str(sgr))
            current = sgr
        parts += [character for character, _ in run]
    return "".join(parts)
