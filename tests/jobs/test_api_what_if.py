"""What would be if, over the API: a job not submitted or not moved, a server not drained. Nothing is written."""

import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from buildboard.core.models import Event
from buildboard.core.permissions import Role
from jobs.models import BuildJob, Refusal
from jobs.queue.passing import NAMED
from jobs.states import JobStatus
from servers.models import BuildServer
from tests import factories
from tests.api import BUILD_JOBS, INFRASTRUCTURE, ApiClient, assert_error, submission, verdict_shape
from tests.factories import make_attempt, make_built, make_job

pytestmark = pytest.mark.django_db
DRY_RUN = f"{BUILD_JOBS}/dry-run"
BUILD_SERVERS = f"{INFRASTRUCTURE}/build-servers"
make_followed = partial(factories.make_followed, max_concurrent_builds=1)


def finish(seconds: float, *, count: int = 3, architecture: str = "x86_64") -> None:
    for number in range(count):
        ended_at = timezone.now() - timedelta(hours=number + 1)
        make_built(seconds, ended_at=ended_at, target_architecture=architecture)


def run_on(server: BuildServer, **job: Any) -> BuildJob:
    running = make_job("running", **job)
    attempt = make_attempt(running, server=server, server_name=server.name)
    slot = server.slots.filter(holder__isnull=True).first()
    assert slot is not None
    server.slots.filter(pk=slot.pk).update(holder=attempt.pk)
    return running


# ---- a submission -----------------------------------------------------------------------------------------
def test_a_dry_run_says_who_could_and_why_not_and_writes_nothing() -> None:
    full = make_followed("full", held=1)
    arm = make_followed("arm", architectures=["aarch64"])
    make_job()

    answer = ApiClient(Role.SUBMITTER).post(DRY_RUN, submission())

    assert answer.status_code == 200
    shown = answer.json()
    at = shown.pop("estimated_start_at")
    assert at is not None
    assert shown == {
        "summary": "full, the only build server that fits, is busy. It is number 2 in the queue and should start "
        "in about 10 minutes.",
        "kind": "busy",
        "would_start_if": "the slot of full comes free, and the job ahead of it has started",
        "estimate": None,
        "position": 2,
        "servers": [
            verdict_shape(full, "busy", ("full", "busy", "Is full: its only slot is taken.")),
            verdict_shape(arm, "refused", ("architecture", "impossible", "Builds aarch64, not x86_64.")),
        ],
        "estimated_wait_seconds": 600,
        "estimate_basis": "default",
        "total_queued": 1,
        "queue_is_full": False,
    }
    assert BuildJob.objects.count() == 1
    assert not Event.objects.filter(subject_type="job").exists()
    assert not Refusal.objects.exists()


@pytest.mark.parametrize(
    ("fields", "kind", "summary"),
    [
        ({}, None, "north has room for it now. It is first in the queue."),
        ({"server_id": "away"}, "offline", "No build server that fits is in service."),
        ({"target_architecture": "s390x"}, "impossible", "No build server can take it."),
    ],
)
def test_impossible_offline_and_busy_are_three_things(
    fields: dict[str, Any], kind: str | None, summary: str
) -> None:
    make_followed("north")
    make_followed("away", status="offline")

    shown = ApiClient(Role.SUBMITTER).post(DRY_RUN, submission(**fields)).json()

    assert (shown["kind"], shown["summary"]) == (kind, summary)


def test_with_past_builds_start_and_end_are_told_as_ranges() -> None:
    finish(600)
    run_on(make_followed("north"))

    shown = ApiClient(Role.SUBMITTER).post(DRY_RUN, submission()).json()

    start, end = shown["estimate"]["start"], shown["estimate"]["end"]
    assert start["low"] <= start["likely"] <= start["high"] < end["high"]
    assert (shown["estimate_basis"], shown["estimate"]["samples"]) == ("history", 3)


@pytest.mark.parametrize(
    "body",
    [
        {},
        submission(source_repository="--upload-pack=x"),
        submission(server_id="nowhere"),
        submission(moon="full"),
        submission(priority="highest"),
    ],
)
def test_what_would_be_refused_is_refused_alike(body: dict[str, Any]) -> None:
    make_followed("north")
    api = ApiClient(Role.SUBMITTER)

    tried, submitted = api.post(DRY_RUN, body), api.post(BUILD_JOBS, body)

    assert_error(tried, 422, code="invalid")
    assert tried.json() == submitted.json()


def test_a_full_queue_is_said(settings: Settings) -> None:
    settings.MAX_QUEUE_SIZE = 1
    make_followed("north")
    make_job()
    api = ApiClient(Role.SUBMITTER)

    assert api.post(DRY_RUN, submission()).json()["queue_is_full"] is True
    assert_error(api.post(BUILD_JOBS, submission()), 429, code="queue_full")


def test_who_may_not_submit_may_not_try() -> None:
    assert_error(ApiClient(Role.VIEWER).post(DRY_RUN, submission()), 403, code="forbidden")
    assert_error(ApiClient(None).post(DRY_RUN, submission()), 401)


# ---- a change of priority ---------------------------------------------------------------------------------
def waiting(minutes: int, **fields: Any) -> BuildJob:
    return make_job(created_at=timezone.now() - timedelta(minutes=minutes), **fields)


def test_whom_each_other_priority_would_pass_is_told_and_nothing_is_written() -> None:
    older, job, newer = waiting(30), waiting(20), waiting(10)
    waiting(40, target_architecture="aarch64")
    rows = BuildJob.objects.values_list("pk", "priority", "updated_at")
    before = list(rows)

    answer = ApiClient(Role.OPERATOR).get(f"{BUILD_JOBS}/{job.pk}/priority-preview")

    assert answer.json() == {
        "job_id": str(job.pk),
        "priority": "normal",
        "choices": [
            {
                "priority": "urgent",
                "overtakes_count": 1,
                "lets_pass_count": 0,
                "jobs": [str(older.pk)],
                "told": "It overtakes 1 job.",
            },
            {
                "priority": "high",
                "overtakes_count": 1,
                "lets_pass_count": 0,
                "jobs": [str(older.pk)],
                "told": "It overtakes 1 job.",
            },
            {
                "priority": "low",
                "overtakes_count": 0,
                "lets_pass_count": 1,
                "jobs": [str(newer.pk)],
                "told": "1 job overtakes it.",
            },
        ],
    }
    assert list(rows.all()) == before
    assert not Event.objects.filter(subject_type="job").exists()


def test_what_is_told_of_a_priority_comes_true() -> None:
    older, job = waiting(30), waiting(20)
    api = ApiClient(Role.OPERATOR)

    urgent = api.get(f"{BUILD_JOBS}/{job.pk}/priority-preview").json()["choices"][0]
    api.put(f"{BUILD_JOBS}/{job.pk}/priority", {"priority": "urgent", "reason": "release"})

    assert list(BuildJob.objects.queued()) == [job, older]
    event = Event.objects.get(subject_id=str(job.pk))
    assert (event.data["overtakes"], event.data["jobs"]) == (urgent["overtakes_count"], urgent["jobs"])


@pytest.mark.parametrize("status", [one for one in JobStatus if one != JobStatus.QUEUED])
def test_a_job_that_waits_no_more_passes_nobody(status: JobStatus) -> None:
    answer = ApiClient(Role.OPERATOR).get(f"{BUILD_JOBS}/{make_job(status).pk}/priority-preview")

    assert_error(answer, 409, code="conflict")


def test_who_may_not_reprioritise_sees_no_preview() -> None:
    api = ApiClient(Role.SUBMITTER)
    path = f"{BUILD_JOBS}/{make_job(created_by=api.user).pk}/priority-preview"

    assert_error(api.get(path), 403, code="forbidden")
    assert_error(ApiClient(None).get(path), 401)
    assert_error(
        ApiClient(Role.OPERATOR).get(f"{BUILD_JOBS}/{uuid.uuid4()}/priority-preview"), 404, code="not_found"
    )


@pytest.mark.parametrize("rivals", [1, NAMED + 2])
def test_a_long_queue_costs_no_more_queries_and_few_are_named(
    rivals: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(rivals):
        waiting(30 + number)
    job, api = waiting(10), ApiClient(Role.OPERATOR)
    path = f"{BUILD_JOBS}/{job.pk}/priority-preview"
    api.get(path)

    # token, job, those overtaken by either higher priority counted and named, those let pass counted
    with django_assert_num_queries(7):
        urgent = api.get(path).json()["choices"][0]

    assert (urgent["overtakes_count"], len(urgent["jobs"])) == (rivals, min(rivals, NAMED))


# ---- a drain ----------------------------------------------------------------------------------------------
def test_a_drain_is_told_before_it_is_made() -> None:
    finish(600)
    finish(600, architecture="aarch64")
    north, south = make_followed("north"), make_followed("south")
    west = make_followed("west", architectures=["aarch64"])
    running = run_on(north)
    run_on(south)
    for _ in range(4):
        make_job()
    run_on(west, target_architecture="aarch64")

    shown = ApiClient(Role.OPERATOR).get(f"{BUILD_SERVERS}/{north.pk}/drain-preview").json()

    (change,) = shown["changes"]
    assert (shown["server"], shown["is_told"], shown["stranded_count"], shown["held_back_count"]) == (
        "north",
        True,
        0,
        0,
    )
    assert [one["job_id"] for one in shown["running"]] == [str(running.pk)]
    assert shown["empty_in"] == shown["running"][0]["ends_in"]
    assert (change["architecture"], change["jobs"]) == ("x86_64", 4)
    assert change["after_seconds"] > change["before_seconds"] + 300
    assert shown["summary"] == (f"1 build runs on north now. Waits would change: x86_64: {change['told']}.")
    north.refresh_from_db()
    assert not north.draining


def test_jobs_that_it_alone_can_build_are_named() -> None:
    finish(600, architecture="aarch64")
    make_followed("north")
    west = make_followed("west", architectures=["aarch64"])
    run_on(west, target_architecture="aarch64")
    stranded = make_job(target_architecture="aarch64")

    shown = ApiClient(Role.OPERATOR).get(f"{BUILD_SERVERS}/{west.pk}/drain-preview").json()

    assert (shown["stranded_count"], shown["stranded_jobs"], shown["held_back_count"]) == (
        1,
        [str(stranded.pk)],
        1,
    )
    assert shown["changes"][0]["after_seconds"] is None


def test_without_past_builds_it_says_that_nobody_can_tell() -> None:
    north = make_followed("north")
    running = run_on(north)

    shown = ApiClient(Role.OPERATOR).get(f"{BUILD_SERVERS}/{north.pk}/drain-preview").json()

    assert shown["running"] == [{"job_id": str(running.pk), "ends_in": None}]
    assert (shown["empty_in"], shown["changes"], shown["is_told"]) == (None, [], False)
    assert shown["summary"] == (
        "1 build runs on north now. How waits would change cannot be told: no build has completed yet."
    )


def test_who_may_not_drain_a_server_may_not_have_it_tried() -> None:
    preview = f"{BUILD_SERVERS}/{make_followed('north').pk}/drain-preview"

    for role in (Role.VIEWER, Role.SUBMITTER):
        assert_error(ApiClient(role).get(preview), 403, code="forbidden")


def test_an_unknown_server_cannot_be_drained() -> None:
    answer = ApiClient(Role.OPERATOR).get(f"{BUILD_SERVERS}/{uuid.uuid4()}/drain-preview")

    assert_error(answer, 404, code="not_found")


@pytest.mark.parametrize("rows", [1, 3])
def test_more_jobs_cost_no_more_queries(rows: int, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    finish(600)
    north = make_followed("north", max_concurrent_builds=3)
    for _ in range(rows):
        run_on(north)
        make_job(needs_key="k")
    api = ApiClient(Role.OPERATOR)
    api.post(DRY_RUN, submission())

    with django_assert_num_queries(15):
        api.post(DRY_RUN, submission())
    with django_assert_num_queries(18):
        api.get(f"{BUILD_SERVERS}/{north.pk}/drain-preview")
