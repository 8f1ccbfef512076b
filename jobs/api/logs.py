"""Logs over HTTP: windows of lines as JSON, and the exact bytes with ranges. Live logs are the socket's."""

from collections.abc import Iterator
from datetime import UTC
from itertools import chain
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Query, Router, Schema
from pydantic import Field

from buildboard.core.models import Event
from buildboard.core.permissions import Right
from jobs.api.byte_answers import answer_bytes, bytes_openapi
from jobs.api.found import find_attempt, find_job
from jobs.api.operations import operation
from jobs.logs import store
from jobs.models import Attempt, BuildJob
from jobs.schemas import LogShape
from jobs.states import ATTEMPT_ACTIVE, AttemptStatus

MAX_WINDOW_BYTES = 1 << 20
_MOST = 2_000_000_000
_MOST_EVENTS = 1000

router = Router(tags=["build jobs"])
AttemptNumber = Annotated[int, Field(ge=1, le=_MOST, description="The latest one without it.")]


class LineWindow(Schema):
    """Which lines are asked for; lines count from 0."""

    offset: Annotated[int, Field(ge=0, le=_MOST)] = 0
    limit: Annotated[int, Field(ge=1, le=5000)] = 1000
    attempt: AttemptNumber | None = None


class OfAttempt(Schema):
    """Which attempt's log is asked for."""

    attempt: AttemptNumber | None = None


@operation(
    router,
    "GET",
    "/{uuid:job_id}/logs",
    right=Right.READ,
    name="get_build_job_logs",
    answers={200: LogShape},
    errors=(410,),
)
def get_build_job_logs(request: HttpRequest, job_id: UUID, filters: Query[LineWindow]) -> LogShape:
    """Get lines of a log; ask on from `next_offset`, at most 1 MiB comes at once.

    While `streaming` is true a line appears once it has ended. A job without an attempt answers its events.
    """
    job = find_job(request, job_id)
    attempt = find_attempt(job, filters.attempt)
    if attempt is None or (filters.attempt is None and attempt.status == AttemptStatus.RELEASED):
        return _window_of_events(job, filters)
    return _window_of_log(attempt, filters)


@operation(
    router,
    "GET",
    "/{uuid:job_id}/logs/raw",
    right=Right.READ,
    name="get_build_job_raw_log",
    answers={200: None, 206: None},
    errors=(410, 416),
    openapi=bytes_openapi("text/plain"),
)
def get_build_job_raw_log(request: HttpRequest, job_id: UUID, filters: Query[OfAttempt]) -> HttpResponseBase:
    """Get the kept bytes of a log, exactly, whole or a range of them."""
    attempt = find_attempt(find_job(request, job_id), filters.attempt)
    return answer_bytes(
        request,
        size=store.size(attempt) if attempt else 0,
        read=lambda start, end: _read(attempt, start, end) if attempt else iter(()),
        content_type="text/plain; charset=utf-8",
    )


def _read(attempt: Attempt, start: int, end: int) -> Iterator[bytes]:
    """The first part at once: a gap there can still be answered. A later one ends the answer too early."""
    parts = store.read_bytes(attempt, start=start, end=end)
    first = next(parts, b"")
    return chain([first], parts)


def _window_of_log(attempt: Attempt, wanted: LineWindow) -> LogShape:
    streaming = attempt.status in ATTEMPT_ACTIVE
    limit = wanted.limit
    if streaming:  # the last line may go on: it is given once its LF is there
        limit = max(0, min(limit, attempt.log_lines - wanted.offset))
    window = store.read_lines(attempt, first_line=wanted.offset, limit=limit, max_bytes=MAX_WINDOW_BYTES)
    return LogShape(
        job_id=attempt.job_id,
        logs=window.lines,
        streaming=streaming,
        next_offset=window.next_line,
        total_lines=attempt.log_lines if streaming else window.total_lines,
    )


def _window_of_events(job: BuildJob, wanted: LineWindow) -> LogShape:
    events = Event.objects.filter(subject_type="job", subject_id=str(job.pk), kind__in=_SENTENCES)[
        :_MOST_EVENTS
    ]
    lines = [f"[{event.at.astimezone(UTC).isoformat()}] {_sentence(event)}" for event in events]
    some = lines[wanted.offset : wanted.offset + wanted.limit]
    return LogShape(
        job_id=job.pk,
        logs=some,
        streaming=False,
        next_offset=wanted.offset + len(some),
        total_lines=len(lines),
    )


# The events that a reader of a log wants to see while there is no log; the others are in /events.
_SENTENCES = {
    "cancelled": "Build cancelled",
    "failed": "Build failed",
    "released": "Given back to the queue",
    "priority_changed": "Priority changed",
}


def _sentence(event: Event) -> str:
    by = " by user" if event.actor else ""
    reason = f": {' '.join(event.reason.split())}" if event.reason else ""
    return f"{_SENTENCES[event.kind]}{by}{reason}"
