"""The guarded writes behind lifecycle.py: one update each, filtered on the id and the state that was found legal.

Nobody but lifecycle.py imports it. It decides nothing.
"""

import uuid
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from buildboard.core.audit import BOARD, Actor, record_event
from buildboard.core.doorbell import ring_on_commit
from jobs.errors import IllegalTransition, StaleLease
from jobs.models import Attempt, BuildJob
from jobs.states import ATTEMPT_ACTIVE, ATTEMPT_TRANSITIONS, JOB_TRANSITIONS, AttemptStatus, JobStatus


def held(attempt: Attempt) -> QuerySet[Attempt]:
    """The attempt's row, if it still has this lease."""
    return Attempt.objects.filter(pk=attempt.pk, lease_id=attempt.lease_id)


def move_attempt(attempt: Attempt, *, to: AttemptStatus, **fields: Any) -> bool:
    """Move a held attempt; False when it is there already. Raises StaleLease or IllegalTransition."""
    row = Attempt.objects.filter(pk=attempt.pk).values_list("status", "lease_id").first()
    if row is None or row[1] != attempt.lease_id:
        raise StaleLease(f"Attempt {attempt.pk} is not held with this lease.")
    found = AttemptStatus(row[0])
    if found == to:
        return False
    if to not in ATTEMPT_TRANSITIONS[found]:
        raise IllegalTransition(f"Attempt {attempt.pk}", found=found, wanted=to)
    if not held(attempt).filter(status=found).update(status=to, **fields):
        raise StaleLease(f"Attempt {attempt.pk} changed while it was written.")
    attempt.status = to
    return True


def move_job(
    job_id: uuid.UUID, *, to: JobStatus, only_from: JobStatus | None = None, **fields: Any
) -> JobStatus:
    """Move a job along a legal transition and give the state it came from. Raises IllegalTransition."""
    found = JobStatus(status_of(job_id))
    if to not in JOB_TRANSITIONS[found] or only_from not in (None, found):
        raise IllegalTransition(f"Build job {job_id}", found=found, wanted=to)
    if not BuildJob.objects.filter(pk=job_id, status=found).update(
        status=to, updated_at=timezone.now(), **fields
    ):
        raise IllegalTransition(f"Build job {job_id}", found=status_of(job_id), wanted=to)
    return found


def status_of(job_id: uuid.UUID) -> str:
    """The status of a job as it is now."""
    return BuildJob.objects.values_list("status", flat=True).get(pk=job_id)


def record(
    job_id: uuid.UUID,
    kind: str,
    *,
    actor: Actor = BOARD,
    found: JobStatus | str = "",
    to: JobStatus | None = None,
    reason: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    """Add an event of a job, in the transaction of the change."""
    record_event(
        "job",
        subject_id=job_id,
        kind=kind,
        actor=actor,
        from_state=str(found),
        to_state=str(to or ""),
        reason=reason,
        data=data,
    )


def ring_about(job_id: uuid.UUID, attempt: Attempt | None = None) -> None:
    """Ring for whoever looks at jobs or at the log; and after the server, but when `attempt` names what its follower
    itself has changed: it would only hear its own echo.
    """
    ring_on_commit("jobs")
    if attempt is None:
        attempt = Attempt.objects.filter(job_id=job_id, status__in=ATTEMPT_ACTIVE).first()
        if attempt is not None:
            ring_on_commit(f"server:{attempt.server_id}")
    if attempt is not None:
        ring_on_commit(f"log:{attempt.pk}")
