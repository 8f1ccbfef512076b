"""Queued jobs whose time is up fail with their reasons; what merely waits goes on waiting."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from buildboard.core.audit import BOARD
from buildboard.core.models import Event
from buildboard.core.permissions import Role
from jobs.execution import expire
from jobs.execution.dispatch import Dispatcher
from jobs.execution.expire import expire_jobs
from jobs.lifecycle import (
    claim_job,
    fail_queued_job,
    finish_attempt,
    release_attempt,
    start_attempt,
    submit_job,
)
from jobs.models import BuildJob, JobDependency
from jobs.outcomes import Outcome
from jobs.states import AttemptStatus, ErrorCategory, JobStatus
from servers.models import BuildServer
from servers.slots import fit_slots
from servers.states import ServerStatus
from tests.api import BUILD_JOBS, ApiClient
from tests.factories import make_followed, make_job, make_server
from tests.jobs.pages import page_of

pytestmark = pytest.mark.django_db
FIELDS = {"source_repository": "https://git.example/demo.git", "target_architecture": "x86_64"}


def make_full(name: str) -> BuildServer:
    """A server in service whose only slot is taken."""
    return make_followed(name, max_concurrent_builds=1, held=1)


def submit(**fields: object) -> BuildJob:
    return submit_job({**FIELDS, **fields}, actor=BOARD, user=None)


def pass_by(job: BuildJob, **times: timedelta) -> BuildJob:
    """As if these times of the job were so long ago."""
    BuildJob.objects.filter(pk=job.pk).update(
        **{name: timezone.now() - before for name, before in times.items()}
    )
    return BuildJob.objects.get(pk=job.pk)


def test_job_past_its_queue_timeout_fails_with_what_stood_in_the_way() -> None:
    make_full("alpha")
    job = submit(queue_timeout_seconds=600)
    waits, never = submit(queue_timeout_seconds=601), submit()
    assert job.queue_deadline_at is not None
    assert (job.queue_deadline_at - job.created_at).total_seconds() == pytest.approx(600, abs=5)
    pass_by(job, created_at=timedelta(minutes=10), queue_deadline_at=timedelta(0))
    pass_by(never, created_at=timedelta(days=400))

    assert expire_jobs() == 1

    job.refresh_from_db()
    told = (
        "It waited 10 min for a server, longer than its queue timeout allows. "
        "alpha is full: its only slot is taken."
    )
    assert (job.status, job.error_category, job.error_message) == ("failed", ErrorCategory.SYSTEM, told)
    event = Event.objects.filter(subject_id=str(job.pk)).latest("sequence")
    assert (event.kind, event.from_state, event.to_state, event.reason) == (
        "failed",
        "queued",
        "failed",
        told,
    )
    assert {one.status for one in BuildJob.objects.filter(pk__in=[waits.pk, never.pk])} == {"queued"}
    assert expire_jobs() == 0


def test_job_that_waited_too_long_says_its_reasons_on_its_page_and_in_the_api() -> None:
    make_full("alpha")
    BuildServer.objects.filter(pk=make_full("beta").pk).update(draining=True, draining_reason="New disks")
    job = submit(queue_timeout_seconds=600)
    pass_by(job, created_at=timedelta(minutes=10), queue_deadline_at=timedelta(0))

    expire_jobs()

    why = "It waited 10 min for a server, longer than its queue timeout allows."
    reasons = (
        "alpha is full: its only slot is taken. beta is draining: New disks; is full: its only slot is taken."
    )
    assert f"{why} {reasons}" in page_of(job).text
    answer = ApiClient(Role.VIEWER).get(f"{BUILD_JOBS}/{job.pk}").json()
    assert (answer["status"], answer["error_message"]) == ("failed", f"{why} {reasons}")


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"memory_percent": 99.0},
        {"free_storage_mib": 1},
        {"status": ServerStatus.OFFLINE},
        {"status": ServerStatus.UNKNOWN},
        {"status": ServerStatus.MAINTENANCE},
        {"enabled": False},
        {"draining": True},
        {"quarantined_since": timezone.now(), "quarantine_kind": "hand"},
        {"starts_refused_until": timezone.now() + timedelta(days=1)},
    ],
    ids=lambda state: " ".join(state) or "full",
)
def test_job_whose_server_is_busy_or_away_never_fails_for_it(
    state: dict[str, Any], settings: LazySettings
) -> None:
    settings.IMPOSSIBLE_SECONDS = 1
    BuildServer.objects.filter(pk=make_full("alpha").pk).update(**state)
    make_server("arm", architectures=["aarch64"])  # it could never take it, which does not count
    job = submit()
    pass_by(job, created_at=timedelta(days=400))
    dispatcher = Dispatcher()

    for _ in range(2):
        dispatcher.dispatch()
        assert BuildJob.objects.get(pk=job.pk).impossible_since is None
        assert expire_jobs() == 0

    pass_by(job, impossible_since=timedelta(days=400))  # as it was before the server was added
    assert expire_jobs() == 0
    assert BuildJob.objects.get(pk=job.pk).status == JobStatus.QUEUED


def test_nothing_due_costs_two_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    submit(queue_timeout_seconds=600)

    with django_assert_num_queries(2):
        assert expire_jobs() == 0


def test_what_holds_it_up_before_any_server_is_said() -> None:
    unmet, retried = (
        pass_by(submit(queue_timeout_seconds=1), queue_deadline_at=timedelta(0)) for _ in range(2)
    )
    JobDependency.objects.create(job=unmet, needs=make_job())
    BuildJob.objects.filter(pk=retried.pk).update(not_before=timezone.now() + timedelta(hours=1))

    assert expire_jobs() == 2

    messages = [BuildJob.objects.get(pk=job.pk).error_message for job in (unmet, retried)]
    assert messages[0].endswith("It needs another job that did not complete yet.")
    assert "Its next try is due at " in messages[1]


def test_impossible_job_fails_after_a_day_of_it_and_not_for_age_alone(settings: LazySettings) -> None:
    settings.IMPOSSIBLE_SECONDS = 1000
    make_full("alpha")
    job, other = submit(target_architecture="riscv64"), submit()
    for one in (job, other):
        pass_by(one, created_at=timedelta(days=9))
    dispatcher = Dispatcher()
    dispatcher.dispatch()
    assert expire_jobs() == 0
    since = BuildJob.objects.get(pk=job.pk).impossible_since
    assert since is not None
    assert BuildJob.objects.get(pk=other.pk).impossible_since is None

    dispatcher.dispatch()
    assert BuildJob.objects.get(pk=job.pk).impossible_since == since
    pass_by(job, impossible_since=timedelta(seconds=1000))
    assert expire_jobs() == 1

    job.refresh_from_db()
    assert (job.status, job.error_category) == ("failed", "system")
    assert job.error_message.startswith(
        "For 16 min there was no server that could ever take it. No build server can take it. alpha "
    )


@pytest.mark.parametrize("change", [{"architectures": ["riscv64"]}, {"name": "beta"}])
def test_server_that_fits_ends_the_impossible_though_it_is_away(
    change: dict[str, object], settings: LazySettings
) -> None:
    settings.IMPOSSIBLE_SECONDS = 1000
    server = make_server("alpha")
    wanted = (
        {"target_architecture": "riscv64"} if "architectures" in change else {"spec": {"server_id": "beta"}}
    )
    job = submit(**wanted)
    dispatcher = Dispatcher()
    dispatcher.dispatch()
    pass_by(job, impossible_since=timedelta(seconds=999))

    BuildServer.objects.filter(pk=server.pk).update(enabled=False, **change)
    pass_by(job, impossible_since=timedelta(seconds=1001))
    assert expire_jobs() == 0  # it is judged anew
    dispatcher.dispatch()
    assert BuildJob.objects.get(pk=job.pk).impossible_since is None

    BuildServer.objects.filter(pk=server.pk).update(name="alpha", architectures=["x86_64"])
    dispatcher.dispatch()
    since = BuildJob.objects.get(pk=job.pk).impossible_since
    assert since is not None
    assert timezone.now() - since < timedelta(seconds=100)  # counted anew


def test_every_job_of_an_impossible_class_is_counted_from_the_first_look_at_it() -> None:
    make_full("alpha")
    jobs = [submit(target_architecture="riscv64") for _ in range(7)]  # more than keep their refusals as rows

    Dispatcher().dispatch()

    since = BuildJob.objects.filter(pk__in=[job.pk for job in jobs], impossible_since__isnull=False)
    assert since.count() == 7


def test_requeued_job_has_the_whole_time_again_and_a_released_one_what_is_left() -> None:
    server = make_server()
    fit_slots(server)
    job = submit(queue_timeout_seconds=600, max_attempts=5)
    deadline = timezone.now() + timedelta(seconds=30)
    BuildJob.objects.filter(pk=job.pk).update(queue_deadline_at=deadline, impossible_since=timezone.now())

    attempt = claim_job(job.pk, server=server)
    release_attempt(attempt, reason="Nothing was sent.")
    job.refresh_from_db()
    assert (job.status, job.queue_deadline_at, job.impossible_since) == ("queued", deadline, None)

    attempt = claim_job(job.pk, server=server)
    start_attempt(attempt)
    again = timezone.now() + timedelta(seconds=5)
    finish_attempt(attempt, outcome=Outcome(AttemptStatus.LOST), requeue_at=again)
    job.refresh_from_db()
    assert (job.status, job.queue_deadline_at) == ("queued", again + timedelta(seconds=600))


def test_job_that_is_claimed_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    job = pass_by(submit(queue_timeout_seconds=1), queue_deadline_at=timedelta(0))

    def claim_then_fail(job_id: uuid.UUID, *, category: ErrorCategory, message: str) -> None:
        BuildJob.objects.filter(pk=job_id).update(status=JobStatus.CLAIMED)
        fail_queued_job(job_id, category=category, message=message)

    monkeypatch.setattr(expire, "fail_queued_job", claim_then_fail)

    assert expire_jobs() == 0
    assert BuildJob.objects.get(pk=job.pk).status == JobStatus.CLAIMED


def test_a_pass_ends_when_its_time_is_up_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expire, "MOST_SECONDS", 0.0)
    for _ in range(3):
        pass_by(submit(queue_timeout_seconds=1), queue_deadline_at=timedelta(0))

    assert [expire_jobs() for _ in range(4)] == [1, 1, 1, 0]
