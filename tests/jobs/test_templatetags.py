"""How states, times, sizes and log lines look."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from jobs.states import BADGES, AttemptStatus, JobStatus
from jobs.templatetags import board
from jobs.templatetags.log_text import log_rows, styled_parts
from servers.states import ServerStatus

NOW = datetime(2026, 1, 16, 6, 14, 27, tzinfo=UTC)


@pytest.mark.parametrize("status", sorted({*JobStatus.values, *AttemptStatus.values, *ServerStatus.values}))
def test_every_state_has_a_badge_with_colour_icon_and_word(status: str) -> None:
    look = BADGES[status]

    html = str(board.badge(status))

    spin = " spin" if look.turns else ""
    assert html == (
        f'<span class="badge badge-sm badge-soft {look.colour}">'
        f'<svg class="i i-xs{spin}" aria-hidden="true"><use href="#i-{look.icon}"/></svg>'
        f"{status.capitalize()}</span>"
    )


@pytest.mark.parametrize(
    ("status", "word"), [("", "Unknown"), ("<b>", "&lt;b&gt;"), ("half_done", "Half done")]
)
def test_a_state_that_nobody_knows_says_so(status: str, word: str) -> None:
    html = str(board.badge(status))

    assert html.startswith('<span class="badge badge-sm badge-soft badge-neutral badge-ghostline">')
    assert html.endswith(f'<use href="#i-circle-question-mark"/></svg>{word}</span>')


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (-3, "0.0s"),
        (0.94, "0.9s"),
        (9.9, "9.9s"),
        (10, "10s"),
        (41, "41s"),
        (552, "9m 12s"),
        (3840, "1h 04m"),
        (90061, "25h 01m"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert board.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "—"), (50, "50s"), (2700, "45m"), (3600, "1h"), (3661, "1h 1m 1s"), (0, "0s")],
)
def test_limits(seconds: int | None, text: str) -> None:
    assert board.limit(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "—"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (61_551_411, "58.7 MiB"),
        (1 << 60, "1048576.0 TiB"),
    ],
)
def test_sizes(count: int | None, text: str) -> None:
    assert board.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (172_800, "2d")]
)
def test_ages_carry_the_exact_time(seconds: int, text: str) -> None:
    with time_machine.travel(NOW + timedelta(seconds=seconds), tick=False):
        html = str(board.age(NOW))

    assert html == (
        f'<time datetime="2026-01-16T06:14:27Z" title="2026-01-16 06:14:27 UTC" data-rel>{text}</time>'
    )


def test_times_that_are_not_there_are_dashes() -> None:
    assert (board.age(None), board.since(None), board.moment(None)) == ("—", "—", "—")


def test_exact_times_say_their_zone() -> None:
    assert str(board.moment(NOW)) == '<time datetime="2026-01-16T06:14:27Z">2026-01-16 06:14:27 UTC</time>'


def test_a_running_duration_is_ticked_on() -> None:
    with time_machine.travel(NOW + timedelta(seconds=100), tick=False):
        assert str(board.since(NOW)) == '<time datetime="2026-01-16T06:14:27Z" data-since>1m 40s</time>'


@pytest.mark.parametrize(
    ("commit", "text"), [("HEAD", "HEAD"), ("deadbeef", "deadbeef"), ("deadbeef" * 5, "deadbee"), ("", "")]
)
def test_commits_are_cut_when_they_are_whole(commit: str, text: str) -> None:
    assert board.short_commit(commit) == text


@pytest.mark.parametrize(
    ("url", "text", "link"),
    [
        ("https://git.example/a/b.git", "git.example/a/b", "https://git.example/a/b.git"),
        ("http://git.example/a", "git.example/a", "http://git.example/a"),
        ("git@git.example:a/b.git", "git@git.example:a/b", ""),
        ("javascript:alert(1)", "javascript:alert(1)", ""),
        ("/srv/git/a", "/srv/git/a", ""),
    ],
)
def test_only_web_addresses_are_links(url: str, text: str, link: str) -> None:
    assert (board.bare_url(url), board.web_link(url)) == (text, link)


def test_the_first_line_that_says_something() -> None:
    assert board.first_line("\n  \n boom \nmore") == "boom"
    assert board.first_line("") == ""


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", [("", "plain")]),
        ("\x1b[0;31mred\x1b[0m off", [("f1", "red"), ("", " off")]),
        ("\x1b[0;1;4;92mx", [("f10 a-b a-u", "x")]),
        ("\x1b[0;44mx\x1b[0;105my", [("g4", "x"), ("g13", "y")]),
        ("\x1b[0;38;5;208mx", [("f11", "x")]),
        ("\x1b[0;38;5;9mx", [("f9", "x")]),
        ("\x1b[0;38;5;240mx", [("f8", "x")]),
        ("\x1b[0;48;2;0;0;255mx", [("g12", "x")]),
        ("\x1b[0;38;2;255;255;255mx", [("f15", "x")]),
        ("", []),
    ],
)
def test_colours_become_the_themes_sixteen(text: str, parts: list[tuple[str, str]]) -> None:
    assert list(styled_parts(text)) == parts


def test_rows_are_numbered_escaped_and_cut() -> None:
    html = str(log_rows(["a<b", "x" * 20_000], 120))

    first, second = html.split("\n")
    assert first == (
        '<div class="ll" id="L120"><a class="ln" tabindex="-1" href="#L120">120</a>'
        '<span class="lx">a&lt;b</span></div>'
    )
    assert second.endswith("x … (cut; the raw log has all of it)</span></div>")
    assert len(second) < 16_600


def test_text_from_outside_hides_nothing_and_turns_no_direction() -> None:
    assert board.visible("a\x00b\u202egpj.exe\x1b[31m\ttab\nline\x85") == (
        "a\\x00b\\u202egpj.exe\\x1b[31m\ttab\nline\\x85"
    )
