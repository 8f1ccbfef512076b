"""Every state times every verb, from the table; leases; what each verb writes."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.models import Event
from jobs import lifecycle
from jobs.errors import IllegalTransition, JobError, NoFreeSlot, QueueFull, StaleLease
from jobs.models import Attempt, BuildJob
from jobs.outcomes import Outcome
from jobs.states import (
    ATTEMPT_ACTIVE,
    ATTEMPT_TRANSITIONS,
    JOB_TERMINAL,
    AttemptStatus,
    ErrorCategory,
    JobStatus,
    Phase,
    Priority,
)
from servers.models import Slot
from tests.factories import JOB_OF_ATTEMPT, make_attempt, make_job, make_server, make_user

pytestmark = pytest.mark.django_db(transaction=True)
ANN = Actor("ann", "api")
_ATTEMPT_OF = {JobStatus.CLAIMED: AttemptStatus.CLAIMED, JobStatus.RUNNING: AttemptStatus.RUNNING}


def make_with_attempt(status: JobStatus) -> BuildJob:
    job = make_job(status)
    if status in _ATTEMPT_OF:
        make_attempt(job, _ATTEMPT_OF[status], server=make_server())
    return job


def test_submit_makes_a_queued_job_with_its_event() -> None:
    user = make_user("submitter", username="ann")

    job = lifecycle.submit_job(
        {"source_repository": "https://git.example/a.git", "target_architecture": "x86_64"},
        actor=ANN,
        user=user,
    )

    assert (job.status, job.created_by, job.attempts) == (JobStatus.QUEUED, user, 0)
    assert list(Event.objects.values_list("subject_id", "kind", "to_state", "actor", "door")) == [
        (str(job.pk), "submitted", "queued", "ann", "api")
    ]


def test_submit_is_refused_when_the_queue_is_full(settings: object) -> None:
    settings.MAX_QUEUE_SIZE = 1  # type: ignore[attr-defined]  # pytest-django's settings
    make_job()

    with pytest.raises(QueueFull):
        lifecycle.submit_job({"source_repository": "x", "target_architecture": "y"}, actor=ANN, user=None)

    assert BuildJob.objects.count() == 1


CANCELLED_FROM = {
    JobStatus.QUEUED: (JobStatus.CANCELLED, True),
    JobStatus.CLAIMED: (JobStatus.CLAIMED, True),
    JobStatus.RUNNING: (JobStatus.RUNNING, True),
}


@pytest.mark.parametrize("status", list(JobStatus))
def test_cancel_of_every_state(status: JobStatus) -> None:
    job = make_with_attempt(status)

    if status in JOB_TERMINAL:
        with pytest.raises(IllegalTransition):
            lifecycle.request_cancel(job, actor=ANN)
        wanted = (status, False)
    else:
        lifecycle.request_cancel(job, actor=ANN)
        lifecycle.request_cancel(job, actor=ANN) if status != JobStatus.QUEUED else None
        wanted = CANCELLED_FROM[status]

    job.refresh_from_db()
    assert (job.status, job.cancel_requested_at is not None) == wanted
    assert Event.objects.filter(kind__startswith="cancel").count() == (0 if status in JOB_TERMINAL else 1)


@pytest.mark.parametrize("status", list(JobStatus))
def test_retry_of_every_state(status: JobStatus) -> None:
    job = make_job(status, labels={"a": "b"}, spec={"timeout_seconds": 5}, priority=Priority.HIGH)

    if status not in JOB_TERMINAL:
        with pytest.raises(IllegalTransition):
            lifecycle.retry_job(job, actor=ANN, user=None)
        assert BuildJob.objects.count() == 1
        return
    retry = lifecycle.retry_job(job, actor=ANN, user=None)

    assert (retry.status, retry.retry_of, retry.labels, retry.spec, retry.priority) == (
        JobStatus.QUEUED,
        job,
        {"a": "b"},
        {"timeout_seconds": 5},
        Priority.HIGH,
    )


@pytest.mark.parametrize("status", list(JobStatus))
def test_priority_of_every_state(status: JobStatus) -> None:
    job = make_job(status)

    if status == JobStatus.QUEUED:
        lifecycle.change_priority(job, priority=Priority.URGENT, actor=ANN, reason="release")
    else:
        with pytest.raises(IllegalTransition):
            lifecycle.change_priority(job, priority=Priority.URGENT, actor=ANN, reason="release")

    job.refresh_from_db()
    assert job.priority == (Priority.URGENT if status == JobStatus.QUEUED else Priority.NORMAL)


@pytest.mark.parametrize("status", list(JobStatus))
def test_claim_of_every_state(status: JobStatus) -> None:
    server = make_server(max_concurrent_builds=1)
    job = make_with_attempt(status)

    if status != JobStatus.QUEUED:
        with pytest.raises(IllegalTransition):
            lifecycle.claim_job(job.pk, server=server)
        assert not Slot.objects.filter(server=server, holder__isnull=False).exists()
        return
    attempt = lifecycle.claim_job(job.pk, server=server)

    job.refresh_from_db()
    assert (job.status, job.server, job.attempts) == (JobStatus.CLAIMED, server, 1)
    assert (attempt.number, attempt.status, attempt.phase) == (1, AttemptStatus.CLAIMED, Phase.CONNECTING)
    assert list(Slot.objects.filter(server=server).values_list("holder", flat=True)) == [attempt.pk]


def test_claim_on_a_full_server_changes_nothing() -> None:
    server = make_server(max_concurrent_builds=1)
    lifecycle.claim_job(make_job().pk, server=server)
    job = make_job()

    with pytest.raises(NoFreeSlot):
        lifecycle.claim_job(job.pk, server=server)

    job.refresh_from_db()
    assert (job.status, job.attempts, job.server) == (JobStatus.QUEUED, 0, None)
    assert Attempt.objects.count() == 1


def test_claim_of_a_job_whose_cancel_was_asked_for_is_refused() -> None:
    job = make_job(cancel_requested_at=timezone.now())

    with pytest.raises(IllegalTransition):
        lifecycle.claim_job(job.pk, server=make_server())


def fail_it(attempt: Attempt) -> None:
    outcome = Outcome(AttemptStatus.FAILED, 2, ErrorCategory.EXIT_CODE, "no")
    lifecycle.finish_attempt(attempt, outcome=outcome)


def finish_with(status: AttemptStatus) -> Callable[[Attempt], None]:
    return lambda attempt: lifecycle.finish_attempt(attempt, outcome=Outcome(status))


VERBS: dict[str, tuple[Callable[[Attempt], None], AttemptStatus]] = {
    "start": (lifecycle.start_attempt, AttemptStatus.RUNNING),
    "release": (lambda attempt: lifecycle.release_attempt(attempt, reason="away"), AttemptStatus.RELEASED),
    "complete": (finish_with(AttemptStatus.COMPLETED), AttemptStatus.COMPLETED),
    "fail": (finish_with(AttemptStatus.FAILED), AttemptStatus.FAILED),
    "cancel": (finish_with(AttemptStatus.CANCELLED), AttemptStatus.CANCELLED),
    "lose": (finish_with(AttemptStatus.LOST), AttemptStatus.LOST),
}
JOB_AFTER = {
    AttemptStatus.RUNNING: JobStatus.RUNNING,
    AttemptStatus.RELEASED: JobStatus.QUEUED,
    AttemptStatus.COMPLETED: JobStatus.COMPLETED,
    AttemptStatus.FAILED: JobStatus.FAILED,
    AttemptStatus.CANCELLED: JobStatus.CANCELLED,
    AttemptStatus.LOST: JobStatus.FAILED,
}


@pytest.mark.parametrize("found", list(AttemptStatus))
@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_of_every_attempt_state(found: AttemptStatus, verb: str) -> None:
    act, wanted = VERBS[verb]
    job = make_job(JOB_OF_ATTEMPT[found], attempts=1)
    attempt = make_attempt(job, found, server=make_server())
    before = (job.status, Event.objects.count())

    if found == wanted:
        act(attempt)  # the same again by the same holder
        changed = False
    elif wanted in ATTEMPT_TRANSITIONS[found]:
        act(attempt)
        changed = True
    else:
        with pytest.raises(IllegalTransition) as refused:
            act(attempt)
        assert (refused.value.found, refused.value.wanted) == (found, wanted)
        changed = False

    attempt.refresh_from_db()
    job.refresh_from_db()
    if changed:
        assert (attempt.status, job.status) == (wanted, JOB_AFTER[wanted])
    else:
        assert attempt.status == found
        assert (job.status, Event.objects.count()) == before


@pytest.mark.parametrize("verb", list(VERBS))
@pytest.mark.parametrize("found", sorted(ATTEMPT_ACTIVE))
def test_every_verb_with_a_stale_lease_changes_nothing(found: AttemptStatus, verb: str) -> None:
    attempt = make_attempt(status=found)
    before = Attempt.objects.filter(pk=attempt.pk).values().get()
    attempt.lease_id = uuid.uuid4()

    with pytest.raises(StaleLease):
        VERBS[verb][0](attempt)

    assert Attempt.objects.filter(pk=attempt.pk).values().get() == before
    assert Event.objects.count() == 0


def test_set_phase_needs_a_running_attempt_of_this_lease() -> None:
    attempt = make_attempt(status=AttemptStatus.RUNNING, phase=Phase.CHECKOUT)

    lifecycle.set_phase(attempt, phase=Phase.BUILDING, resolved_commit="a" * 40)

    attempt.refresh_from_db()
    assert (attempt.phase, attempt.resolved_commit) == ("building", "a" * 40)
    assert (attempt.job.resolved_commit, attempt.job.progress) == ("a" * 40, 10)
    attempt.lease_id = uuid.uuid4()
    with pytest.raises(StaleLease):
        lifecycle.set_phase(attempt, phase=Phase.COLLECTING)


def test_finish_copies_the_outcome_frees_the_slot_and_says_so() -> None:
    server = make_server(max_concurrent_builds=1)
    job = make_job()
    attempt = lifecycle.claim_job(job.pk, server=server)
    lifecycle.start_attempt(attempt)

    fail_it(attempt)

    job.refresh_from_db()
    assert (job.status, job.exit_code, job.error_category, job.error_message, job.progress) == (
        JobStatus.FAILED,
        2,
        ErrorCategory.EXIT_CODE,
        "no",
        100,
    )
    assert job.result == {"exitCode": 2, "output": "", "error": "no", "metrics": {}}
    assert not Slot.objects.filter(holder__isnull=False).exists()
    assert list(Event.objects.values_list("kind", "from_state", "to_state")) == [
        ("claimed", "queued", "claimed"),
        ("started", "claimed", "running"),
        ("failed", "running", "failed"),
    ]


def test_requeued_job_keeps_its_attempts_and_waits() -> None:
    server = make_server(max_concurrent_builds=1)
    job = make_job()
    attempt = lifecycle.claim_job(job.pk, server=server)
    lifecycle.start_attempt(attempt)
    later = timezone.now() + timedelta(seconds=30)

    lifecycle.finish_attempt(
        attempt, outcome=Outcome(AttemptStatus.LOST, category=ErrorCategory.LOST), requeue_at=later
    )

    job.refresh_from_db()
    assert (job.status, job.attempts, job.not_before, job.completed_at) == (JobStatus.QUEUED, 1, later, None)
    assert (job.server, job.server_name, job.started_at) == (None, "", None)
    assert list(BuildJob.objects.ready()) == []
    BuildJob.objects.update(not_before=timezone.now())
    assert lifecycle.claim_job(job.pk, server=server).number == 2


def test_released_attempt_does_not_count() -> None:
    job = make_job()
    attempt = lifecycle.claim_job(job.pk, server=make_server(max_concurrent_builds=1))

    lifecycle.release_attempt(attempt, reason="The disk is full.")

    job.refresh_from_db()
    assert (job.status, job.attempts, job.server, job.server_name) == (JobStatus.QUEUED, 0, None, "")
    assert not Slot.objects.filter(holder__isnull=False).exists()


def test_job_that_is_released_after_a_wish_to_cancel_is_cancelled() -> None:
    job = make_job()
    attempt = lifecycle.claim_job(job.pk, server=make_server(max_concurrent_builds=1))
    lifecycle.request_cancel(job, actor=ANN)  # while its start is under way

    lifecycle.release_attempt(attempt, reason="The disk is full.", not_before=timezone.now())

    job.refresh_from_db()
    assert (job.status, job.attempts, job.server, job.not_before) == (JobStatus.CANCELLED, 0, None, None)
    assert (job.error_category, job.completed_at is not None) == (ErrorCategory.CANCELLED, True)
    event = Event.objects.latest("sequence")
    assert (event.kind, event.to_state, event.reason) == ("cancelled", "cancelled", job.error_message)
    ended = Attempt.objects.get()
    assert (ended.status, ended.error_message) == (AttemptStatus.RELEASED, "The disk is full.")
    assert not Slot.objects.filter(holder__isnull=False).exists()


def test_cancel_that_was_wished_stops_the_automatic_retry() -> None:
    attempt = make_attempt(status=AttemptStatus.RUNNING)
    lifecycle.request_cancel(attempt.job, actor=ANN)

    outcome = Outcome(AttemptStatus.FAILED, 1, ErrorCategory.SYSTEM, "disk")
    lifecycle.finish_attempt(attempt, outcome=outcome, requeue_at=timezone.now())

    assert BuildJob.objects.get().status == JobStatus.FAILED


@pytest.mark.parametrize("status", list(JobStatus))
def test_fail_queued_of_every_state(status: JobStatus) -> None:
    job = make_job(status)

    if status == JobStatus.QUEUED:
        lifecycle.fail_queued_job(job.pk, category=ErrorCategory.SYSTEM, message="never")
        job.refresh_from_db()
        assert (job.status, job.error_message) == (JobStatus.FAILED, "never")
    else:
        with pytest.raises(JobError):
            lifecycle.fail_queued_job(job.pk, category=ErrorCategory.SYSTEM, message="never")
