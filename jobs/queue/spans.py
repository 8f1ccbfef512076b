"""How long something takes, in words, as short as it is sure: `4–9 min`, `about 5 minutes`, `3 h`.

For figures: `span_words` of a range, `wait_words` of one number, `change_words` of a difference. For sentences:
`in_words` of a range, `in_about` of one number, `past_words` of what is over. Nothing else about estimates. Exact
durations in tables are the templates' `duration` and `limit`.
"""

from datetime import timedelta
from typing import Protocol

LEAST_CHANGE_SECONDS = 1.0
_NOW = 5.0
_COARSE = 600  # seconds from which on minutes are enough
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


def in_about(seconds: float) -> str:
    """A guess in a sentence: `in less than a minute`, `in about 5 minutes`, `in about 2 hours`."""
    if seconds < _MINUTE:
        return "in less than a minute"
    if seconds < 1.5 * _HOUR:
        minutes = round(seconds / _MINUTE)
        return f"in about {minutes} minute{'' if minutes == 1 else 's'}"
    return f"in about {round(seconds / _HOUR)} hours"


def wait_words(seconds: float) -> str:
    """A wait that is only estimated: `none`, `40s`, `2m 10s`, `26m`, `3h`."""
    if seconds <= 0:
        return "none"
    tens = max(10, round(seconds / 10) * 10)
    if tens < _MINUTE:
        return f"{tens}s"
    if tens < _COARSE:
        return f"{tens // _MINUTE}m {tens % _MINUTE:02d}s" if tens % _MINUTE else f"{tens // _MINUTE}m"
    if seconds < _HOUR:
        return f"{round(seconds / _MINUTE)}m"
    return f"{seconds / _HOUR:.1f}h".replace(".0h", "h")


def change_words(seconds: float) -> str:
    """So much longer, or shorter: `+45 s`, `-6 min`, `+2.5 h`, `no change`."""
    sign, many = "+" if seconds > 0 else "-", abs(seconds)
    if many < LEAST_CHANGE_SECONDS:
        return "no change"
    if many < _MINUTE:
        return f"{sign}{round(many)} s"
    if many < 2 * _HOUR:
        return f"{sign}{round(many / _MINUTE)} min"
    return f"{sign}{many / _HOUR:.1f} h"


def past_words(span: timedelta) -> str:
    """What is over: `45 s`, `12 min`, `3 h`, `2 days`: whole units, rounded down."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    return f"{seconds // _HOUR} h" if seconds < 2 * _DAY else f"{seconds // _DAY} days"


def _ends(found: Span) -> tuple[str, str, str] | None:
    """Both ends in the unit that fits the later one; None for what comes at once."""
    if found.high < _NOW:
        return None
    step, name, unit = next(
        ((step, name, unit) for most, step, name, unit in _UNITS if found.high < most), (_DAY / 2, "d", _DAY)
    )
    high = max(1, round(found.high / step)) * step / unit
    return f"{round(found.low / step) * step / unit:g}", f"{high:g}", name
