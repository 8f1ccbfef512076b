"""How states, times, sizes and icons look in every template. The badge tag is the only maker of badges.

It decides nothing: colours and icons of states are in `jobs/states.py`, the icons' shapes in `_sprite.html`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.forms.boundfield import BoundField, BoundWidget
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from buildboard.core.unseen import write_out
from jobs.models import Attempt, BuildJob
from jobs.queue.predictions import Moments
from jobs.queue.spans import Span, span_words
from jobs.states import BADGES, Badge
from jobs.views.selection import Selection
from jobs.views.sizes import mebibyte_words, size_words

register = template.Library()

_UNKNOWN = Badge("badge-neutral badge-ghostline", "circle-question-mark")
_FIELD_CLASSES = {
    "checkbox": "checkbox checkbox-xs",
    "select": "select select-sm w-full",
    "textarea": "textarea w-full mono text-xs leading-5",
}
_FEW, _MINUTE, _HOUR, _DAY = 10, 60, 3600, 86400
_ICON_CLASSES = {"": "i", "s": "i i-s", "xs": "i i-xs"}
_FULL_COMMIT_DIGITS = 12


@register.simple_tag
def icon(name: str, *, size: str = "s", extra: str = "") -> SafeString:
    """A decorative icon of the sprite; `size` is "xs", "s" or "" and `extra` more classes."""
    classes = f"{_ICON_CLASSES[size]} {extra}".strip()
    return format_html('<svg class="{}" aria-hidden="true"><use href="#i-{}"/></svg>', classes, name)


@register.simple_tag
def badge(status: str) -> SafeString:
    """The badge of a state: colour, icon and word. A state that nobody knows says so."""
    text = str(status)
    look = BADGES.get(text, _UNKNOWN)
    return format_html(
        '<span class="badge badge-sm badge-soft {}">{}{}</span>',
        look.colour,
        icon(look.icon, size="xs", extra="spin" if look.turns else ""),
        text.replace("_", " ").capitalize() or "Unknown",
    )


@register.simple_tag
def field_input(field: BoundField) -> SafeString:
    """A form's field as the design draws its kind."""
    widget = field.field.widget
    look = _FIELD_CLASSES.get(field.widget_type, "input input-sm w-full")
    return field.as_widget(attrs={"class": f"{look} {widget.attrs.get('class', '')}".strip()})


@register.filter
def options(field: BoundField) -> list[BoundWidget]:
    """The boxes of a multiple choice, as the design draws them."""
    field.field.widget.attrs["class"] = _FIELD_CLASSES["checkbox"]
    return list(field.subwidgets)


@register.filter
def at(found: Mapping[Any, str], key: object) -> str:
    """What a mapping has for the key; nothing when it has none."""
    return found.get(key, "")


@register.filter
def duration(seconds: float | None) -> str:
    """Seconds as `41s`, `9m 12s` or `2h 04m`, a few as `1.4s`; a dash for none."""
    if seconds is None:
        return "—"
    if seconds < _FEW:
        return f"{max(0.0, seconds):.1f}s"
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02d}s"
    return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02d}m"


@register.filter
def limit(seconds: int | None) -> str:
    """A limit that a person set, without zeros at its end: `45m`, `1h`, `50s`; a dash for none."""
    if seconds is None:
        return "—"
    parts = ((seconds // _HOUR, "h"), (seconds % _HOUR // _MINUTE, "m"), (seconds % _MINUTE, "s"))
    return " ".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


@register.filter
def size(count: int | None) -> str:
    """Bytes as `58.7 MiB`; a dash for none."""
    return "—" if count is None else size_words(count)


@register.filter
def mebibytes(count: int | None) -> str:
    """So many MiB as `15.6 GiB`."""
    return "—" if count is None else mebibyte_words(count)


@register.filter
def at_most(count: int, limit: int) -> str:
    """A count that was not carried on above the limit: `1,000+`."""
    return f"{limit:,}+" if count > limit else f"{count:,}"


@register.filter
def span(found: Span | None) -> str:
    """A range of seconds as `4–9 min`; a dash when nobody can tell."""
    return "—" if found is None else span_words(found)


@register.simple_tag
def between(found: Moments) -> SafeString | str:
    """A range of times as `12:04–12:09 UTC`, with the likeliest at hand; on other days with their dates."""
    form = "%H:%M" if found.high - timezone.now() < timedelta(hours=12) else "%Y-%m-%d %H:%M"
    low, high = (one.astimezone(UTC).strftime(form) for one in (found.low, found.high))
    ends = low if low == high else f"{low}–{high}"
    likely = _iso(found.likely)
    return format_html(
        '<time datetime="{}" title="likely {}">{} UTC</time>', likely, exact_time(found.likely), ends
    )


@register.filter
def waited(job: BuildJob) -> str:
    """How long a job was queued before its last start."""
    return duration((job.started_at - job.created_at).total_seconds() if job.started_at else None)


@register.simple_tag
def raw_log(job: BuildJob, attempt: Attempt) -> str:
    """Where the exact bytes of an attempt's log are (a path of the public API)."""
    return f"/api/v1/infrastructure/build-jobs/{job.pk}/logs/raw?attempt={attempt.number}"


@register.simple_tag
def page_query(selection: Selection, **changes: str) -> str:
    """The query of an address with the same filters and some changes."""
    return selection.query(**changes)


@register.simple_tag
def age(at: datetime | None) -> SafeString | str:
    """How long ago, ticked in the browser in the same words; the exact time is its title."""
    if at is None:
        return "—"
    return format_html(
        '<time datetime="{}" title="{}" data-rel>{}</time>',
        _iso(at),
        exact_time(at),
        _age_text(_seconds_since(at)),
    )


@register.simple_tag
def since(at: datetime | None) -> SafeString | str:
    """A duration that runs on from `at`, ticked in the browser."""
    if at is None:
        return "—"
    return format_html('<time datetime="{}" data-since>{}</time>', _iso(at), duration(_seconds_since(at)))


@register.simple_tag
def moment(at: datetime | None) -> SafeString | str:
    """An exact time in UTC, the zone said."""
    if at is None:
        return "—"
    return format_html('<time datetime="{}">{}</time>', _iso(at), exact_time(at))


@register.filter
def exact_time(at: datetime) -> str:
    """`2026-01-16 06:14:27 UTC`."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@register.filter
def clock_time(at: datetime) -> str:
    """`06:14:27`, for timelines whose zone is said once."""
    return at.astimezone(UTC).strftime("%H:%M:%S")


@register.filter
def short_commit(commit: str) -> str:
    """Seven digits of a whole commit id; a name such as HEAD as it is."""
    return commit[:7] if len(commit) >= _FULL_COMMIT_DIGITS else commit


@register.filter
def bare_url(url: str) -> str:
    """A repository's address without its scheme, for reading."""
    return url.split("://", 1)[-1].removesuffix(".git")


@register.filter
def web_link(url: str) -> str:
    """The address when a browser may follow it (http or https), else nothing."""
    return url if url.startswith(("https://", "http://")) else ""


@register.filter(is_safe=True)
def visible(text: object) -> str:
    """Text from outside with its control and direction-changing characters written out, as logs show them."""
    return write_out(str(text))


@register.filter
def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds_since(at: datetime) -> int:
    return max(0, int((datetime.now(UTC) - at).total_seconds()))


def _age_text(seconds: int) -> str:
    if seconds < _MINUTE:
        return f"{seconds}s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < _DAY:
        return f"{seconds // _HOUR}h"
    return f"{seconds // _DAY}d"
