"""The tail of a log beside its job, and the paged log."""

from typing import Any

import pytest

from jobs.states import AttemptStatus
from jobs.views.log import LINES_A_PAGE, read_tail
from tests.factories import make_attempt, make_job
from tests.jobs.log_writing import write_log
from tests.jobs.pages import Page, client_of

pytestmark = pytest.mark.django_db


def numbered(first: int, last: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(first, last + 1))


@pytest.mark.parametrize(
    ("data", "lines", "first", "next_line", "offset"),
    [
        (b"", [], 1, 1, 0),
        (b"one\n", ["one"], 1, 2, 4),
        (b"one\ntwo", ["one", "two"], 1, 2, 4),
        (b"one", ["one"], 1, 1, 0),
        (b"\n\n", ["", ""], 1, 3, 2),
        (b"\xff\n", ["�"], 1, 2, 2),
    ],
)
def test_the_tail_says_where_a_live_reader_goes_on(
    data: bytes, lines: list[str], first: int, next_line: int, offset: int
) -> None:
    attempt = write_log(make_attempt(), data) if data else make_attempt()

    tail = read_tail(attempt)

    assert (tail.lines, tail.first_line, tail.next_line, tail.next_offset) == (
        lines,
        first,
        next_line,
        offset,
    )


def test_the_tail_of_a_long_log_is_its_last_lines() -> None:
    data = numbered(1, 30_000)

    tail = read_tail(write_log(make_attempt(), data + b"open"))

    assert tail.lines == [*(f"line {number}" for number in range(29_501, 30_001)), "open"]
    assert (tail.first_line, tail.last_line, tail.next_line) == (29_501, 30_001, 30_001)
    assert tail.next_offset == len(data)


def test_the_tail_of_one_endless_line_is_its_end() -> None:
    tail = read_tail(write_log(make_attempt(), b"x\n" + b"y" * 300_000))

    assert (tail.lines, tail.first_line) == (["y" * (96 << 10)], 2)


def test_a_page_of_the_log_has_its_lines_with_anchors_and_leads_on() -> None:
    attempt = write_log(make_attempt(status=AttemptStatus.COMPLETED), numbered(1, 12_001))
    client = client_of()

    def look(query: str) -> tuple[list[str], list[str]]:
        page = Page(client.get(f"/jobs/{attempt.job_id}/log/{query}").content.decode())
        rows = [row["id"] for row in page.find("div", **{"class": "ll"})]
        links = [link["href"] for link in page.find("a") if "from=" in link.get("href", "")]
        return [rows[0], rows[-1]], links[: len(links) // 2]

    assert look("") == (["L1", "L5000"], ["?attempt=1&from=5001", "?attempt=1&from=10001"])
    assert look("?from=5001") == (
        ["L5001", "L10000"],
        ["?attempt=1&from=1", "?attempt=1&from=10001", "?attempt=1&from=10001"],
    )
    assert look("?line=12000") == (["L10001", "L12001"], ["?attempt=1&from=5001"])


def test_a_line_beyond_the_bytes_of_its_page_is_still_shown() -> None:
    attempt = write_log(make_attempt(), (b"z" * 999 + b"\n") * 4_000)

    shown = Page(client_of().get(f"/jobs/{attempt.job_id}/log/?line=3900").content.decode())

    assert shown.find("div", **{"class": "ll"})[0]["id"] == "L3900"


@pytest.mark.parametrize(
    "query", ["?line=-1", "?line=x", "?from=999999999999999", "?from=", "?line=99999999999999999999"]
)
def test_odd_numbers_are_answered(query: str) -> None:
    attempt = write_log(make_attempt(), b"one\n")

    assert client_of().get(f"/jobs/{attempt.job_id}/log/{query}").status_code == 200


def test_attempts_are_chosen_by_the_address() -> None:
    job = make_job("running")
    write_log(make_attempt(job, AttemptStatus.LOST), b"one line of the first\n")
    write_log(make_attempt(job), b"one line of the second\n")
    client = client_of()

    def texts(query: str) -> Any:
        return [
            b"one line of the first" in client.get(f"/jobs/{job.pk}/log/{query}").content,
            b"one line of the second" in client.get(f"/jobs/{job.pk}/log/{query}").content,
        ]

    assert texts("") == [False, True]
    assert texts("?attempt=1") == [True, False]
    assert client.get(f"/jobs/{job.pk}/log/?attempt=3").status_code == 404
    assert client.get(f"/jobs/{job.pk}/log/?attempt=x").status_code == 404


def test_only_the_latest_attempts_are_listed_and_earlier_ones_can_still_be_named() -> None:
    job = make_job()
    for _ in range(52):
        make_attempt(job, AttemptStatus.RELEASED)
    client = client_of()

    page = Page(client.get(f"/jobs/{job.pk}/log/").content.decode())

    listed = [one["href"] for one in page.find("a") if one.get("href", "").startswith("?attempt=")]
    assert listed == [f"?attempt={number}" for number in range(3, 53)]
    assert client.get(f"/jobs/{job.pk}/log/?attempt=1").status_code == 200
    assert client.get(f"/jobs/{job.pk}/?attempt=2").status_code == 200


def test_a_job_without_an_attempt_says_that_it_has_no_log() -> None:
    page = Page(client_of().get(f"/jobs/{make_job().pk}/log/").content.decode())

    assert "No log yet" in page.text


def test_what_a_build_wrote_is_text_with_the_colours_of_the_theme() -> None:
    attempt = write_log(
        make_attempt(),
        b"<script>alert(1)</script>\n\x1b[1;31mred\x1b[0m & plain\n"
        b" 10%\r100%\r\n\x1b[38;2;255;0;0mx\x1b[m\xe2\x80\xae\n",
    )

    html = client_of().get(f"/jobs/{attempt.job_id}/log/").content.decode()

    assert Page(html).broken == []
    for row in (
        '<span class="lx">&lt;script&gt;alert(1)&lt;/script&gt;</span>',
        '<span class="lx"><span class="f1 a-b">red</span> &amp; plain</span>',
        '<span class="lx">100%</span>',
        '<span class="lx"><span class="f9">x</span>\\u202e</span>',
    ):
        assert row in html
    assert LINES_A_PAGE == 5000
