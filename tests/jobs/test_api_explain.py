"""Why a job waits, over the API: every server is listed with its verdict and its reasons."""

import uuid
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from buildboard.core.instants import utc_text
from buildboard.core.permissions import Role
from jobs.execution.dispatch import Dispatcher
from jobs.execution.fleet_pass import KEPT_OF_A_CLASS
from jobs.models import Attempt, BuildJob, Refusal
from jobs.queue.explain import explain_job
from servers.models import BuildServer
from tests.api import BUILD_JOBS, ApiClient, assert_error, submission, verdict_shape
from tests.factories import make_attempt, make_followed, make_job

pytestmark = pytest.mark.django_db


def test_a_queued_job_is_explained() -> None:
    full = make_followed("full", max_concurrent_builds=1, held=1)
    arm = make_followed("arm", architectures=["aarch64"], enabled=False)
    job = make_job()

    answer = ApiClient(Role.VIEWER).get(f"{BUILD_JOBS}/{job.pk}/explain")

    assert answer.status_code == 200
    shown = answer.json()
    assert uuid.UUID(shown["job_id"]) == job.pk
    at = shown.pop("estimated_start_at")
    assert utc_text(job.created_at) < at
    assert shown == {
        "job_id": str(job.pk),
        "status": "queued",
        "summary": "full, the only build server that fits, is busy. It is first in the queue and should start "
        "in about 5 minutes.",
        "kind": "busy",
        "would_start_if": "the slot of full comes free",
        "estimate": None,
        "position": 1,
        "waited": "",
        "history": [],
        "servers": [
            verdict_shape(full, "busy", ("full", "busy", "Is full: its only slot is taken.")),
            verdict_shape(
                arm,
                "refused",
                ("architecture", "impossible", "Builds aarch64, not x86_64."),
                ("disabled", "offline", "Is switched off."),
            ),
        ],
    }


def test_what_a_job_waited_for_is_told_as_data_and_in_words() -> None:
    north = make_followed("north")
    began = timezone.now() - timedelta(hours=1)
    half, end = began + timedelta(minutes=9), began + timedelta(minutes=14)
    job = make_job("completed", created_at=began)
    attempt = make_attempt(job, "completed", server=north)
    Attempt.objects.filter(pk=attempt.pk).update(created_at=end)
    Refusal.objects.create(job=job, server=north, condition="full", since=began, until=half)
    Refusal.objects.create(job=job, server=north, condition="draining", since=half, until=end)

    shown = ApiClient(Role.VIEWER).get(f"{BUILD_JOBS}/{job.pk}/explain").json()

    assert shown["waited"] == "waited 14 min: 9 full, 5 draining"
    assert shown["history"] == [
        {
            "since": utc_text(began),
            "until": utc_text(half),
            "seconds": 540.0,
            "reason": "full",
            "kind": "busy",
            "servers": 1,
        },
        {
            "since": utc_text(half),
            "until": utc_text(end),
            "seconds": 300.0,
            "reason": "draining",
            "kind": "offline",
            "servers": 1,
        },
    ]


def test_each_refusal_says_since_when_of_the_first_and_of_the_sixth_of_a_class() -> None:
    api, now = ApiClient(Role.SUBMITTER), timezone.now()
    make_followed("full", max_concurrent_builds=1, held=1)
    make_followed("arm", architectures=["aarch64"])

    def since(job: str) -> dict[tuple[str, str], str | None]:
        servers = api.get(f"{BUILD_JOBS}/{job}/explain").json()["servers"]
        return {
            (one["server"], each["condition"]): each["since"] for one in servers for each in one["refusals"]
        }

    with time_machine.travel(now - timedelta(minutes=14), tick=False) as clock:
        jobs = []
        for _ in range(KEPT_OF_A_CLASS + 1):
            jobs.append(api.post(BUILD_JOBS, submission()).json()["id"])
            clock.shift(timedelta(seconds=1))
        Dispatcher().dispatch()
        looked_at = utc_text(timezone.now())
        clock.move_to(now)
        BuildServer.objects.filter(name="arm").update(enabled=False)  # no look has kept that yet
        found = [since(job) for job in (jobs[0], jobs[-1])]

    told = {("full", "full"): looked_at, ("arm", "architecture"): looked_at, ("arm", "disabled"): None}
    assert set(Refusal.objects.values_list("job", flat=True)) == {uuid.UUID(one) for one in jobs[:-1]}
    assert found == [told, told]


def test_status_gives_the_same_reasons_and_place() -> None:
    make_followed("full", max_concurrent_builds=1, held=1)
    job = make_job()
    found = explain_job(BuildJob.objects.get(pk=job.pk))

    info = ApiClient(Role.VIEWER).get(f"{BUILD_JOBS}/{job.pk}/status").json()["queue_info"]

    assert info == {
        "total_queued": 1,
        "estimated_wait_seconds": found.wait.seconds if found.wait else None,
        "estimated_wait_range_seconds": None,
        "position": 1,
        "reasons": ["full is full: its only slot is taken."],
    }
    assert info["reasons"] == found.reasons


def test_a_running_job_says_what_it_does() -> None:
    make_followed("north")
    job = make_job("completed")

    shown = ApiClient(Role.VIEWER).get(f"{BUILD_JOBS}/{job.pk}/explain").json()

    assert (shown["status"], shown["would_start_if"], shown["estimated_start_at"], shown["position"]) == (
        "completed",
        None,
        None,
        None,
    )
    assert shown["summary"].startswith("It completed at ")
    assert [one["verdict"] for one in shown["servers"]] == ["eligible"]


def test_a_job_that_may_not_be_seen_is_not_explained() -> None:
    assert_error(ApiClient(Role.VIEWER).get(f"{BUILD_JOBS}/{uuid.uuid4()}/explain"), 404, code="not_found")


@pytest.mark.parametrize("word", ["nowhere", str(uuid.UUID(int=7))])
def test_a_server_that_does_not_exist_is_refused_at_submit(word: str) -> None:
    make_followed("north")

    answer = ApiClient(Role.SUBMITTER).post(BUILD_JOBS, submission(server_id=word))

    assert_error(answer, 422, code="invalid")
    assert [error["field"] for error in answer.json()["errors"]] == ["server_id"]


def test_a_server_may_be_named_by_id_or_name_and_is_waited_for() -> None:
    north = make_followed("north", max_concurrent_builds=1, held=1)
    make_followed("idle")
    api = ApiClient(Role.SUBMITTER)

    for word in ("north", str(north.pk)):
        job = api.post(BUILD_JOBS, submission(server_id=word)).json()
        shown = api.get(f"{BUILD_JOBS}/{job['id']}/explain").json()

        assert [(one["server"], one["verdict"]) for one in shown["servers"]] == [
            ("north", "busy"),
            ("idle", "refused"),
        ]
        assert shown["would_start_if"].startswith("the slot of north comes free")
