"""What past builds tell of servers for one repository: whose mirror should be warm, and who is fast at it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from jobs.models import BuildJob
from jobs.queue import experience
from jobs.queue.experience import Experience, latest_started, read_past
from jobs.queue.score import NO_PAST, Past
from jobs.states import ErrorCategory, JobStatus
from servers.fleet import ServerFacts
from tests.factories import make_built, make_job
from tests.jobs.fleets import facts

pytestmark = pytest.mark.django_db

REPOSITORY = "https://git.example/demo.git"
FLEET = [facts(name) for name in ("one", "two", "three", "four")]
ONE, TWO, THREE, FOUR = (server.id for server in FLEET)


def built(server: str, *, seconds: float = 60, days_ago: float = 0, **fields: Any) -> BuildJob:
    ended_at = timezone.now() - timedelta(days=days_ago)
    return make_built(seconds, ended_at=ended_at, server_name=server, **fields)


def past_of(repository: str = REPOSITORY, *, fleet: list[ServerFacts] = FLEET) -> Past:
    return read_past(repository, architecture="x86_64", fleet=fleet)


def test_nothing_is_known_of_a_repository_that_was_never_built() -> None:
    built("one", source_repository="https://git.example/another.git")
    make_job()

    assert past_of() == NO_PAST


def test_a_mirror_gets_colder_until_the_server_removes_it() -> None:
    built("one", days_ago=0)
    built("two", days_ago=15)
    built("two", days_ago=20)
    built("three", days_ago=31)

    assert past_of().warmth == {ONE: pytest.approx(1, abs=0.01), TWO: pytest.approx(0.5, abs=0.01)}


def test_builds_that_failed_or_run_left_a_mirror_and_those_that_never_got_their_source_did_not() -> None:
    failed: dict[str, Any] = {"status": JobStatus.FAILED}
    built("one", **failed, error_category=ErrorCategory.EXIT_CODE)
    built("two", **failed, error_category=ErrorCategory.CHECKOUT)
    built("three", **failed, error_category=ErrorCategory.SYSTEM)
    built("four", status=JobStatus.RUNNING, completed_at=None)

    assert past_of().warmth.keys() == {ONE, FOUR}


def test_a_mirror_serves_all_architectures_and_a_server_that_was_removed_has_none() -> None:
    built("one", target_architecture="i686")
    built("removed")

    assert past_of().warmth.keys() == {ONE}


def test_speed_is_the_fastest_servers_usual_time_as_a_share_of_the_others() -> None:
    for seconds in (50, 60, 500):
        built("one", seconds=seconds)
        built("two", seconds=2 * seconds)
        built("three", seconds=seconds / 10, target_architecture="i686")
    for seconds in (1, 1):
        built("four", seconds=seconds)

    # half as fast, but that is known from a few builds only
    assert past_of().speed == {ONE: 1.0, TWO: pytest.approx(0.56, abs=0.005)}


def test_what_was_read_is_remembered_for_a_minute(
    django_assert_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    built("one")
    remembered = Experience()

    with django_assert_num_queries(2):
        first = remembered.of(REPOSITORY, architecture="x86_64", fleet=FLEET)
    built("two")
    with django_assert_num_queries(0):
        assert remembered.of(REPOSITORY, architecture="x86_64", fleet=FLEET) == first
    with django_assert_num_queries(2):
        assert remembered.of(REPOSITORY, architecture="i686", fleet=FLEET).speed == {}

    monkeypatch.setattr(experience, "REMEMBERED_SECONDS", -1.0)
    assert remembered.of(REPOSITORY, architecture="x86_64", fleet=FLEET).warmth.keys() == {ONE, TWO}


@pytest.mark.sqlite_only
def test_the_latest_builds_of_a_repository_are_found_by_their_index() -> None:
    plan = latest_started(REPOSITORY).explain()

    assert "INDEX job_by_repository (source_repository=?)" in plan
    assert "TEMP B-TREE" not in plan
