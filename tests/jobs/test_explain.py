"""Why a job waits, from the rows as they are now: one sentence first, what would help, and every server."""

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from jobs.models import BuildJob, JobDependency
from jobs.queue.explain import MOST_REASONS, Explanation, explain_job
from jobs.queue.outlook import outlooks_among
from jobs.states import JobStatus, Phase
from servers.models import BuildServer, Toolchain
from servers.slots import fit_slots
from tests import factories
from tests.factories import make_attempt, make_built, make_job

pytestmark = pytest.mark.django_db
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
make_followed = partial(factories.make_followed, max_concurrent_builds=2)


def told(explanation: Explanation) -> tuple[str, str | None, bool]:
    """Its sentence, what would help, and whether a start is foreseen."""
    return explanation.summary, explanation.would_start_if, explanation.estimated_start_at is not None


def test_a_full_server_is_waited_for() -> None:
    make_followed("north", held=2)
    make_followed("west", architectures=["aarch64"])
    make_built(600)
    job = make_job()

    found = explain_job(job)

    summary, would, starts = told(found)
    assert re.fullmatch(
        r"north, the only build server that fits, is busy\. It is first in the queue and should start "
        r"in \d+–\d+ min\.",
        summary,
    )
    assert (would, starts) == ("1 of 2 slots of north comes free", True)
    assert found.reasons == [
        "north is full: all 2 slots are taken.",
        "west builds aarch64, not x86_64.",
    ]
    assert found.told is not None
    assert found.told.start is not None
    assert found.told.start.low < found.told.start.likely < found.told.start.high < found.told.end.high
    likely = found.told.start.likely - found.checked_at
    assert timedelta(minutes=2) < likely < timedelta(minutes=10)  # the first of two that take ten each
    assert found.estimated_start_at is not None
    assert abs(found.estimated_start_at - found.checked_at - likely) < timedelta(seconds=2)


def test_jobs_ahead_are_told() -> None:
    make_followed("north", held=2)
    make_followed("south", held=2)
    make_followed("away", status="offline", status_reason="No route to host.")
    make_job(target_architecture="aarch64")
    make_job()
    job = make_job()

    summary, would, _ = told(explain_job(job))

    assert summary == (
        "Of 3 build servers that fit 2 are busy and 1 is out of service. It is number 3 in the queue and "
        "should start in about 15 minutes."
    )
    assert would == "1 of 4 slots of north and south comes free, and the job ahead of it has started"


def test_all_that_fit_are_busy() -> None:
    make_followed("north", held=2)
    make_followed("south", held=2)
    make_built(30)

    summary = explain_job(make_job()).summary

    assert re.fullmatch(
        r"All 2 build servers that fit are busy\. It is first in the queue and should start (in|within) [\d–]+ s\.",
        summary,
    )


def test_a_server_that_has_room_is_named() -> None:
    make_followed("north")
    first, second = make_job(), make_job()

    found = explain_job(first)
    assert found.estimated_start_at == found.checked_at
    assert told(found)[:2] == (
        "north has room for it now. It is first in the queue.",
        "the runner looks at the queue again, within a second or two: north has room now",
    )
    assert told(explain_job(second))[1] == "the job ahead of it has started; north has room now"


@pytest.mark.parametrize(
    ("servers", "job", "summary", "would"),
    [
        ([], {}, "There is no build server yet.", "a build server is added that builds x86_64"),
        (
            [{"name": "north", "status": "maintenance"}],
            {},
            "No build server that fits is in service.",
            "north leaves maintenance",
        ),
        (
            [{"name": "north"}],
            {"target_architecture": "s390x"},
            "No build server can take it.",
            "a build server is added that builds s390x; the nearest, north, builds x86_64, not s390x",
        ),
        (
            [{"name": "north"}],
            {"spec": {"server_id": "gone"}},
            "No build server can take it.",
            "a build server named gone is added, or the job is submitted again for another one",
        ),
    ],
)
def test_what_time_alone_does_not_help_is_said_first_and_no_start_is_foreseen(
    servers: list[dict[str, Any]], job: dict[str, Any], summary: str, would: str
) -> None:
    for fields in servers:
        make_followed(**fields)
    waiting = make_job(**job)

    assert told(explain_job(waiting)) == (summary, would, False)
    assert outlooks_among([waiting.pk])[waiting.pk].told == summary.rstrip(".")


def test_a_retry_is_due_at_its_time() -> None:
    make_followed("north")
    at = timezone.now() + timedelta(minutes=1)

    found = explain_job(make_job(not_before=at))

    assert told(found)[:2] == (
        f"It is tried again at {at:%H:%M:%S} UTC.",
        f"its next try is due at {at:%H:%M:%S} UTC",
    )
    assert found.estimated_start_at == at
    assert found.reasons == [found.summary]


@pytest.mark.parametrize(
    ("count", "summary", "would"),
    [
        (1, "It needs another job that did not complete yet.", "the job that it needs completes"),
        (2, "It needs 2 other jobs that did not complete yet.", "the 2 jobs that it needs complete"),
    ],
)
def test_jobs_that_it_needs_come_first(count: int, summary: str, would: str) -> None:
    make_followed("north", held=2)
    job = make_job(created_at=timezone.now() - timedelta(hours=1))
    for _ in range(count):
        JobDependency.objects.create(job=job, needs=make_job())

    assert told(explain_job(job)) == (summary, f"{would} and 1 of 2 slots of north comes free", False)


def test_a_job_of_another_provider_is_for_no_server() -> None:
    make_followed("north")

    found = explain_job(make_job(provider="orchestrator"))

    assert found.would_start_if == "the provider orchestrator takes it"
    assert [one.reasons for one in found.servers] == [
        ["Is not asked: the job is for the provider orchestrator."]
    ]


@pytest.mark.parametrize(
    ("asked", "told_of_it"),
    [("north", "north, which is full: all 2 slots are taken"), ("gone", "gone, which is gone")],
)
def test_a_named_server_with_a_fallback_is_not_waited_for_and_it_says_so(asked: str, told_of_it: str) -> None:
    make_followed("north", held=2)
    make_followed("south")
    job = make_job(spec={"server_id": asked, "server_fallback": True})

    found = explain_job(job)

    assert found.summary == f"south has room for it now instead of {told_of_it}. It is first in the queue."


def test_a_named_server_is_waited_for_though_others_are_free() -> None:
    named = make_followed("named", held=2)
    make_followed("idle")

    found = explain_job(make_job(requested_server=named, spec={"server_id": "named"}))

    assert found.would_start_if == "1 of 2 slots of named comes free"
    assert [(one.server.name, one.verdict.value) for one in found.servers] == [
        ("named", "busy"),
        ("idle", "refused"),
    ]


@pytest.mark.parametrize(
    ("attempt", "job", "summary"),
    [
        ({"status": "claimed"}, {}, "It is being started on north."),
        (
            {"phase": Phase.CHECKOUT},
            {},
            "Its source is being checked out on north since 2026-01-02 03:04:05 UTC.",
        ),
        ({"number": 2}, {}, "It is being built on north since 2026-01-02 03:04:05 UTC, attempt 2."),
        (
            {"phase": Phase.COLLECTING},
            {},
            "It was built on north, which hands over what it made since 2026-01-02 03:04:05 UTC.",
        ),
        (
            {},
            {"cancel_requested_at": timezone.now()},
            "It is being cancelled: north has still to confirm that nothing of it runs.",
        ),
    ],
)
def test_an_active_job_says_what_it_does(attempt: dict[str, Any], job: dict[str, Any], summary: str) -> None:
    started = None if attempt.get("status") == "claimed" else AT
    made = make_attempt(**{"server_name": "north", "started_at": started, **attempt})
    BuildJob.objects.filter(pk=made.job_id).update(**job)

    assert told(explain_job(BuildJob.objects.get(pk=made.job_id))) == (summary, None, False)


def test_a_job_on_a_server_that_cannot_be_reached_says_so() -> None:
    attempt = make_attempt(server_name="north", started_at=AT, unreachable_since=AT)

    assert explain_job(attempt.job).summary == (
        "It is being built on north since 2026-01-02 03:04:05 UTC. north cannot be reached since "
        "2026-01-02 03:04:05 UTC; the build may well go on there."
    )


def test_an_active_job_that_changes_meanwhile_says_so() -> None:
    assert explain_job(make_job("running")).summary == "It is changing just now; look again."


@pytest.mark.parametrize(
    ("fields", "summary"),
    [
        ({"status": "completed", "server_name": "north"}, "It completed on north at {at}."),
        ({"status": "completed"}, "It completed at {at}."),
        ({"status": "cancelled"}, "It was cancelled at {at}, before it started."),
        (
            {"status": "cancelled", "cancel_requested_by": "ann", "started_at": AT},
            "It was cancelled by ann at {at}.",
        ),
        (
            {"status": "failed", "server_name": "north", "error_message": "No disk.\nMore"},
            "It failed on north at {at}: No disk.",
        ),
        (
            {"status": "failed", "error_category": "exit_code", "exit_code": 2},
            "It failed at {at}: exit code 2.",
        ),
        ({"status": "failed"}, "It failed at {at}."),
    ],
)
def test_a_finished_job_says_how_it_ended_and_the_servers_are_listed_all_the_same(
    fields: dict[str, Any], summary: str
) -> None:
    make_followed("north")

    found = explain_job(make_job(**fields, completed_at=AT))

    assert told(found) == (summary.format(at="2026-01-02 03:04:05 UTC"), None, False)
    assert [one.server.name for one in found.servers] == ["north"]


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_a_thousand_servers_cost_as_many_queries_as_one(
    status: JobStatus, django_assert_max_num_queries: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_followed("north", held=2)
    job = make_attempt(make_job(status)).job if status == JobStatus.RUNNING else make_job(status)
    with django_assert_max_num_queries(17) as first:
        explain_job(BuildJob.objects.get(pk=job.pk))

    rows = BuildServer.objects.bulk_create(
        BuildServer(name=f"s{number}", transport="local", architectures=["x86_64"]) for number in range(999)
    )
    fit_slots(rows[0])
    Toolchain.objects.bulk_create(
        Toolchain(server=server, name="gcc", path="/usr/bin/gcc") for server in rows
    )
    with django_assert_num_queries(len(first.captured_queries)):
        found = explain_job(BuildJob.objects.get(pk=job.pk))

    assert len(found.servers) == 1000
    assert len(found.reasons) == (MOST_REASONS if status == JobStatus.QUEUED else 0)
