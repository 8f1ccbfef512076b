"""A log's lines in templates: text and spans with classes, all escaped. The twin of `static/js/ansi.js`.

What a line shows is `logs/lines.py`'s matter; here its colours become the theme's sixteen: contrast holds.
"""

import re
from collections.abc import Iterable, Iterator

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from jobs.logs.lines import show_lines
from jobs.logs.sgr import PLAIN, Sgr, apply_sgr

register = template.Library()

_SEQUENCE = re.compile(r"\x1b\[([0-9;:]*)m")
_STYLES = {1: "a-b", 2: "a-d", 3: "a-i", 4: "a-u", 7: "a-inv", 9: "a-s"}
_CUBE = (0, 95, 135, 175, 215, 255)
_CUT = " … (cut; the raw log has all of it)"


@register.simple_tag
def log_rows(lines: Iterable[str], first_number: int) -> SafeString:
    """Each line as a row with its number as link and anchor (`L120`)."""
    return format_html_join(
        "\n",
        '<div class="ll" id="L{0}"><a class="ln" tabindex="-1" href="#L{0}">{0}</a>'
        '<span class="lx">{1}{2}</span></div>',
        (
            (first_number + index, _spans(shown.text), _CUT if shown.cut else "")
            for index, shown in enumerate(show_lines(lines))
        ),
    )


def _spans(text: str) -> SafeString:
    return format_html_join("", "{}", ((_span(classes, part),) for classes, part in styled_parts(text)))


def _span(classes: str, part: str) -> SafeString:
    return format_html('<span class="{}">{}</span>', classes, part) if classes else format_html("{}", part)


def styled_parts(text: str) -> Iterator[tuple[str, str]]:
    """A line with SGR left in it, as (classes, text)."""
    state, start = PLAIN, 0
    for match in _SEQUENCE.finditer(text):
        if match.start() > start:
            yield _classes(state), text[start : match.start()]
        state, start = apply_sgr(state, match[1]), match.end()
    if start < len(text):
        yield _classes(state), text[start:]


def _classes(state: Sgr) -> str:
    if state == PLAIN:
        return ""
    both = (("f", state.foreground), ("g", state.background))
    colours = [f"{letter}{_snap(code)}" for letter, code in both if code]
    return " ".join([*colours, *(_STYLES[code] for code in sorted(state.attributes))])


def _snap(code: str) -> int:
    """The theme's colour, 0 to 15, for SGR parameters of one colour."""
    first, *rest = (int(part) for part in code.split(";"))
    if first in (38, 48):
        return _snap_index(rest[1]) if rest[0] == 5 else _snap_rgb(*rest[1:4])
    return first % 10 + (8 if first >= 90 else 0)


def _snap_index(index: int) -> int:
    if index < 16:
        return index
    if index >= 232:
        grey = (index - 232) * 10 + 8
        return _snap_rgb(grey, grey, grey)
    cube = index - 16
    return _snap_rgb(_CUBE[cube // 36], _CUBE[cube // 6 % 6], _CUBE[cube % 6])


def _snap_rgb(red: int, green: int, blue: int) -> int:
    highest, lowest = max(red, green, blue), min(red, green, blue)
    if highest - lowest < 40:
        return next((colour for bound, colour in ((64, 0), (150, 8), (220, 7)) if highest < bound), 15)
    middle = (highest + lowest) / 2
    hue = (red > middle) + 2 * (green > middle) + 4 * (blue > middle)
    return hue + 8 if highest > 200 else hue
