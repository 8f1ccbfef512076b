"""Lists over the API: filters, pages by keyset under inserts, hostile parameters, constant queries."""

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from buildboard.core.permissions import Role
from jobs.models import BuildJob
from tests.api import BUILD_JOBS, INFRASTRUCTURE, ApiClient, assert_error
from tests.factories import make_attempt, make_job, make_server

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 16, 6, 0, tzinfo=UTC)


@pytest.fixture
def api() -> ApiClient:
    return ApiClient(Role.VIEWER)


def _ids(rows: Any) -> list[str]:
    return [row["id"] for row in rows]


def _next(response: Any) -> str:
    match = re.fullmatch(r'<http://testserver(/[^>]+)>; rel="next"', response["Link"])
    assert match is not None, response["Link"]
    return match[1]


def test_newest_is_first(api: ApiClient) -> None:
    jobs = [make_job(created_at=START + timedelta(seconds=number)) for number in (1, 3, 2)]

    response = api.get(BUILD_JOBS)

    assert _ids(response.json()) == [str(jobs[at].pk) for at in (1, 2, 0)]
    assert "Link" not in response


def test_pages_hold_every_job_once_while_others_come_in(api: ApiClient) -> None:
    # Several share a time: the id decides.
    old = [make_job(created_at=START + timedelta(seconds=number // 3)) for number in range(10)]
    seen: list[str] = []
    address: str | None = f"{BUILD_JOBS}?limit=3"

    while address is not None:
        response = api.get(address)
        seen += _ids(response.json())
        make_job(created_at=START + timedelta(hours=1))
        address = _next(response) if "Link" in response else None

    assert seen == [
        str(job.pk) for job in sorted(old, key=lambda job: (job.created_at, job.pk), reverse=True)
    ]


def test_next_page_keeps_the_filters(api: ApiClient) -> None:
    for _ in range(3):
        make_job(branch="a b&c")
        make_job(branch="other")

    first = api.get(f"{BUILD_JOBS}?branch={quote('a b&c')}&limit=2")
    second = api.get(_next(first))

    assert [row["branch"] for row in first.json() + second.json()] == ["a b&c"] * 3


def test_next_page_is_at_the_public_address(api: ApiClient, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://board.example"
    make_job()
    make_job()

    link = api.get(f"{BUILD_JOBS}?limit=1")["Link"]

    assert link.startswith(f"<https://board.example{BUILD_JOBS}?limit=1&cursor=")


@pytest.mark.parametrize("rows", [1, 50])
def test_number_of_queries_does_not_grow(
    api: ApiClient, rows: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    server = make_server()
    for _ in range(rows):
        make_job(created_by=api.user, server=server, requested_server=server)
    api.get(BUILD_JOBS)  # the token's last use is noted once a minute

    with django_assert_num_queries(2):  # the token with its user, and the jobs with who made them
        assert len(api.get(BUILD_JOBS).json()) == rows


def test_row_does_not_load_the_submission(api: ApiClient) -> None:
    make_job(spec={"build_command": "MARK" * 100})

    assert b"MARK" not in api.get(BUILD_JOBS).content


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("status=running", {"status": "running"}),
        ("target_architecture=arm64", {"target_architecture": "aarch64"}),
        ("branch=dev", {"branch": "dev"}),
        ("commit_hash=HEAD", {"commit_hash": "HEAD"}),
        ("commit_hash=0123ABC", {"commit_hash": "0123abcdef"}),
        ("commit_hash=beef", {"commit_hash": "main", "resolved_commit": "beef" * 10}),
        (
            "source_repository=https://git.example/other.git",
            {"source_repository": "https://git.example/other.git"},
        ),
        ("since=2026-03-01T00:00:00Z", {"created_at": datetime(2026, 3, 1, tzinfo=UTC)}),
        ("since=2026-03-01T02:00:00%2B02:00", {"created_at": datetime(2026, 3, 1, tzinfo=UTC)}),
        ("since=2026-03-01T02:00:00+02:00", {"created_at": datetime(2026, 3, 1, tzinfo=UTC)}),
        ("since=2026-03-01", {"created_at": datetime(2026, 3, 1, tzinfo=UTC)}),
        ("until=2025-01-01T00:00:01", {"created_at": datetime(2025, 1, 1, tzinfo=UTC)}),
        ("search=OTHER", {"source_repository": "https://git.example/other.git"}),
        ("search=broke", {"error_message": "It broke."}),
        ("search=feature", {"branch": "feature/x"}),
        ("search=12345678-1234", {"id": "12345678-1234-4abc-8def-1234567890ab"}),
        ("search=beefbe", {"resolved_commit": "beefbeefbeef"}),
        ("label=team:kernel", {"labels": {"team": "kernel"}}),
        ("label=a.b/c:x:y", {"labels": {"a.b/c": "x:y"}}),
        ("label=empty:", {"labels": {"empty": ""}}),
        ("label=a__b:true", {"labels": {"a__b": "true"}}),
        ("label=n:1", {"labels": {"n": "1"}}),
    ],
)
def test_filter_gives_what_matches(api: ApiClient, query: str, match: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"commit_hash": "a" * 40, "created_at": START, "labels": {"team": "other"}}
    make_job(**plain)
    wanted = make_job(**plain | match)

    assert _ids(api.get(f"{BUILD_JOBS}?{query}").json()) == [str(wanted.pk)]


def test_server_filter(api: ApiClient) -> None:
    server = make_server()
    wanted = make_job("completed", server=server)
    make_job("completed", server=make_server())

    assert _ids(api.get(f"{BUILD_JOBS}?server_id={server.pk}").json()) == [str(wanted.pk)]


def test_wildcards_of_the_database_are_plain_text(api: ApiClient) -> None:
    make_job(branch="main")
    wanted = make_job(branch="100%_a")

    assert _ids(api.get(f"{BUILD_JOBS}?search={quote('%_')}").json()) == [str(wanted.pk)]


@pytest.mark.parametrize(
    "query",
    [
        *(
            "limit=0",
            "limit=201",
            "limit=-1",
            "limit=x",
            "limit=",
            "limit=1.5",
            "limit=" + "9" * 5000,
            "limit=1e3",
        ),
        *("status=waiting", "status=", "status=QUEUED", "server_id=x", "server_id=1", "server_id="),
        *("commit_hash=abc", "commit_hash=main", "commit_hash=%25", "target_architecture=x%3By", "branch="),
        *("since=x", "since=5", "since=0001-01-01", "since=9999-12-31T23:59:59-23:00", "since=" + "1" * 65),
        *("until=2026-13-01", "until=2026-01-01T00:00:00%2B99:00", "until=", "since=20260101T000000Z%0a"),
        *(
            "label=x",
            "label=1a:x",
            "label=a__b__c'--:x%00",
            "label=:x",
            "label=a%20b:x",
            "label=a:" + "x" * 400,
        ),
        *("search=", "search=" + "x" * 201, "search=%00", "branch=a%00b", "source_repository=" + "x" * 2049),
        *("cursor=x", "cursor=", "cursor=" + "A" * 513, "cursor=W10", "cursor=eyJhIjoxfQ", "cursor=%C3%A9"),
    ],
)
def test_parameter_that_does_not_fit_is_named(api: ApiClient, query: str) -> None:
    make_job()

    assert_error(api.get(f"{BUILD_JOBS}?{query}"), 422, code="invalid", fields=[query.partition("=")[0]])


@pytest.mark.parametrize(
    "values",
    [
        ["2026-01-01T00:00:00Z", "not-an-id"],
        ["2026-01-01T00:00:00Z"],
        ["x", "12345678-1234-4abc-8def-1234567890ab"],
        ["9999-12-31T23:59:59-23:00", "12345678-1234-4abc-8def-1234567890ab"],
        ["2026-01-01T00:00:00", "12345678-1234-4abc-8def-1234567890ab"],
        ["2026-01-01", "12345678-1234-4abc-8def-1234567890ab"],
        [None, None],
        [["x"], {}],
        [10**400, 1],
        ["\0", "\0"],
        ["\ud800", "x"],
        "ab",
    ],
)
def test_forged_cursor_is_refused(api: ApiClient, make_cursor: Callable[[Any], str], values: Any) -> None:
    assert_error(api.get(f"{BUILD_JOBS}?cursor={make_cursor(values)}"), 422, fields=["cursor"])


@pytest.mark.parametrize("values", [["1" * 400], ["x"], [str(1 << 63)], ["1.5"], [""]])
def test_forged_number_in_a_cursor_is_refused(
    api: ApiClient, make_cursor: Callable[[Any], str], values: Any
) -> None:
    job = make_attempt().job

    for part in ("attempts", "events"):
        response = api.get(f"{BUILD_JOBS}/{job.pk}/{part}?cursor={make_cursor(values)}")
        assert_error(response, 422, fields=["cursor"])


@pytest.fixture
def make_cursor() -> Callable[[Any], str]:
    return lambda values: base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "query", ["statuss=queued", "limit=1&limit=2", "offset=5", "label=a:b&label=c:d", "a%00b=1"]
)
def test_unknown_and_repeated_parameters_are_refused(api: ApiClient, query: str) -> None:
    assert_error(api.get(f"{BUILD_JOBS}?{query}"), 422)


def test_queue_status_counts_by_architecture(api: ApiClient) -> None:
    make_job(target_architecture="aarch64")
    for status in ("queued", "queued", "claimed", "running", "completed", "failed", "cancelled"):
        make_job(status)

    queue = api.get(f"{BUILD_JOBS}/queue/status").json()

    assert queue == {
        "total_queued": 3,
        "total_building": 2,
        "jobs_by_architecture": {"aarch64": 1, "x86_64": 2},
        "estimated_wait_time_seconds": 900,
        "estimated_wait_range_seconds": None,
        "estimated_wait_by_architecture": {},
        "estimate_basis": "default",
        "estimate_track_record": {"starts": None, "ends": None},
    }


def test_attempts_and_events_come_in_pages(api: ApiClient) -> None:
    job = make_job("running")
    for _ in range(2):
        make_attempt(job, "lost")
    make_attempt(job)

    first = api.get(f"{BUILD_JOBS}/{job.pk}/attempts?limit=2")
    second = api.get(_next(first))

    assert [row["number"] for row in first.json() + second.json()] == [1, 2, 3]
    assert "lease_id" not in first.json()[0]
    assert api.get(f"{BUILD_JOBS}/{job.pk}/events").json() == []


def test_servers_are_listed_by_name_with_their_builds(
    api: ApiClient, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    servers = [make_server(name) for name in ("beta", "alpha", "gamma")]
    servers[0].slots.filter(number=1).update(holder=servers[0].pk)
    servers[0].toolchains.create(
        name="gcc", version="12.2", target_architecture="x86_64", path="/usr/bin/gcc"
    )

    first = api.get(f"{INFRASTRUCTURE}/build-servers?limit=2")
    second = api.get(_next(first))

    rows = first.json() + second.json()
    assert [(row["name"], row["active_build_count"]) for row in rows] == [
        ("alpha", 0),
        ("beta", 1),
        ("gamma", 0),
    ]
    assert rows[1]["toolchains"] == [
        {"name": "gcc", "version": "12.2", "target_architecture": "x86_64", "path": "/usr/bin/gcc"}
    ]
    assert api.get(f"{INFRASTRUCTURE}/build-servers/{servers[0].pk}").json() == rows[1]
    with django_assert_num_queries(4):  # token, servers, toolchains, slots
        api.get(f"{INFRASTRUCTURE}/build-servers")


def test_server_shows_no_credential(api: ApiClient) -> None:
    host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGOB1Pn1x0bVYgbcbvPIxNRDuV6uXcLM0AzWEBrTdzmN"
    server = make_server(private_key="hunter2", public_key="ssh-ed25519 AAAA x", host_key=host_key)

    answer = api.get(f"{INFRASTRUCTURE}/build-servers/{server.pk}")

    assert b"hunter2" not in answer.content
    assert "private_key" not in answer.json()
    assert re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", answer.json()["host_key_fingerprint"])


def test_nothing_is_listed_to_strangers(settings: Settings) -> None:
    make_job()
    stranger = ApiClient(None)

    assert_error(stranger.get(BUILD_JOBS), 401)
    settings.PUBLIC_READ = True
    assert len(stranger.get(BUILD_JOBS).json()) == BuildJob.objects.count() == 1
