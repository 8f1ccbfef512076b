"""Logs over HTTP: windows of lines as JSON, and the exact bytes with ranges. Live logs are the socket's."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC
from typing import Annotated
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router, Schema
from pydantic import Field

from buildboard.core.models import Event
from buildboard.core.permissions import Right
from buildboard.core.ranges import parse_range
from jobs.api.found import find_attempt, find_job
from jobs.api.operations import operation
from jobs.logs import store
from jobs.models import Attempt, BuildJob
from jobs.schemas import LogShape
from jobs.states import ATTEMPT_ACTIVE, AttemptStatus

MAX_WINDOW_BYTES = 1 << 20
_MOST = 2_000_000_000
_MOST_EVENTS = 1000
_BYTES = {"content": {"text/plain": {"schema": {"type": "string", "format": "binary"}}}}

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
    router, "GET", "/{uuid:job_id}/logs", right=Right.READ, name="get_build_job_logs", answers={200: LogShape}
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
    errors=(416,),
    openapi={
        "parameters": [{"in": "header", "name": "Range", "schema": {"type": "string"}, "required": False}],
        "responses": {200: _BYTES, 206: _BYTES},
    },
)
def get_build_job_raw_log(request: HttpRequest, job_id: UUID, filters: Query[OfAttempt]) -> HttpResponseBase:
    """Get the kept bytes of a log, exactly, whole or a range of them."""
    attempt = find_attempt(find_job(request, job_id), filters.attempt)
    size = store.size(attempt) if attempt else 0
    wanted = parse_range(request.headers.get("Range"), size)
    start, end = wanted or (0, size)
    headers = {
        "Content-Length": str(end - start),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    options = {
        "status": 206 if wanted else 200,
        "content_type": "text/plain; charset=utf-8",
        "headers": headers,
    }
    if attempt is None or request.method == "HEAD" or start == end:
        return HttpResponse(**options)
    parts = store.read_bytes(attempt, start=start, end=end)
    # Django reads an iterator of the other kind into memory as a whole.
    return StreamingHttpResponse(_one_by_one(parts) if isinstance(request, ASGIRequest) else parts, **options)


async def _one_by_one(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    read = sync_to_async(lambda: next(parts, b""))
    while part := await read():
        yield part


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
