"""Logs over the API: windows of lines, the exact bytes and ranges of them, and bounded memory."""

import asyncio
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.db import connections
from pytest_django import DjangoAssertNumQueries

from buildboard.core.audit import Actor
from buildboard.core.permissions import Role
from jobs.lifecycle import change_priority
from jobs.models import Attempt
from jobs.states import Priority
from tests.api import BUILD_JOBS, ApiClient, assert_error
from tests.factories import make_attempt, make_job
from tests.jobs.log_writing import append_log

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> ApiClient:
    return ApiClient(Role.VIEWER)


def _finish(attempt: Attempt) -> None:
    Attempt.objects.filter(pk=attempt.pk).update(status="completed")


def _logs(attempt: Attempt) -> str:
    return f"{BUILD_JOBS}/{attempt.job_id}/logs"


# ---- lines ----------------------------------------------------------------------------------------------
def test_lines_of_a_finished_attempt(api: ApiClient) -> None:
    attempt = make_attempt()
    append_log(attempt, b"one\ntwo\nthr\xffee\nfour without end")
    _finish(attempt)

    assert api.get(_logs(attempt)).json() == {
        "job_id": str(attempt.job_id),
        "logs": ["one", "two", "thr\ufffdee", "four without end"],
        "streaming": False,
        "next_offset": 4,
        "total_lines": 4,
    }


def test_reader_of_a_growing_log_gets_each_line_once_and_whole(api: ApiClient) -> None:
    attempt = make_attempt()
    lines: list[str] = []
    offset = 0

    for part in (b"one\ntw", b"o\nthree", b"", b"\nfour\nfi", b"ve"):
        append_log(attempt, part)
        answer = api.get(f"{_logs(attempt)}?offset={offset}").json()
        assert answer["streaming"] is True
        assert answer["next_offset"] == offset + len(answer["logs"])
        lines += answer["logs"]
        offset = answer["next_offset"]
    _finish(attempt)
    answer = api.get(f"{_logs(attempt)}?offset={offset}").json()

    assert lines + answer["logs"] == ["one", "two", "three", "four", "five"]
    assert (answer["streaming"], answer["total_lines"]) == (False, 5)


def test_window_is_limited_in_lines_and_bytes(api: ApiClient) -> None:
    attempt = make_attempt()
    append_log(attempt, b"".join(b"%d %s\n" % (number, b"x" * 1000) for number in range(1500)))
    _finish(attempt)

    some = api.get(f"{_logs(attempt)}?offset=10&limit=3").json()
    many = api.get(f"{_logs(attempt)}?limit=5000").json()

    assert [line.split()[0] for line in some["logs"]] == ["10", "11", "12"]
    assert (some["next_offset"], some["total_lines"]) == (13, 1500)
    assert 1000 <= len(many["logs"]) < 1500
    assert sum(len(line) + 1 for line in many["logs"]) <= 1 << 20


def test_offset_past_the_end_is_empty(api: ApiClient) -> None:
    attempt = make_attempt()
    append_log(attempt, b"one\n")

    answer = api.get(f"{_logs(attempt)}?offset=2000000000").json()

    assert (answer["logs"], answer["next_offset"], answer["total_lines"]) == ([], 2_000_000_000, 1)


def test_attempt_is_chosen_and_the_latest_is_the_default(api: ApiClient) -> None:
    job = make_job("running")
    first, second = make_attempt(job), None
    append_log(first, b"first\n")
    Attempt.objects.filter(pk=first.pk).update(status="lost")
    second = make_attempt(job)
    append_log(second, b"second\n")

    assert api.get(_logs(first)).json()["logs"] == ["second"]
    assert api.get(f"{_logs(first)}?attempt=1").json()["logs"] == ["first"]
    assert_error(api.get(f"{_logs(first)}?attempt=3"), 404)


def test_job_without_an_attempt_answers_its_events(api: ApiClient) -> None:
    job = make_job()
    change_priority(job, priority=Priority.HIGH, actor=Actor(name="ann", door="api"), reason="a\nb")

    answer = api.get(f"{BUILD_JOBS}/{job.pk}/logs").json()

    assert [line.partition("] ")[2] for line in answer["logs"]] == ["Priority changed by user: a b"]
    assert (answer["total_lines"], answer["next_offset"], answer["streaming"]) == (1, 1, False)
    assert api.get(f"{BUILD_JOBS}/{job.pk}/logs?offset=1").json()["logs"] == []


@pytest.mark.parametrize(
    "query",
    [
        *("offset=-1", "offset=x", "offset=" + "9" * 30, "offset=1.5", "limit=0", "limit=5001", "limit=-1"),
        *("attempt=0", "attempt=-1", "attempt=x", "attempt=" + "9" * 30),
    ],
)
def test_parameter_that_does_not_fit_is_named(api: ApiClient, query: str) -> None:
    assert_error(api.get(f"{_logs(make_attempt())}?{query}"), 422, fields=[query.partition("=")[0]])


# ---- bytes ----------------------------------------------------------------------------------------------
DATA = bytes(range(256)) * 1000


@pytest.fixture
def attempt() -> Attempt:
    attempt = make_attempt()
    append_log(attempt, DATA)
    return attempt


def _content(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_raw_log_is_exact_and_harmless(api: ApiClient, attempt: Attempt) -> None:
    response = api.get(f"{_logs(attempt)}/raw")

    assert (response.status_code, _content(response)) == (200, DATA)
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Content-Length"] == "256000"
    assert response["Accept-Ranges"] == "bytes"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 256_000),
        ("bytes=100-199", 100, 200),
        ("bytes=65530-65550", 65_530, 65_551),
        ("bytes=255999-", 255_999, 256_000),
        ("bytes=255999-999999", 255_999, 256_000),
        ("bytes=-1", 255_999, 256_000),
        ("bytes=-300000", 0, 256_000),
    ],
)
def test_range_is_exact(api: ApiClient, attempt: Attempt, wanted: str, start: int, end: int) -> None:
    response = api.get(f"{_logs(attempt)}/raw", headers={"Range": wanted})

    assert (response.status_code, _content(response)) == (206, DATA[start:end])
    assert response["Content-Range"] == f"bytes {start}-{end - 1}/256000"
    assert response["Content-Length"] == str(end - start)


@pytest.mark.parametrize("wanted", ["bytes=256000-", "bytes=999999999999-", "bytes=-0"])
def test_range_past_the_end_is_not_satisfiable(api: ApiClient, attempt: Attempt, wanted: str) -> None:
    response = api.get(f"{_logs(attempt)}/raw", headers={"Range": wanted})

    assert_error(response, 416, code="range_not_satisfiable")
    assert response["Content-Range"] == "bytes */256000"


@pytest.mark.parametrize(
    "wanted", ["", "bytes", "bytes=", "bytes=-", "bytes=5-1", "lines=1-2", "bytes=0-1,5-6", "x" * 999]
)
def test_range_that_is_none_gets_the_whole(api: ApiClient, attempt: Attempt, wanted: str) -> None:
    response = api.get(f"{_logs(attempt)}/raw", headers={"Range": wanted})

    assert (response.status_code, _content(response)) == (200, DATA)


def test_head_tells_the_size(api: ApiClient, attempt: Attempt) -> None:
    response = api.call("HEAD", f"{_logs(attempt)}/raw")

    assert (response.status_code, response["Content-Length"], _content(response)) == (200, "256000", b"")


@pytest.mark.parametrize("job_has_attempt", [True, False])
def test_empty_log_is_empty(api: ApiClient, job_has_attempt: bool) -> None:
    job = make_attempt().job if job_has_attempt else make_job()

    response = api.get(f"{BUILD_JOBS}/{job.pk}/logs/raw")

    assert (response.status_code, response["Content-Length"], _content(response)) == (200, "0", b"")


def test_window_costs_the_same_in_long_logs(
    api: ApiClient, attempt: Attempt, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    append_log(attempt, b"line\n" * 200_000)
    _finish(attempt)
    api.get(_logs(attempt))

    with django_assert_num_queries(9):
        api.get(f"{_logs(attempt)}?offset=150000&limit=10")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_raw_log_is_streamed_part_by_part_under_asgi(monkeypatch: pytest.MonkeyPatch) -> None:
    # The request has a thread of its own, which must not leave its connection open.
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    api, attempt = ApiClient(Role.VIEWER), make_attempt()
    for _ in range(32):
        append_log(attempt, b"x" * (1 << 20))
    token, path = api.token, f"{_logs(attempt)}/raw"

    async def read() -> tuple[int, int]:
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"testserver"), (b"authorization", f"Bearer {token}".encode())],
        }
        make: Any = ApplicationCommunicator  # it has no types
        talk = make(get_asgi_application(), scope)
        await talk.send_input({"type": "http.request", "body": b""})
        assert (await talk.receive_output(30))["status"] == 200
        total, most, more = 0, 0, True
        while more:
            message = await talk.receive_output(30)
            body, more = message.get("body", b""), message.get("more_body", False)
            total, most = total + len(body), max(most, len(body))
        await talk.wait(30)
        return total, most

    assert asyncio.run(read()) == (32 << 20, 64 * 1024)
