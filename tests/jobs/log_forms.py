"""Logs of ended attempts in either form, for tests that hold what is read from both against each other."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings

from jobs.logs import objects, store
from jobs.logs.seal import seal_log
from jobs.models import Attempt, LogChunk, SealedLog
from jobs.states import AttemptStatus
from tests.factories import make_attempt
from tests.jobs.log_writing import append_log

BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


def ended_with(parts: Iterable[bytes], *, status: str = AttemptStatus.COMPLETED) -> Attempt:
    """An ended attempt whose log was kept part by part, each 1.5 s after the one before it."""
    attempt = make_attempt(started_at=BEGAN)
    for number, part in enumerate(part for part in parts if part):
        append_log(attempt, part, at=BEGAN + timedelta(seconds=1.5 * number))
    Attempt.objects.filter(pk=attempt.pk).update(status=status, completed_at=BEGAN + timedelta(hours=1))
    attempt.refresh_from_db()
    return attempt


def sealed_twin(attempt: Attempt) -> Attempt:
    """Another attempt with the same rows, sealed."""
    twin = make_attempt(status=attempt.status, started_at=attempt.started_at)
    for chunk in LogChunk.objects.filter(attempt=attempt):
        LogChunk.objects.create(
            attempt=twin,
            **{
                name: getattr(chunk, name)
                for name in ("offset", "size", "first_line", "lines", "sgr", "data", "at")
            },
        )
    Attempt.objects.filter(pk=twin.pk).update(
        log_size=attempt.log_size, log_lines=attempt.log_lines, completed_at=attempt.completed_at
    )
    twin.refresh_from_db()
    assert seal_log(twin.pk) is (attempt.log_size > 0)
    return twin


def is_sealed(attempt: Attempt) -> bool:
    """Whether it has no rows any more and one published object."""
    published = SealedLog.objects.filter(attempt=attempt, published_at__isnull=False).count()
    return published == 1 and not LogChunk.objects.filter(attempt=attempt).exists()


def whole(attempt: Attempt) -> bytes:
    """All bytes, through the store."""
    return b"".join(store.read_bytes(attempt, start=0, end=attempt.log_size))


def remove_objects() -> None:
    """Empty the storage of logs."""
    for key in stored_objects():
        objects.remove(key)


def stored_objects() -> set[str]:
    """The names of all files of logs in the storage."""
    root = Path(unquote(urlsplit(settings.STORAGE_URL).path)) / "logs"
    return {str(path.relative_to(root.parent)) for path in root.rglob("*") if path.is_file()}
