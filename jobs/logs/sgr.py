"""Owns the colours of a terminal (SGR): which are in force, and one short normal form of them.

Only what a page can show is kept: colours, bold, faint, italic, underline, inverse, struck. Blinking and
hidden text are not: a log must not be able to hide a part of itself. Pure.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

# The attributes that are shown, and the codes that end them.
_SHOWN = frozenset({1, 2, 3, 4, 7, 9})
_ENDS = {22: {1, 2}, 23: {3}, 24: {4}, 27: {7}, 29: {9}}
_MAX_CHARACTERS = 256

# In bytes these sequences always begin at their escape: nothing that a terminal takes as one has an escape in it.
_SET = re.compile(rb"\x1b\[([0-?]*+)[ -/]*+m")
_BEGUN = re.compile(rb"\x1b(?:\[[0-?]*+[ -/]*+)?\Z")
_MAX_BEGUN = _MAX_CHARACTERS + 8


@dataclass(frozen=True, slots=True)
class Sgr:
    """The colours in force. `foreground` and `background` are SGR parameters, empty for the default."""

    foreground: str = ""
    background: str = ""
    attributes: frozenset[int] = frozenset()

    def __str__(self) -> str:
        """The one sequence that leads here from any state."""
        parts = [*map(str, sorted(self.attributes)), self.foreground, self.background]
        return f"\x1b[{';'.join(['0', *filter(None, parts)])}m"


PLAIN = Sgr()


@lru_cache(maxsize=4096)
def apply_sgr(state: Sgr, parameters: str) -> Sgr:
    """The state behind `ESC [ parameters m`; what is not understood changes nothing."""
    if len(parameters) > _MAX_CHARACTERS or not re.fullmatch("[0-9;:]*", parameters):
        return state
    groups = parameters.split(";")
    while groups:
        first, *sub = (_number(text) for text in groups.pop(0).split(":"))
        if first in (38, 48):
            if not sub:
                sub = [_number(text) for text in groups[:4]]
                del groups[: {5: 2, 2: 4}.get(sub[0], 0) if sub else 0]
            elif sub[0] == 2 and len(sub) > 4:  # 38:2:<colour space>:r:g:b
                del sub[1]
            state = _apply_colour(state, first, sub)
        else:
            state = _apply_code(state, 24 if first == 4 and sub[:1] == [0] else first)
    return state


def lead_after(lead: str, data: bytes) -> str:
    """What sets the colours behind `data`, which begins with those that `lead` sets: both may end in a sequence.

    It is short, however long the sequence is that has begun.
    """
    if b"\x1b" not in data and not _BEGUN.search(lead.encode()):
        return lead
    whole = lead.encode() + data
    last = whole.rfind(b"\x1b")
    begun = whole[last : last + _MAX_BEGUN] if _BEGUN.match(whole, last) else b""
    state = _state_after(whole)
    return ("" if state == PLAIN else str(state)) + begun.decode()


def state_behind(lead: str, data: bytes) -> Sgr:
    """The colours in force behind `data`, which begins with those that `lead` sets."""
    return _state_after(lead.encode() + data)


def _state_after(data: bytes) -> Sgr:
    """What was before the last full reset does not count."""
    state = PLAIN
    for found in _SET.finditer(data, max(data.rfind(b"\x1b[m"), data.rfind(b"\x1b[0m"), 0)):
        state = apply_sgr(state, found[1].decode())
    return state


def _number(text: str) -> int:
    return min(int(text.partition(":")[0].lstrip("0")[:4] or "0"), 999)


def _apply_colour(state: Sgr, first: int, rest: list[int]) -> Sgr:
    count = {5: 2, 2: 4}.get(rest[0], 0) if rest else 0
    values = rest[1:count]
    if not count or len(values) != count - 1 or max(values) > 255:
        return state
    code = ";".join(map(str, [first, rest[0], *values]))
    return replace(state, foreground=code) if first == 38 else replace(state, background=code)


def _apply_code(state: Sgr, code: int) -> Sgr:
    if code == 0:
        return PLAIN
    if code in _SHOWN:
        return replace(state, attributes=state.attributes | {code})
    if code in _ENDS:
        return replace(state, attributes=state.attributes - _ENDS[code])
    if 30 <= code <= 37 or 90 <= code <= 97:
        return replace(state, foreground=str(code))
    if 40 <= code <= 47 or 100 <= code <= 107:
        return replace(state, background=str(code))
    if code == 39:
        return replace(state, foreground="")
    if code == 49:
        return replace(state, background="")
    return state
