"""Logs of attempts for tests, written through the store as a follower does. It asserts that the store took them."""

from datetime import datetime

from jobs.logs import store
from jobs.models import Attempt
from jobs.states import AttemptStatus


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


def write_log(attempt: Attempt, data: bytes) -> Attempt:
    """Keep a log for an attempt in any state, as its follower did while it ran; the attempt as it is then."""
    status = attempt.status
    Attempt.objects.filter(pk=attempt.pk).update(status=AttemptStatus.RUNNING)
    append_log(attempt, data)
    Attempt.objects.filter(pk=attempt.pk).update(status=status)
    attempt.refresh_from_db()
    return attempt
