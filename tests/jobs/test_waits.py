"""What a job waited for, read from rows: its own refusals, and those of the first of its class for the time before."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from buildboard.core.audit import BOARD
from jobs.execution.dispatch import Dispatcher
from jobs.execution.fleet_pass import KEPT_OF_A_CLASS
from jobs.lifecycle import submit_job
from jobs.models import Attempt, BuildJob, JobDependency, Refusal
from jobs.queue.refusals import Found, Look, note_refusals
from jobs.queue.waits import history_of, refusals_of_class, since_when
from jobs.submission import fields_of, read_submission
from servers.models import BuildServer
from tests.factories import make_attempt, make_followed, make_job, make_server

pytestmark = pytest.mark.django_db
BEGIN = timezone.now() - timedelta(hours=1)


def at(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    """However long after the import of this file a test runs."""
    with time_machine.travel(at(60)):
        yield


def ended(minutes: float, *, status: str = "completed", **fields: Any) -> BuildJob:
    """A job of the class `k` that was queued at the beginning and given to a server after so many minutes."""
    job = make_job(status, created_at=BEGIN, completed_at=at(50), **{"needs_key": "k", **fields})
    given_to_server(job, minutes, at(50))
    return job


def given_to_server(job: BuildJob, minutes: float, until: datetime, status: str = "completed") -> Attempt:
    attempt = make_attempt(job, status=status, completed_at=until)
    Attempt.objects.filter(pk=attempt.pk).update(created_at=at(minutes))
    return attempt


def refused(
    job: BuildJob, server: BuildServer | None, condition: str, since: float, until: float | None
) -> None:
    Refusal.objects.create(
        job=job,
        server=server,
        condition=condition,
        since=at(since),
        until=None if until is None else at(until),
        needs_key=job.needs_key,
    )


def test_its_own_refusals_are_told() -> None:
    job, north = ended(14), make_server("north")
    refused(job, north, "full", 0, 9)
    refused(job, north, "draining", 9, 14)

    found = history_of(job)

    assert found.told == "waited 14 min: 9 full, 5 draining"
    assert [(one.reason, one.since, one.until) for one in found.latest] == [
        ("draining", at(9), at(14)),
        ("full", at(0), at(9)),
    ]


def test_before_it_was_among_the_first_of_its_class_what_was_refused_to_those_counts() -> None:
    job, north = ended(20), make_server("north")
    first, other = ended(5), ended(5, needs_key="other")
    refused(first, north, "draining", -30, 10)
    refused(first, north, "full", 10, 40)
    refused(first, north, "offline", -90, -1)
    refused(other, north, "architecture", 0, 20)
    refused(job, north, "full", 15, 20)

    assert history_of(job).told == "waited 20 min: 10 draining, 10 full"


def test_a_job_that_was_never_among_the_first_is_told_what_they_were() -> None:
    job, north = make_job(created_at=at(50), needs_key="k"), make_server("north")
    refused(make_job(created_at=BEGIN, needs_key="k"), north, "full", 0, None)

    assert history_of(job).told == "waited 10 min: full"


def test_without_a_class_only_its_own_count() -> None:
    job, north = ended(10, needs_key=""), make_server("north")
    refused(ended(10, needs_key=""), north, "full", 0, 10)
    refused(job, north, "offline", 5, 10)

    assert history_of(job).told == "waited 10 min: 5 not looked at, 5 offline"


def test_only_time_in_the_queue_counts_and_another_try_is_waited_for() -> None:
    job, north = make_job("completed", created_at=BEGIN, completed_at=at(40)), make_server("north")
    given_to_server(job, 4, at(10), status="failed")
    given_to_server(job, 16, at(40))
    refused(job, north, "full", 0, 4)
    refused(job, north, "full", 12, 16)

    assert history_of(job).told == "waited 10 min: 8 full, 2 before another try"


def test_a_retry_that_is_not_due_says_so() -> None:
    job = make_job(created_at=BEGIN, not_before=timezone.now() + timedelta(minutes=5))
    given_to_server(job, 0, at(50), status="failed")

    assert history_of(job).told == "waited 10 min: before another try"


def test_jobs_that_it_needs_are_waited_for_first() -> None:
    job, north = ended(20), make_server("north")
    JobDependency.objects.create(job=job, needs=make_job("completed", completed_at=at(15)))
    refused(job, north, "full", 15, 20)

    assert history_of(job).told == "waited 20 min: 15 for another job, 5 full"

    JobDependency.objects.create(job=job, needs=make_job("failed", completed_at=at(1)))
    assert history_of(job).told == "waited 20 min: for another job"


def test_a_job_that_ended_in_the_queue_waited_until_then() -> None:
    job, north = make_job("cancelled", created_at=BEGIN, completed_at=at(12)), make_server("north")
    refused(job, north, "full", 0, 12)

    assert history_of(job).told == "waited 12 min: full"


def test_a_board_without_servers_says_so() -> None:
    job = ended(12)
    refused(job, None, "no_servers", 0, 12)

    assert history_of(job).told == "waited 12 min: without any server"


def test_who_was_placed_at_once_waited_for_nothing() -> None:
    assert history_of(ended(0)).told == ""
    assert history_of(ended(1 / 60)).told == ""


def test_what_is_noted_names_the_class_of_its_job(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    north = make_server("north")
    jobs = [make_job(needs_key=f"k{number}") for number in range(3)]
    look: Look = {(north.pk, "full"): Found("is full", True, "north")}

    with django_assert_num_queries(5):  # what stands, the classes, a transaction of two, the rows
        note_refusals({job.pk: look for job in jobs})
    with django_assert_num_queries(1):
        note_refusals({job.pk: look for job in jobs})

    found = Refusal.objects.order_by("needs_key").values_list("job", "needs_key", "condition")
    assert list(found) == [(job.pk, job.needs_key, "full") for job in jobs]


@pytest.mark.parametrize("rows", [1, 3])
def test_many_rows_cost_as_many_queries_as_one(
    rows: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    job, first = ended(20), ended(5)
    for number in range(rows):
        server = make_server()
        refused(first, server, "full", number, 10)
        refused(job, server, "offline", 10 + number, 20)

    with django_assert_num_queries(
        5
    ):  # attempts, own rows, those of the class that stand and are over, dependencies
        found = history_of(job)

    assert found.told == "waited 20 min: 10 full, 10 offline"


def test_what_stood_in_the_way_of_a_class_is_found_by_an_index() -> None:
    for rows in refusals_of_class("k", since=at(0), until=at(10)):
        plan = rows.order_by("-since", "-pk")[:5].explain()

        assert "refusal_of_class" in plan
        if connection.vendor == "sqlite":
            assert "until" in plan  # not all rows of the class, however long ago


def test_what_the_dispatcher_saw_is_told_even_of_a_job_far_behind() -> None:
    make_followed("north", max_concurrent_builds=1, held=1)
    fields = fields_of(
        read_submission({"source_repository": "https://x.example/y", "target_architecture": "x86_64"})
    )
    begin = timezone.now()
    with time_machine.travel(begin, tick=False) as clock:
        jobs = [submit_job(fields, actor=BOARD, user=None) for _ in range(KEPT_OF_A_CLASS + 2)]
        dispatcher = Dispatcher()
        for draining, minutes in ((False, 9), (True, 5)):
            BuildServer.objects.update(draining=draining)
            dispatcher.dispatch()
            clock.shift(timedelta(minutes=minutes))
        told = {history_of(job).told for job in jobs}

    assert Refusal.objects.values("job").distinct().count() == KEPT_OF_A_CLASS
    assert told == {"waited 14 min: 9 full, 5 draining"}


def test_what_stands_has_stood_since_the_first_look_at_the_job_or_its_class() -> None:
    north, south = make_server("north"), make_server("south")
    first = make_job(created_at=at(-30), needs_key="k")
    job = make_job(created_at=at(10), needs_key="k")
    refused(first, north, "draining", -20, None)
    refused(first, north, "full", -20, 30)
    refused(job, north, "draining", 12, None)
    refused(job, south, "offline", 15, None)
    refused(job, None, "no_servers", 10, None)
    refused(make_job(needs_key="other"), south, "full", 0, None)

    assert since_when(first) == {(north.pk, "draining"): at(-20), (south.pk, "offline"): at(15)}
    assert since_when(job) == {(north.pk, "draining"): at(10), (south.pk, "offline"): at(15)}


def test_without_a_class_only_its_own_rows_tell_since_when() -> None:
    north = make_server("north")
    job, other = make_job(created_at=BEGIN, needs_key=""), make_job(created_at=BEGIN, needs_key="")
    refused(job, north, "full", 5, None)

    assert since_when(job) == {(north.pk, "full"): at(5)}
    assert since_when(other) == {}


def test_a_job_that_was_queued_again_is_refused_since_then(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    job, north = make_job(created_at=BEGIN, needs_key="k"), make_server("north")
    refused(make_job(created_at=BEGIN, needs_key="k"), north, "full", 0, None)
    for end in (10, 20):
        given_to_server(job, end - 5, at(end), status="lost")

    with django_assert_num_queries(1):
        assert since_when(job) == {(north.pk, "full"): at(20)}


def test_nothing_refuses_a_job_that_runs_or_is_not_stored(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    running = make_job("running", needs_key="k")
    refused(make_job(needs_key="k"), make_server("north"), "full", 0, None)

    with django_assert_num_queries(0):
        assert since_when(running) == {}
        assert since_when(BuildJob(needs_key="k")) == {}
