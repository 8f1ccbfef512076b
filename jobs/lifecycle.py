"""The one writer of the status of jobs and attempts: every transition, guarded, with its event and its bell.

A transition filters on the id and the state that was found legal, updates, and looks at the row count. The
runner's calls carry the attempt's lease id; a stale one raises StaleLease and changes nothing. It decides
nothing about which server, which outcome or whether to retry: its callers pass that in.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from buildboard.core.audit import BOARD, Actor
from buildboard.core.doorbell import ring_on_commit
from buildboard.core.enqueue import enqueue
from buildboard.core.exclusive import hold_alone
from buildboard.core.models import User
from jobs.errors import IllegalTransition, NoFreeSlot, QueueFull, StaleLease
from jobs.logs import seal
from jobs.models import SUBMITTED_COLUMNS, Attempt, BuildJob
from jobs.outcomes import Outcome
from jobs.states import JOB_TERMINAL, AttemptStatus, ErrorCategory, JobStatus, Phase, Priority
from jobs.transitions import held, move_attempt, move_job, record, ring_about, status_of
from servers.models import BuildServer
from servers.quarantine import free_canary, take_canary
from servers.slots import free_slot, take_slot

NEVER_STARTED = "Cancelled before it started"
_AT_ONCE = 100  # more submissions than are ever under way at one time
_PROGRESS = {Phase.CONNECTING: 0, Phase.CHECKOUT: 5, Phase.BUILDING: 10, Phase.COLLECTING: 95}
_JOB_AFTER = {
    AttemptStatus.COMPLETED: JobStatus.COMPLETED,
    AttemptStatus.FAILED: JobStatus.FAILED,
    AttemptStatus.LOST: JobStatus.FAILED,
    AttemptStatus.CANCELLED: JobStatus.CANCELLED,
}


# ---- what people ask for --------------------------------------------------------------------------------


def submit_job(fields: Mapping[str, Any], *, actor: Actor, user: User | None, reason: str = "") -> BuildJob:
    """Make a queued job of validated model fields; `reason`: why, unless somebody just wanted it.

    Raises QueueFull when BUILDBOARD_MAX_QUEUE_SIZE jobs wait already.
    """
    with transaction.atomic():
        _refuse_over_queue_size()
        deadline = _queue_deadline(fields.get("queue_timeout_seconds"), since=timezone.now())
        job = BuildJob.objects.create(
            **fields, queue_deadline_at=deadline, created_by=user, status=JobStatus.QUEUED
        )
        record(job.pk, "submitted", actor=actor, to=JobStatus.QUEUED, reason=reason)
        ring_on_commit("jobs")
        ring_on_commit("queue")
    return job


def _refuse_over_queue_size() -> None:
    """Raises QueueFull. Near the limit one submission at a time is let in: several at once would all count the same."""
    for is_alone in (False, True):
        if is_alone:
            hold_alone("queue_size")
        queued = BuildJob.objects.queued().count()
        if queued >= settings.MAX_QUEUE_SIZE:
            raise QueueFull(settings.MAX_QUEUE_SIZE)
        if queued + _AT_ONCE < settings.MAX_QUEUE_SIZE:
            return


def _queue_deadline(timeout_seconds: int | None, *, since: datetime) -> datetime | None:
    return since + timedelta(seconds=timeout_seconds) if timeout_seconds else None


def retry_job(
    job: BuildJob, *, actor: Actor, user: User | None, reason: str = "", excused: bool = False
) -> BuildJob:
    """A new job with the same submission; `excused`: the old one failed by its server's fault.

    Raises IllegalTransition while the old one is not finished, and QueueFull.
    """
    if job.status not in JOB_TERMINAL:
        raise IllegalTransition(f"Build job {job.pk}", found=job.status, wanted="retried; cancel it first")
    copied = {name: getattr(job, name) for name in _COPIED}
    fields = {**copied, "retry_of": job, "excused_attempts": int(excused)}
    with transaction.atomic():
        retry = submit_job(fields, actor=actor, user=user, reason=reason)
        record(job.pk, "retried", actor=actor, reason=reason, data={"retry": str(retry.pk)})
    return retry


_COPIED = (*SUBMITTED_COLUMNS, "spec", "secret_spec", "priority", "requested_server", "needs_key")


def request_cancel(job: BuildJob, *, actor: Actor, reason: str = "") -> BuildJob:
    """Cancel a queued job at once; note the wish on an active one until its server confirms.

    Asked again meanwhile nothing changes. Raises IllegalTransition for a finished job.
    """
    while True:
        with transaction.atomic():
            found = BuildJob.objects.values_list("status", flat=True).get(pk=job.pk)
            if found in JOB_TERMINAL:
                raise IllegalTransition(f"Build job {job.pk}", found=found, wanted=JobStatus.CANCELLED)
            now = timezone.now()
            wish = {"cancel_requested_at": now, "cancel_requested_by": actor.name, "updated_at": now}
            if found == JobStatus.QUEUED:
                done = BuildJob.objects.filter(pk=job.pk, status=found).update(
                    status=JobStatus.CANCELLED,
                    completed_at=now,
                    error_category=ErrorCategory.CANCELLED,
                    **wish,
                )
                kind, target = "cancelled", JobStatus.CANCELLED
            else:
                active = BuildJob.objects.filter(pk=job.pk, status=found)
                done = active.filter(cancel_requested_at__isnull=True).update(**wish)
                if not done and active.exists():
                    break  # wished already
                kind, target = "cancel_requested", None
            if done:
                record(job.pk, kind, actor=actor, found=found, to=target, reason=reason)
                ring_about(job.pk)
                break
    job.refresh_from_db()
    return job


def change_priority(
    job: BuildJob, *, priority: Priority, actor: Actor, reason: str, passed: dict[str, Any] | None = None
) -> BuildJob:
    """Raise or lower a queued job; its event says whom it `passed`. Raises IllegalTransition once it waits no more."""
    with transaction.atomic():
        before = Priority(BuildJob.objects.values_list("priority", flat=True).get(pk=job.pk))
        if not BuildJob.objects.filter(pk=job.pk, status=JobStatus.QUEUED).update(
            priority=priority, updated_at=timezone.now()
        ):
            raise IllegalTransition(f"Build job {job.pk}", found=status_of(job.pk), wanted="reprioritised")
        record(
            job.pk,
            "priority_changed",
            actor=actor,
            reason=reason,
            data={"from": before.label, "to": priority.label, **(passed or {})},
        )
        ring_on_commit("jobs")
        ring_on_commit("queue")
    job.refresh_from_db()
    return job


# ---- what the board does --------------------------------------------------------------------------------


def claim_job(job_id: uuid.UUID, *, server: BuildServer, why: str = "") -> Attempt:
    """Take a slot of the server and mint an attempt with its lease, in one transaction; `why` it is that one.

    Raises IllegalTransition when another was faster or a cancel came, NoFreeSlot when the server is full, or on trial
    after a quarantine and has its one build.
    """
    attempt_id = uuid.uuid4()
    with transaction.atomic():
        now = timezone.now()
        if not BuildJob.objects.filter(
            pk=job_id, status=JobStatus.QUEUED, cancel_requested_at__isnull=True
        ).update(
            status=JobStatus.CLAIMED,
            server=server,
            server_name=server.name,
            attempts=F("attempts") + 1,
            not_before=None,
            impossible_since=None,
            updated_at=now,
        ):
            raise IllegalTransition(f"Build job {job_id}", found=status_of(job_id), wanted=JobStatus.CLAIMED)
        if take_slot(server, holder=attempt_id) is None:
            raise NoFreeSlot(f"{server.name} has no free slot.")
        if not take_canary(server, holder=attempt_id):
            raise NoFreeSlot(f"{server.name} tries one build first.")
        last = Attempt.objects.filter(job_id=job_id).aggregate(last=Max("number"))["last"] or 0
        attempt = Attempt.objects.create(
            id=attempt_id, job_id=job_id, number=last + 1, server=server, server_name=server.name
        )
        record(
            job_id,
            "claimed",
            found=JobStatus.QUEUED,
            to=JobStatus.CLAIMED,
            reason=why,
            data={"attempt": attempt.number, "server": server.name},
        )
        ring_on_commit(f"server:{server.pk}")
        ring_on_commit("jobs")
    return attempt


def mark_submitted(attempt: Attempt, *, masked_values: str = "") -> None:
    """Note that the start is about to be sent: from now on the build may run. Raises StaleLease.

    `masked_values` are the encrypted secrets that go with it.
    """
    now = timezone.now()
    if (
        not held(attempt)
        .filter(status=AttemptStatus.CLAIMED)
        .update(submitted_at=now, masked_values=masked_values)
    ):
        raise StaleLease(f"Attempt {attempt.pk} is not held with this lease.")


def start_attempt(attempt: Attempt) -> None:
    """Claimed to running, for the attempt and its job; again by the same holder: nothing changes."""
    with transaction.atomic():
        now = timezone.now()
        if not move_attempt(attempt, to=AttemptStatus.RUNNING, phase=Phase.CHECKOUT, started_at=now):
            return
        move_job(
            attempt.job_id,
            to=JobStatus.RUNNING,
            started_at=now,
            completed_at=None,
            progress=_PROGRESS[Phase.CHECKOUT],
        )
        record(
            attempt.job_id,
            "started",
            found=JobStatus.CLAIMED,
            to=JobStatus.RUNNING,
            data={"attempt": attempt.number, "server": attempt.server_name},
        )
        ring_about(attempt.job_id, attempt)


def set_phase(attempt: Attempt, *, phase: Phase, resolved_commit: str = "") -> None:
    """Note the phase (and commit) of a running attempt; the same again changes nothing. Raises StaleLease."""
    fields: dict[str, Any] = {"phase": phase}
    if resolved_commit:
        fields["resolved_commit"] = resolved_commit
    with transaction.atomic():
        if not held(attempt).filter(status=AttemptStatus.RUNNING).update(**fields):
            raise StaleLease(f"Attempt {attempt.pk} is not running with this lease.")
        BuildJob.objects.filter(pk=attempt.job_id, status=JobStatus.RUNNING).update(
            progress=_PROGRESS[phase],
            updated_at=timezone.now(),
            **({"resolved_commit": resolved_commit} if resolved_commit else {}),
        )
        record(attempt.job_id, "phase", data={"attempt": attempt.number, "phase": str(phase)})
        ring_about(attempt.job_id, attempt)


def finish_attempt(attempt: Attempt, *, outcome: Outcome, requeue_at: datetime | None = None) -> None:
    """End an attempt and free its slot; its job ends with it, or is queued again from `requeue_at` on.

    The same call again by the same holder changes nothing. Raises StaleLease for another holder and
    IllegalTransition when it had ended otherwise.
    """
    with transaction.atomic():
        ended: dict[str, Any] = {
            "completed_at": timezone.now(),
            "exit_code": outcome.exit_code,
            "error_category": outcome.category or "",
            "error_message": outcome.message,
        }
        if not move_attempt(attempt, to=outcome.status, **ended, **outcome.of_attempt()):
            return
        free_slot(attempt.pk)
        again = requeue_at is not None and _may_run_again(attempt, outcome=outcome)
        target = JobStatus.QUEUED if again else _JOB_AFTER[outcome.status]
        if again:
            waiting = _waiting(attempt.job_id, not_before=requeue_at, excused=outcome.excuse is not None)
            found = move_job(attempt.job_id, to=target, **waiting)
        else:
            found = move_job(attempt.job_id, to=target, result=outcome.as_result(), progress=100, **ended)
        record(
            attempt.job_id,
            "requeued" if again else str(target),
            found=found,
            to=target,
            reason=outcome.message_of_requeue() if again else outcome.message,
            data={"attempt": attempt.number, **outcome.as_data()},
        )
        _ask_to_seal(attempt)
        _ask_about_server(attempt, outcome=outcome)
        ring_about(attempt.job_id, attempt)
        ring_on_commit("queue")


def _waiting(job_id: uuid.UUID, *, not_before: datetime | None, excused: bool) -> dict[str, Any]:
    """The columns of a job that runs no more and waits again, as long as it may from then on."""
    timeout = BuildJob.objects.values_list("queue_timeout_seconds", flat=True).get(pk=job_id)
    deadline = _queue_deadline(timeout, since=not_before or timezone.now())
    again: dict[str, Any] = {"server": None, "server_name": "", "started_at": None, "progress": 0}
    again |= {"not_before": not_before, "queue_deadline_at": deadline}
    return {**again, "excused_attempts": F("excused_attempts") + 1} if excused else again


def _ask_about_server(attempt: Attempt, *, outcome: Outcome) -> None:
    """A failure may be its server's fault, and the end of a canary build tells how its server is.

    What passes where it is tried again may tell of the server on which it failed.
    """
    if attempt.server is None:
        return
    is_again = attempt.number > 1 or attempt.job.retry_of_id is not None
    if outcome.failed or is_again or attempt.server.quarantined_since is not None:
        enqueue("jobs.tasks.judge_server", attempt.pk)


def _ask_to_seal(attempt: Attempt) -> None:
    """A short log waits for the sweep, which has all that ended since sealed in one task."""
    if seal.is_long(attempt):
        enqueue("jobs.tasks.seal_log", attempt.pk)


def _may_run_again(attempt: Attempt, *, outcome: Outcome) -> bool:
    return outcome.status != AttemptStatus.CANCELLED and not _is_cancel_wished(attempt.job_id)


def _is_cancel_wished(job_id: uuid.UUID) -> bool:
    """Whether somebody asked for the end; until the caller's transaction ends nobody asks for it behind its back."""
    row = BuildJob.objects.select_for_update(of=("self",), no_key=True).order_by().filter(pk=job_id)
    return row.values_list("cancel_requested_at", flat=True).get() is not None


def release_attempt(attempt: Attempt, *, reason: str, not_before: datetime | None = None) -> None:
    """Give a claimed job back to the queue: nothing of it was started, so the attempt does not count.

    One that somebody asked to cancel meanwhile is cancelled instead: it would never be claimed again.
    """
    with transaction.atomic():
        now = timezone.now()
        if not move_attempt(attempt, to=AttemptStatus.RELEASED, completed_at=now, error_message=reason):
            return
        free_slot(attempt.pk)
        if attempt.server_id is not None:
            free_canary(attempt.server_id, canary=attempt.pk)
        is_unwanted = _is_cancel_wished(attempt.job_id)
        target = JobStatus.CANCELLED if is_unwanted else JobStatus.QUEUED
        kind = "cancelled" if is_unwanted else "released"
        told = NEVER_STARTED if is_unwanted else reason
        fields: dict[str, Any] = {"not_before": not_before}
        if is_unwanted:
            fields = {"error_category": ErrorCategory.CANCELLED, "error_message": told, "completed_at": now}
        move_job(attempt.job_id, to=target, attempts=F("attempts") - 1, server=None, server_name="", **fields)
        record(
            attempt.job_id,
            kind,
            found=JobStatus.CLAIMED,
            to=target,
            reason=told,
            data={"attempt": attempt.number},
        )
        ring_about(attempt.job_id, attempt)
        ring_on_commit("queue")


def fail_queued_job(
    job_id: uuid.UUID, *, category: ErrorCategory, message: str, actor: Actor = BOARD
) -> None:
    """Fail a job that waits (it can never run, or its time is up). Raises IllegalTransition when it waits no more."""
    with transaction.atomic():
        move_job(
            job_id,
            to=JobStatus.FAILED,
            only_from=JobStatus.QUEUED,
            completed_at=timezone.now(),
            error_category=category,
            error_message=message,
        )
        record(job_id, "failed", actor=actor, found=JobStatus.QUEUED, to=JobStatus.FAILED, reason=message)
        ring_about(job_id)
