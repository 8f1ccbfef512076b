"""One job over the API: look, cancel, retry, change the priority; and what is unknown or illegal."""

from typing import Any
from uuid import uuid4

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from buildboard.core.models import Event
from buildboard.core.permissions import Role
from jobs.models import BuildJob
from jobs.states import JOB_TERMINAL, JobStatus
from tests.api import BUILD_JOBS, ApiClient, assert_error, submission
from tests.factories import make_attempt, make_job, make_server

# Not random: the names of tests are the same in every process.
UNKNOWN_ID = "7c333433-f38f-45e5-ab26-6ec1d9e7fdff"
pytestmark = pytest.mark.django_db
ROLES: tuple[Any, ...] = (None, Role.VIEWER, Role.SUBMITTER, Role.OPERATOR, Role.ADMIN)


# ---- looking --------------------------------------------------------------------------------------------
def test_job_and_its_outcome(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    api = ApiClient(Role.VIEWER)
    server = make_server("alpha")
    result = {"exitCode": 2, "output": "bad", "error": "It failed.", "metrics": {}}
    job = make_job(
        "failed",
        server=server,
        server_name="alpha",
        exit_code=2,
        error_category="exit_code",
        error_message="It failed.",
        result=result,
        attempts=1,
        created_by=api.user,
    )
    api.get(f"{BUILD_JOBS}/{job.pk}")

    with django_assert_num_queries(2):  # the token with its user, the job with who made it
        answer = api.get(f"{BUILD_JOBS}/{job.pk}").json()

    expected = {
        "server_id": str(server.pk),
        "server_name": "alpha",
        "exit_code": 2,
        "result": result,
        "attempts": 1,
    }
    assert {key: answer[key] for key in expected} == expected
    assert (answer["error_category"], answer["error_message"]) == ("exit_code", "It failed.")


def test_status_of_a_queued_job_says_why_it_waits() -> None:
    api = ApiClient(Role.VIEWER)
    make_job(priority=20)
    job = make_job()

    info = api.get(f"{BUILD_JOBS}/{job.pk}/status").json()["queue_info"]

    assert (info["total_queued"], info["position"], info["estimated_wait_seconds"]) == (2, 2, 600)
    assert info["reasons"]


@pytest.mark.parametrize("status", [status for status in JobStatus if status != JobStatus.QUEUED])
def test_status_of_other_jobs_has_no_queue_info(status: JobStatus) -> None:
    job = make_job(status)

    answer = ApiClient(Role.VIEWER).get(f"{BUILD_JOBS}/{job.pk}/status").json()

    assert (answer["status"], answer["queue_info"]) == (status.value, None)


@pytest.mark.parametrize(
    "part", ["", "/status", "/explain", "/logs", "/logs/raw", "/attempts", "/events", "/artifacts"]
)
def test_unknown_job_is_not_found(part: str) -> None:
    assert_error(ApiClient(Role.VIEWER).get(f"{BUILD_JOBS}/{uuid4()}{part}"), 404, code="not_found")


@pytest.mark.parametrize("word", ["x", "1", "..", "%00", "' OR 1=1 --", "0" * 5000, UNKNOWN_ID + "\n", "é"])
def test_what_is_no_id_is_not_found(word: str) -> None:
    assert_error(ApiClient(Role.VIEWER).get(f"{BUILD_JOBS}/{word}"), 404)


def test_events_are_the_timeline() -> None:
    api = ApiClient(Role.SUBMITTER)
    job = api.post(BUILD_JOBS, submission()).json()
    api.put(f"{BUILD_JOBS}/{job['id']}/cancel")

    events = api.get(f"{BUILD_JOBS}/{job['id']}/events").json()

    name = api.user.username if api.user else ""
    assert [(event["kind"], event["from_status"], event["to_status"]) for event in events] == [
        ("submitted", None, "queued"),
        ("cancelled", "queued", "cancelled"),
    ]
    assert [(event["actor"], event["door"]) for event in events] == [(name, "api")] * 2


# ---- cancelling -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [JobStatus.CLAIMED, JobStatus.RUNNING])
def test_cancel_of_an_active_job_is_a_wish(status: JobStatus) -> None:
    api = ApiClient(Role.OPERATOR)
    job = make_attempt(status=status.value).job

    answers = [api.put(f"{BUILD_JOBS}/{job.pk}/cancel") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    shown = api.get(f"{BUILD_JOBS}/{job.pk}").json()
    assert (shown["status"], shown["completed_at"]) == (status.value, None)
    assert shown["cancel_requested_at"] is not None
    assert Event.objects.filter(subject_id=str(job.pk), kind="cancel_requested").count() == 1


@pytest.mark.parametrize("status", sorted(JOB_TERMINAL))
def test_cancel_of_a_finished_job_conflicts(status: JobStatus) -> None:
    job = make_job(status)

    assert_error(ApiClient(Role.OPERATOR).put(f"{BUILD_JOBS}/{job.pk}/cancel"), 409, code="conflict")
    assert not Event.objects.filter(subject_type="job").exists()


def test_cancel_takes_no_fields() -> None:
    job = make_job()
    api = ApiClient(Role.OPERATOR)

    assert_error(api.put(f"{BUILD_JOBS}/{job.pk}/cancel", {"force": True}), 422, fields=["force"])
    assert_error(api.put(f"{BUILD_JOBS}/{job.pk}/cancel", b"force"), 400)
    job.refresh_from_db()
    assert job.status == JobStatus.QUEUED
    assert api.put(f"{BUILD_JOBS}/{job.pk}/cancel", {}).status_code == 200
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED


def test_cancel_by_get_or_post_is_refused() -> None:
    job = make_job()
    api = ApiClient(Role.OPERATOR)

    for method in ("GET", "POST", "PATCH"):
        response = api.call(method, f"{BUILD_JOBS}/{job.pk}/cancel")
        assert_error(response, 405, code="method_not_allowed")
        assert response["Allow"] == "PUT"
    job.refresh_from_db()
    assert job.status == JobStatus.QUEUED


# ---- retrying -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", sorted(JOB_TERMINAL))
def test_retry_makes_a_new_job(status: JobStatus) -> None:
    api = ApiClient(Role.SUBMITTER)
    job = make_job(
        status, created_by=api.user, branch="dev", spec={"build_command": "make"}, labels={"a": "b"}
    )

    response = api.post(f"{BUILD_JOBS}/{job.pk}/retry")

    assert response.status_code == 201
    answer = response.json()
    retry = BuildJob.objects.get(pk=answer["id"])
    assert (answer["retry_of"], answer["status"], answer["branch"]) == (str(job.pk), "queued", "dev")
    assert (retry.spec, retry.labels, retry.created_by) == (job.spec, job.labels, api.user)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"reason": " the mirror\nwas down "}, "the mirror was down"),
        ({}, ""),
        ("", ""),
        (" \n", ""),
    ],
)
def test_a_retry_may_say_why(body: Any, reason: str) -> None:
    api = ApiClient(Role.SUBMITTER)
    job = make_job("failed", created_by=api.user)

    again = api.post(f"{BUILD_JOBS}/{job.pk}/retry", body)

    assert again.status_code == 201
    events = Event.objects.order_by("sequence").values_list("subject_id", "kind", "reason")
    assert [one for one in events if one[1] in ("submitted", "retried")] == [
        (again.json()["id"], "submitted", reason),
        (str(job.pk), "retried", reason),
    ]


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({"reason": "x" * 501}, 422, ["reason"]),
        ({"reason": None}, 422, ["reason"]),
        ({"why": "the mirror was down"}, 422, ["why"]),
        ("reason=down", 400, None),
    ],
)
def test_a_retry_with_something_else_is_refused(body: Any, status: int, fields: list[str] | None) -> None:
    job = make_job("failed")

    response = ApiClient(Role.OPERATOR).post(f"{BUILD_JOBS}/{job.pk}/retry", body)

    assert_error(response, status, fields=fields)
    assert BuildJob.objects.count() == 1


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.CLAIMED, JobStatus.RUNNING])
def test_retry_of_an_active_job_conflicts(status: JobStatus) -> None:
    job = make_job(status)

    assert_error(ApiClient(Role.OPERATOR).post(f"{BUILD_JOBS}/{job.pk}/retry"), 409, code="conflict")
    assert BuildJob.objects.count() == 1


def test_retry_into_a_full_queue(settings: Settings) -> None:
    settings.MAX_QUEUE_SIZE = 1
    make_job()
    job = make_job("failed")

    response = ApiClient(Role.OPERATOR).post(f"{BUILD_JOBS}/{job.pk}/retry")

    assert_error(response, 429, code="queue_full")
    assert int(response["Retry-After"]) > 0


# ---- priority -------------------------------------------------------------------------------------------
def test_an_operator_moves_a_queued_job_and_says_why() -> None:
    job = make_job()

    answer = ApiClient(Role.OPERATOR).put(
        f"{BUILD_JOBS}/{job.pk}/priority", {"priority": "urgent", "reason": "release today"}
    )

    job.refresh_from_db()
    event = Event.objects.get(subject_id=str(job.pk))
    assert (answer.status_code, answer.json()["priority"], job.priority) == (200, "urgent", 30)
    assert (event.kind, event.reason, event.door) == ("priority_changed", "release today", "api")
    assert event.data == {"from": "normal", "to": "urgent"}


@pytest.mark.parametrize("status", [one for one in JobStatus if one != JobStatus.QUEUED])
def test_only_a_queued_job_has_a_priority_to_change(status: JobStatus) -> None:
    job = make_job(status)

    answer = ApiClient(Role.OPERATOR).put(
        f"{BUILD_JOBS}/{job.pk}/priority", {"priority": "low", "reason": "can wait"}
    )

    assert_error(answer, 409, code="conflict")
    assert BuildJob.objects.get().priority == 10


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["priority", "reason"]),
        ({"priority": "highest", "reason": "release"}, ["priority"]),
        ({"priority": 30, "reason": "release"}, ["priority"]),
        ({"priority": "low"}, ["reason"]),
        ({"priority": "low", "reason": None}, ["reason"]),
        ({"priority": "low", "reason": " \n"}, ["reason"]),
        ({"priority": "low", "reason": "x" * 501}, ["reason"]),
    ],
)
def test_a_priority_that_is_none_and_one_without_a_reason_are_refused(
    body: dict[str, Any], fields: list[str]
) -> None:
    job = make_job()

    answer = ApiClient(Role.OPERATOR).put(f"{BUILD_JOBS}/{job.pk}/priority", body)

    assert_error(answer, 422, code="invalid", fields=fields)
    assert BuildJob.objects.get().priority == 10


def test_submitters_do_not_reprioritise_even_their_own() -> None:
    api = ApiClient(Role.SUBMITTER)
    job = make_job(created_by=api.user)

    answer = api.put(f"{BUILD_JOBS}/{job.pk}/priority", {"priority": "urgent"})

    assert_error(answer, 403, code="forbidden")
    assert BuildJob.objects.get().priority == 10
