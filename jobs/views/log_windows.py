"""What the log viewer asks for, as JSON: lines of a log, its outline, and where a text is in it.

Lines count from 0 here, and times are milliseconds since `start`, itself in milliseconds since 1970:
`lines`: {"from", "total", "live", "start", "lines": [[ms, text], ...], "rest": [ms, text] or null}. A line that is
too long to show has a third element, 1. `total` counts whole lines; while the log is live `rest` is what follows
the last of them. `search`: {"count", "lines": [number, ...], "truncated", "total"}. `outline`: {"groups": [{"a",
"b", "title", "ms", "state", "fold", "live"}, ...], "marks": [[line, "error" or "warning"], ...], "totals", "whole"}.

What a line shows, what is found and what is marked are jobs/logs' matters.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_cache_control
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from buildboard.core.auth import principal_of, requires
from buildboard.core.errors import ApiError
from buildboard.core.permissions import Right
from jobs.logs.outline import Group, Outline, read_outline
from jobs.logs.search import MAX_QUERY_CHARACTERS, search
from jobs.logs.windows import MAX_LINES, TimedLine, read_window
from jobs.models import Attempt, BuildJob
from jobs.states import ATTEMPT_TERMINAL, AttemptStatus

# What a viewer takes for the end of a group that goes on.
OPEN_END = 1_000_000_000
_CACHED_SECONDS = 3600
_FAILED = (AttemptStatus.FAILED, AttemptStatus.LOST)

# What is answered, and whether it is all there is to say of what the log has by now.
Answer = Callable[[HttpRequest, Attempt], tuple[dict[str, Any], bool]]


def log_start_ms(attempt: Attempt) -> int:
    """What the times of a log's lines count from."""
    return _ms(attempt.started_at or attempt.created_at)


@requires(Right.READ)
@require_safe
@gzip_page
def log_lines(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Lines `from` (0) on, `n` (500) of them, at most 1,000, of attempt `attempt` (the latest)."""
    return _answer(request, job_id, _lines)


@requires(Right.READ)
@require_safe
@gzip_page
def log_search(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """The lines `from` (0) on that show the text `q`; upper and lower case differ with `case=1`."""
    return _answer(request, job_id, _search)


@requires(Right.READ)
@require_safe
@gzip_page
def log_outline(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """The groups of a log, and the lines that tell of errors and warnings."""
    return _answer(request, job_id, _outline)


def _answer(request: HttpRequest, job_id: UUID, answer: Answer) -> HttpResponse:
    try:
        attempt = _find(request, job_id)
        content, is_whole = answer(request, attempt)
    except ApiError as error:
        return error.response()
    response = JsonResponse(content)
    if is_whole and attempt.status in ATTEMPT_TERMINAL:  # for visitors: the gate keeps all else out of caches
        patch_cache_control(response, private=True, immutable=True, max_age=_CACHED_SECONDS)
    else:
        response["Cache-Control"] = "no-store"
    return response


def _find(request: HttpRequest, job_id: UUID) -> Attempt:
    """The wanted attempt of a job that may be seen. Raises ApiError 404 or 400."""
    if not BuildJob.objects.visible_to(principal_of(request)).filter(pk=job_id).exists():
        raise ApiError(404, detail="There is no such build job.")
    attempts = Attempt.objects.filter(job=job_id)
    number = _number(request, "attempt", 0)
    attempt = attempts.filter(number=number).first() if number else attempts.order_by("-number").first()
    if attempt is None:
        raise ApiError(404, detail="This build job has no such attempt.")
    return attempt


def _number(request: HttpRequest, name: str, default: int) -> int:
    text = request.GET.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ApiError(400, detail=f"{name} must be a whole number.")
    return int(text)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


# ---- answers ----------------------------------------------------------------------------------------------


def _lines(request: HttpRequest, attempt: Attempt) -> tuple[dict[str, Any], bool]:
    first = _number(request, "from", 0)
    limit = min(_number(request, "n", 500), MAX_LINES)
    is_live = attempt.status not in ATTEMPT_TERMINAL
    window = read_window(attempt, first_line=first, limit=limit, is_live=is_live)
    start = log_start_ms(attempt)
    content = {
        "from": first,
        "total": window.total_lines,
        "live": is_live,
        "start": start,
        "lines": [_as_json(line, start) for line in window.lines],
        "rest": _as_json(window.rest, start) if window.rest else None,
    }
    return content, True


def _as_json(line: TimedLine, start: int) -> list[int | str]:
    ms = max(_ms(line.at) - start, 0)
    return [ms, line.shown.text, 1] if line.shown.cut else [ms, line.shown.text]


def _search(request: HttpRequest, attempt: Attempt) -> tuple[dict[str, Any], bool]:
    text = request.GET.get("q", "")
    if len(text) > MAX_QUERY_CHARACTERS or "\n" in text:
        raise ApiError(400, detail=f"q must be one line of at most {MAX_QUERY_CHARACTERS} characters.")
    found = search(
        attempt,
        text=text,
        match_case=request.GET.get("case") == "1",
        first_line=_number(request, "from", 0),
    )
    content = {
        "count": found.count,
        "lines": found.lines,
        "truncated": found.truncated,
        "total": found.total,
    }
    return content, found.whole


def _outline(request: HttpRequest, attempt: Attempt) -> tuple[dict[str, Any], bool]:
    outline = read_outline(attempt)
    failing = _failing(outline) if attempt.status in _FAILED else None
    content = {
        "groups": [
            _group(group, is_failing=group is failing, is_last=group is outline.groups[-1])
            for group in outline.groups
        ],
        "marks": outline.marks,
        "totals": {"error": outline.errors, "warning": outline.warnings},
        "whole": outline.whole,
    }
    return content, outline.whole


def _group(group: Group, *, is_failing: bool, is_last: bool) -> dict[str, Any]:
    ms = max(round((group.ended_at - group.began_at).total_seconds() * 1000), 0)
    shown: dict[str, Any] = {"a": group.first, "b": group.last, "title": group.title, "ms": ms}
    if group.is_open:
        return {**shown, "b": OPEN_END, "live": True, "fold": False}
    if is_failing:
        shown["state"] = "failed"
    return {**shown, "fold": not (is_failing or is_last)}


def _failing(outline: Outline) -> Group | None:
    """The group in which it went wrong: that of the last error before the end, else the last one."""
    errors = [line for line, kind in outline.marks if kind == "error"]
    for line in reversed(errors):
        within = [group for group in outline.groups if group.first <= line <= group.last]
        if within:
            return within[-1]
    return outline.groups[-1] if outline.groups else None
