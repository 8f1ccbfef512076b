"""Logs of attempts for tests, written through the store as a follower does. It asserts that the store took them."""

from datetime import UTC, datetime

from django.utils import timezone

from jobs.logs import store
from jobs.models import Attempt
from jobs.states import AttemptStatus
from tests.factories import make_attempt

AT = datetime(2026, 1, 2, tzinfo=UTC)


def append_log(attempt: Attempt, *parts: bytes, at: datetime | None = None) -> None:
    """Append each part as its own source, without masking, to an active attempt; `attempt` is refreshed first."""
    for part in parts:
        attempt.refresh_from_db()
        appended = store.append(
            attempt.pk,
            lease_id=attempt.lease_id,
            source_read=attempt.source_read,
            log_size=attempt.log_size,
            kept=part,
            consumed=len(part),
            at=at,
        )
        assert appended is not None


def write_log(attempt: Attempt, data: bytes, *, at: datetime | None = None) -> Attempt:
    """Go on with the log of an attempt in any state, as its follower did while it ran; the attempt as it is then."""
    as_it_is = {"status": attempt.status, "completed_at": attempt.completed_at}
    Attempt.objects.filter(pk=attempt.pk).update(status=AttemptStatus.RUNNING, completed_at=None)
    append_log(attempt, data, at=at)
    Attempt.objects.filter(pk=attempt.pk).update(**as_it_is)
    attempt.refresh_from_db()
    return attempt


def finish(attempt: Attempt, status: AttemptStatus = AttemptStatus.COMPLETED) -> None:
    """Have it ended now."""
    Attempt.objects.filter(pk=attempt.pk).update(status=status, completed_at=timezone.now())


def logged(*parts: bytes, status: AttemptStatus = AttemptStatus.COMPLETED) -> Attempt:
    """An ended attempt with this log, read at `AT`."""
    attempt = make_attempt()
    append_log(attempt, *parts, at=AT)
    finish(attempt, status)
    return attempt
