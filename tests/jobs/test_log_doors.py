"""Every door to a log answers the same of a sealed one as it did while it was in rows."""

import re
from typing import Any

import pytest

from buildboard.core.auth import create_token
from buildboard.core.permissions import Role
from jobs.logs.seal import seal_log
from jobs.models import Attempt
from jobs.states import AttemptStatus
from tests.factories import make_user
from tests.jobs.log_forms import ended_with, is_sealed
from tests.jobs.log_sockets import Open, run
from tests.jobs.pages import client_of

pytestmark = pytest.mark.django_db(transaction=True)
LOG = [
    b"--- build: make\n",
    b"a \x1b[31mred\n",
    b"x.c:1:1: error: no\n" * 20_000,
    b"progress 1%\rprogress 2%\n",
    b"\xffopen",
]
SIZE = sum(map(len, LOG))
_FORM_TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"')
RAW = "/api/v1/infrastructure/build-jobs/{}/logs/raw"


@pytest.fixture
def attempt(no_object_left: None, no_tail_left: None) -> Attempt:
    return ended_with(LOG, status=AttemptStatus.FAILED)


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else bytes(response.content)


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("/api/v1/infrastructure/build-jobs/{}/logs?offset=1&limit=3", ""),
        ("/api/v1/infrastructure/build-jobs/{}/logs?offset=20001", ""),
        (RAW, ""),
        (RAW, "bytes=10-300000"),
        (RAW, "bytes=-7"),
        (RAW, "bytes=999999999-"),
        ("/jobs/{}/log/?line=15000", ""),
        ("/jobs/{}/log/lines?from=19999&n=9", ""),
        ("/jobs/{}/log/search?q=progress", ""),
        ("/jobs/{}/log/search?q=error", ""),
        ("/jobs/{}/log/outline", ""),
    ],
)
def test_http_answers_the_same_from_either_form(attempt: Attempt, address: str, wanted: str) -> None:
    client = client_of()
    headers = {"Range": wanted} if wanted else {}

    def ask() -> tuple[int, bytes]:
        response = client.get(address.format(attempt.job_id), headers=headers)
        return response.status_code, _FORM_TOKEN.sub(b"", body_of(response))

    before = ask()
    assert seal_log(attempt.pk)

    assert ask() == before
    assert before[0] == (206 if wanted else 200) or wanted == "bytes=999999999-"
    assert is_sealed(attempt)


def test_the_raw_log_is_exact(attempt: Attempt) -> None:
    assert seal_log(attempt.pk)

    whole = client_of().get(RAW.format(attempt.job_id))
    part = client_of().get(RAW.format(attempt.job_id), headers={"Range": "bytes=16-27"})

    assert body_of(whole) == b"".join(LOG)
    assert (body_of(part), part["Content-Range"]) == (b"a \x1b[31mred\nx", f"bytes 16-27/{SIZE}")


@pytest.mark.parametrize("offset", [0, 18, 300_000, SIZE - 2, SIZE])
def test_a_socket_sends_the_same_from_either_form(attempt: Attempt, offset: int) -> None:
    token = create_token(make_user(Role.VIEWER), name="test", scopes=["read"])[1]
    received: list[tuple[list[dict[str, Any]], int]] = []

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(f"/ws/jobs/{attempt.job_id}/log?offset={offset}", token)
        received.append((await reader.rest(), reader.close_code))

    run(scenario)
    assert seal_log(attempt.pk)
    run(scenario)

    assert joined(received[0][0]) == joined(received[1][0])
    assert received[0][1] == received[1][1] == 1000
    text, ends = joined(received[1][0])
    assert text == b"".join(LOG)[offset:].decode(errors="replace")
    assert ends[-1] == {"type": "end", "size": SIZE, "status": "failed"}


def joined(frames: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The text of the frames, which may be cut elsewhere, and what is no text."""
    logs = [frame for frame in frames if frame["type"] == "log"]
    return "".join(frame["text"] for frame in logs), [frame for frame in frames if frame["type"] != "log"]
