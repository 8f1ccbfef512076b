"""Search in one log: as people see it, over all of it, within bounds."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.logs import search as module
from jobs.logs.lines import MAX_COLUMNS
from jobs.logs.plain import plain_line
from jobs.logs.search import Found, search
from jobs.models import Attempt
from tests.factories import make_attempt
from tests.jobs.log_writing import append_log, write_log

pytestmark = pytest.mark.django_db


def logged(*parts: bytes) -> Attempt:
    attempt = make_attempt()
    append_log(attempt, *parts)
    attempt.refresh_from_db()
    return attempt


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("error", [0, 1, 3]),
        ("ERROR:", [0, 3]),
        ("straße", [2]),
        ("STRAßE", [2]),
        ("‘x’", [3]),
        ("\\x07", [4]),
        ("50%", []),
        ("100%", [5]),
        (" [", [6]),
        (".*", [6]),
        ("nothing", []),
        ("last", [7]),
        ("\ufffd", [8]),
    ],
)
def test_what_is_shown_is_found(text: str, lines: list[int]) -> None:
    attempt = logged(
        b"a.c:1: Error: no\n",
        b"\x1b[31mer\x1b[1mror\x1b[0m\n",
        "Straße\n".encode(),
        "error: ‘\x1b[1mx\x1b[0m’\n".encode(),
        b"be\x07ll\n",
        b" 50%\r100%\n",
        b"regex .* [\n",
        b"la",
        b"st\n\xff",
    )

    assert search(attempt, text=text) == Found(len(lines), lines, whole=True, total=8)


def test_case_is_matched_when_it_is_asked_for() -> None:
    attempt = logged("Ärger ärger\närger Error\nerror\n".encode())

    assert search(attempt, text="Ärger", match_case=True).lines == [0]
    assert search(attempt, text="error", match_case=True).lines == [2]
    assert search(attempt, text="ÄRGER").lines == [0, 1]


def test_no_more_lines_are_named_than_a_viewer_can_use_and_all_are_counted() -> None:
    attempt = logged(b"hit hit\nmiss\n" * 12_000, b"hit")

    found = search(attempt, text="hit")

    assert (found.count, len(found.lines), found.lines[-1]) == (12_001, 10_000, 19_998)
    assert (found.whole, found.truncated) == (True, True)


def test_what_is_beyond_the_columns_that_are_shown_is_not_found() -> None:
    attempt = logged(
        b"x" * (MAX_COLUMNS - 3) + b"end\n",
        b"x" * (MAX_COLUMNS - 2) + b"end\n",
        "é".encode() * (MAX_COLUMNS - 3) + b"end\n",
        b"y" * 200_000 + b"end\n",
        b"end",
    )

    assert search(attempt, text="end").lines == [0, 2, 4]


def test_a_search_that_takes_too_long_says_that_there_may_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = logged(*([b"hit\n" * 16_000] * 9))
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1)

    found = search(attempt, text="hit", seconds=0)

    assert (found.count, found.whole, found.truncated) == (16_000, False, True)


LINES = st.lists(
    st.lists(st.sampled_from(["a", "b", "\x1b[1m", "\x1b[K", "\r", "\x1b", "é", "aB"]), max_size=8).map(
        "".join
    ),
    max_size=12,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, text=st.sampled_from(["a", "ab", "ba", "é", "aé", "x1b"]), first=st.integers(0, 12))
def test_search_agrees_with_looking_at_each_line(lines: list[str], text: str, first: int) -> None:
    attempt = write_log(make_attempt(), "\n".join(lines).encode()) if any(lines) else make_attempt()
    shown = [plain_line(line.encode()).lower() for line in lines] if any(lines) else []
    wanted = [number for number, line in enumerate(shown) if text in line]

    assert search(attempt, text=text).lines == wanted
    assert search(attempt, text=text, first_line=first).lines == [one for one in wanted if one >= first]
