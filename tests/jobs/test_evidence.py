"""What is read of attempts to judge a server: which of them, as which values, and by which index."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs.diagnosis.evidence import OWN_ATTEMPTS, WINDOW, read_evidence
from jobs.diagnosis.host_fault import Came, Tried
from jobs.models import Attempt
from servers.models import BuildServer
from tests.factories import make_attempt, make_job, make_server

pytestmark = pytest.mark.django_db
RECENTLY = timezone.now() - WINDOW
OTHER = "https://git.example/other.git"


@pytest.fixture
def bad() -> BuildServer:
    """It failed three jobs of three repositories just now."""
    server = make_server("bad")
    for name in "abc":
        tried(server, repository=name)
    return server


def tried(server: BuildServer, status: str = "failed", *, repository: str = "a", **fields: Any) -> Attempt:
    job_fields = fields.pop("job", {})
    kind = {"failed": "failed", "completed": "completed", "running": "running"}.get(status, "failed")
    now = timezone.now()
    job = make_job(kind, source_repository=repository, started_at=now, server=server, **job_fields)
    return make_attempt(job, status, server=server, server_name=server.name, **fields)


def of(server: BuildServer) -> list[Tried]:
    return [one for one in read_evidence(server.pk, start=RECENTLY) if one.server_id == server.pk]


def test_a_server_that_hardly_failed_gives_nothing_to_judge() -> None:
    server = make_server()
    for _ in range(2):
        tried(server)
    for _ in range(5):
        tried(server, "completed")

    assert read_evidence(server.pk, start=RECENTLY) == []


def test_an_attempt_is_read_with_what_tells_it_from_others(bad: BuildServer) -> None:
    commit = "c" * 40
    root = make_job("failed")
    attempt = tried(
        bad,
        "lost",
        resolved_commit=commit,
        error_fingerprint="f" * 32,
        error_message="Gone.",
        phase="checkout",
        started_at=timezone.now() - timedelta(seconds=10),
        job={"retry_of": root},
    )

    one = next(one for one in of(bad) if one.attempt_id == attempt.pk)

    assert (one.came, one.commit, one.fingerprint, one.message) == (Came.FAILED, commit, "f" * 32, "Gone.")
    assert (one.began, one.job, one.repository) == (False, root.pk, "a")
    assert 10 <= one.seconds < 40


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        ({}, True),
        ({"spec": {"build_command": "make check"}}, False),
        ({"spec": {"build_config": {"kernel_config": "x"}}}, False),
        ({"spec": {"environment": {"A": "b"}}}, False),
        ({"target_architecture": "aarch64"}, False),
        ({"required_toolchain": "gcc-12"}, False),
        ({"branch": "next"}, True),
        ({"labels": {"who": "ci"}}, True),
    ],
)
def test_the_same_work_is_that_of_the_same_commit_command_and_settings(
    bad: BuildServer, changed: dict[str, Any], is_same: bool
) -> None:
    one = tried(bad, resolved_commit="c" * 40)
    other = tried(bad, resolved_commit="c" * 40, job=changed)

    found = {each.attempt_id: each for each in of(bad)}

    assert found[one.pk].is_same(found[other.pk]) == is_same


def test_a_commit_that_was_asked_for_in_full_is_known_before_the_checkout(bad: BuildServer) -> None:
    attempt = tried(bad, job={"commit_hash": "d" * 40})
    short = tried(bad, job={"commit_hash": "d" * 12})

    found = {each.attempt_id: each.commit for each in of(bad)}

    assert (found[attempt.pk], found[short.pk]) == ("d" * 40, "")


@pytest.mark.parametrize(
    ("spec", "is_requested", "is_bound"),
    [
        ({}, False, False),
        ({"server_id": "auto"}, False, False),
        ({"server_id": "gone"}, False, True),
        ({"server_id": "bad"}, True, True),
        ({}, True, True),
        ({"server_id": "bad", "server_fallback": False}, True, True),
        ({"server_id": "bad", "server_fallback": True}, True, False),
    ],
)
def test_a_job_that_takes_no_other_server_than_the_one_it_names_is_bound_to_it(
    bad: BuildServer, spec: dict[str, Any], is_requested: bool, is_bound: bool
) -> None:
    make_server("good")
    attempt = tried(bad, job={"spec": spec, "requested_server": bad if is_requested else None})

    assert {one.attempt_id: one.is_bound for one in of(bad)}[attempt.pk] == is_bound


def test_what_tells_nothing_of_the_server_is_left_out(bad: BuildServer) -> None:
    before = len(of(bad))
    tried(bad, "cancelled")
    tried(bad, "released")
    tried(bad, started_at=None)
    tried(bad, completed_at=RECENTLY - timedelta(minutes=1))
    own_word = tried(bad, error_category="checkout", error_fingerprint="f" * 32, phase="checkout")

    found = {one.attempt_id: one for one in of(bad)}

    assert len(found) == before + 1
    assert (found[own_word.pk].began, found[own_word.pk].fingerprint) == (True, "")


def test_of_its_own_the_last_ones_since_then_are_read(bad: BuildServer) -> None:
    since = timezone.now()
    later = {tried(bad).pk for _ in range(3)}
    assert {one.attempt_id for one in read_evidence(bad.pk, start=since)} == later

    for _ in range(OWN_ATTEMPTS):
        tried(bad)
    assert len(of(bad)) == OWN_ATTEMPTS


def test_of_others_the_same_repositories_the_same_failures_and_what_began_since_are_read(
    bad: BuildServer,
) -> None:
    sign = "f" * 32
    Attempt.objects.filter(job__source_repository="a").update(error_fingerprint=sign)
    good = make_server("good")
    wanted = {
        tried(good, repository="a").pk,
        tried(good, "completed", repository="b").pk,
        tried(good, repository=OTHER, error_fingerprint=sign).pk,
        tried(good, "completed", repository=OTHER).pk,
        tried(good, "running", repository=OTHER).pk,
    }
    tried(good, repository=OTHER)
    tried(good, "completed", repository=OTHER, job={"completed_at": timezone.now() - timedelta(hours=1)})

    found = [one for one in read_evidence(bad.pk, start=RECENTLY) if one.server_id == good.pk]

    assert {one.attempt_id for one in found} == wanted


@pytest.mark.sqlite_only
def test_it_is_read_by_its_indexes(bad: BuildServer) -> None:
    Attempt.objects.update(error_fingerprint="f" * 32)

    with CaptureQueriesContext(connection) as captured:
        read_evidence(bad.pk, start=RECENTLY)

    plans = []
    of_jobs = [query for query in captured.captured_queries if 'FROM "servers_' not in query["sql"]]
    with connection.cursor() as cursor:
        for query in of_jobs:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plans.append(" ".join(str(row[3]) for row in cursor.fetchall()))
    assert len(plans) == 7
    assert all("SCAN" not in plan for plan in plans), plans
    used = ("attempt_ended_of_server", "job_by_repository", "job_ended", "attempt_failed_alike")
    assert [name for name in used if not any(name in plan for plan in plans)] == []
