"""Ranges of seconds in words, as short as they are sure: `4–9 min`. Nothing else about estimates."""

from typing import Protocol

_NOW = 5.0
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
# Up to how many seconds is counted in what unit, and in what steps of it.
_UNITS = ((90, 10, "s", 1), (90 * _MINUTE, _MINUTE, "min", _MINUTE), (36 * _HOUR, _HOUR / 2, "h", _HOUR))


class Span(Protocol):
    """From `low` to `high` seconds."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def span_words(found: Span) -> str:
    """`4–9 min`, `~4 min` when both ends read alike, `<9 min` from nothing on, `now`."""
    ends = _ends(found)
    if ends is None:
        return "now"
    low, high, unit = ends
    if low == high:
        return f"~{high} {unit}"
    return f"<{high} {unit}" if low == "0" else f"{low}–{high} {unit}"


def in_words(found: Span) -> str:
    """The same in a sentence: `in 4–9 min`, `in about 4 min`, `within 9 min`, `at once`."""
    words = span_words(found)
    for sign, instead in (("now", "at once"), ("~", "in about "), ("<", "within ")):
        if words.startswith(sign):
            return instead + words.removeprefix(sign)
    return f"in {words}"


def _ends(found: Span) -> tuple[str, str, str] | None:
    """Both ends in the unit that fits the later one; None for what comes at once."""
    if found.high < _NOW:
        return None
    step, name, unit = next(
        ((step, name, unit) for most, step, name, unit in _UNITS if found.high < most), (_DAY / 2, "d", _DAY)
    )
    high = max(1, round(found.high / step)) * step / unit
    return f"{round(found.low / step) * step / unit:g}", f"{high:g}", name
