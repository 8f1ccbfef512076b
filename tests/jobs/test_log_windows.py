"""What the log viewer is told: windows of lines, search and outline, and who may ask."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from buildboard.core.auth import create_token
from buildboard.core.permissions import Role
from jobs.models import Attempt
from jobs.states import AttemptStatus
from tests.factories import make_attempt, make_job, make_user
from tests.jobs.log_writing import append_log, write_log
from tests.jobs.pages import client_of

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ask(attempt: Attempt, what: str, query: str = "") -> dict[str, Any]:
    response = client_of().get(reverse(f"jobs:log-{what}", args=[attempt.job_id]) + query)
    assert response.status_code == 200, response.content
    found: dict[str, Any] = response.json()
    return found


def test_lines_come_with_their_times_and_only_colours_left() -> None:
    attempt = make_attempt(started_at=START)
    append_log(attempt, b"one\n\x1b[31mtw", at=START + timedelta(milliseconds=1500))
    append_log(attempt, b"o\x1b[m\n10%\r20%\x1b[K\nopen", at=START + timedelta(seconds=2))

    answer = ask(attempt, "lines", "?from=0&n=10")

    assert answer == {
        "from": 0,
        "total": 3,
        "live": True,
        "start": 1767323045000,
        "lines": [[1500, "one"], [1500, "\x1b[0;31mtwo"], [2000, "20%"]],
        "rest": [2000, "open"],
    }


def test_the_last_line_of_a_finished_log_needs_no_end() -> None:
    attempt = write_log(make_attempt(status=AttemptStatus.FAILED), b"one\nlast")

    answer = ask(attempt, "lines")

    assert [text for _, text in answer["lines"]] == ["one", "last"]
    assert (answer["total"], answer["live"], answer["rest"]) == (2, False, None)
    assert [text for _, text in ask(attempt, "lines", "?n=1&from=1")["lines"]] == ["last"]
    assert ask(attempt, "lines", "?n=1&from=2")["lines"] == []


def test_search_finds_what_is_shown_whatever_its_colours() -> None:
    attempt = write_log(make_attempt(), b"a\n\x1b[1mIce\x1b[0m_probe\nnothing\nice_PROBE ice_probe\n")

    whole = {"truncated": False, "total": 4}
    assert ask(attempt, "search", "?q=ice_probe") == {"count": 2, "lines": [1, 3], **whole}
    assert ask(attempt, "search", "?q=ice_probe&from=2") == {"count": 1, "lines": [3], **whole}
    assert ask(attempt, "search", "?q=ice_probe&from=5") == {"count": 0, "lines": [], **whole}
    assert ask(attempt, "search", "?q=ice_probe&case=1") == {"count": 1, "lines": [3], **whole}
    assert ask(attempt, "search", "?q=") == {"count": 0, "lines": [], **whole}


def test_the_outline_names_groups_and_marks() -> None:
    attempt = write_log(
        make_attempt(status=AttemptStatus.FAILED),
        b"--- checkout: https://git.example/demo.git, branch main, commit HEAD\nCloning\n"
        b"--- build: make (Makefile)\n    make\na.c:1:2: warning: unused\na.c:5:1: error: no\n"
        b"make: *** [a.o] Error 1\n--- finished: exit code 2\n",
    )

    answer = ask(attempt, "outline")

    assert answer == {
        "groups": [
            {
                "a": 0,
                "b": 1,
                "title": "checkout: https://git.example/demo.git, branch main, commit HEAD",
                "ms": 0,
                "fold": True,
            },
            {"a": 2, "b": 6, "title": "build: make (Makefile)", "ms": 0, "state": "failed", "fold": False},
        ],
        "marks": [[4, "warning"], [5, "error"], [6, "error"], [7, "error"]],
        "totals": {"error": 3, "warning": 1},
        "whole": True,
    }


@pytest.mark.parametrize("what", ["lines", "search", "outline"])
def test_only_who_sees_the_job_is_told(what: str) -> None:
    attempt = write_log(make_attempt(), b"secret\n")
    address = reverse(f"jobs:log-{what}", args=[attempt.job_id])

    assert Client().get(address).status_code == 302
    unknown = client_of().get(reverse(f"jobs:log-{what}", args=[attempt.pk]))
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "There is no such build job.")
    wrong = client_of().get(address, {"attempt": 2})
    assert (wrong.status_code, wrong.json()["detail"]) == (404, "This build job has no such attempt.")
    assert client_of().get(address, {"attempt": "x"}).status_code == 400
    assert client_of().get(reverse(f"jobs:log-{what}", args=[make_job().pk])).status_code == 404


def test_a_line_that_is_too_long_is_cut_and_says_so() -> None:
    attempt = write_log(
        make_attempt(status=AttemptStatus.FAILED),
        b"x" * 20_000 + b"\n" + b"\x1b[3" + b"1" * 200_000 + b"m\n\x1b[32mafter" + b"y" * 300_000 + b"\nlast",
    )

    lines = ask(attempt, "lines")["lines"]

    assert [line[2:] for line in lines] == [[1], [1], [1], []]
    assert lines[0][1] == "x" * 16_384
    assert (lines[2][1][:15], len(lines[2][1])) == ("\x1b[0;32mafteryyy", 16_384 + 7)
    assert lines[3][1] == "\x1b[0;32mlast"


def test_no_more_lines_come_at_once_than_are_good() -> None:
    attempt = write_log(make_attempt(), b"x\n" * 5000)

    assert len(ask(attempt, "lines", "?n=5000")["lines"]) == 1000
    assert len(ask(attempt, "lines")["lines"]) == 500
    assert ask(attempt, "lines", "?from=999999999999999")["lines"] == []


@pytest.mark.parametrize("what", ["lines", "search", "outline"])
def test_only_what_can_change_no_more_is_kept_and_only_by_visitors(what: str, settings: Settings) -> None:
    settings.PUBLIC_READ = True
    live = write_log(make_attempt(), b"x\n")
    ended = write_log(make_attempt(status=AttemptStatus.COMPLETED), b"x\n")

    def kept(attempt: Attempt, client: Client) -> list[str]:
        response = client.get(reverse(f"jobs:log-{what}", args=[attempt.job_id]))
        assert {"Cookie", "Authorization"} <= set(response["Vary"].split(", "))
        return sorted(response["Cache-Control"].split(", "))

    assert kept(live, Client()) == ["no-store"]
    assert kept(ended, Client()) == ["immutable", "max-age=3600", "private"]
    assert kept(ended, client_of()) == ["no-store"]


@pytest.mark.parametrize("what", ["search", "outline"])
def test_what_is_not_all_there_is_to_say_is_not_kept(
    what: str, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.PUBLIC_READ = True
    monkeypatch.setattr("jobs.logs.search.MOST_SECONDS", -1.0)
    monkeypatch.setattr("jobs.logs.outline._BYTES_A_CALL", 1)
    attempt = write_log(make_attempt(status=AttemptStatus.COMPLETED), b"x\n" * 9)

    response = Client().get(reverse(f"jobs:log-{what}", args=[attempt.job_id]) + "?q=x")

    assert response["Cache-Control"] == "no-store"


def test_long_answers_are_compressed() -> None:
    attempt = write_log(make_attempt(), b"the same again\n" * 500)

    response = client_of().get(
        reverse("jobs:log-lines", args=[attempt.job_id]), headers={"Accept-Encoding": "gzip"}
    )

    assert response["Content-Encoding"] == "gzip"
    assert len(response.content) < 2000


@pytest.mark.parametrize("query", [{"q": "x" * 257}, {"q": "a\nb"}])
def test_what_cannot_be_searched_for_is_refused_with_a_sentence(query: dict[str, str]) -> None:
    attempt = write_log(make_attempt(), b"x\n")

    response = client_of().get(reverse("jobs:log-search", args=[attempt.job_id]), query)

    assert (response.status_code, response.json()["detail"]) == (
        400,
        "q must be one line of at most 256 characters.",
    )


def test_a_token_may_ask_too() -> None:
    attempt = write_log(make_attempt(), b"x\n")
    token = create_token(make_user(Role.VIEWER), name="test", scopes=["read"])[1]

    response = Client().get(
        reverse("jobs:log-lines", args=[attempt.job_id]), headers={"Authorization": f"Bearer {token}"}
    )

    assert response.json()["lines"][0][1] == "x"
