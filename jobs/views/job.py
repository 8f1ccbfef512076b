"""One job: its page with the live part, cancelling it, submitting it again."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from buildboard.core.auth import principal_of, requires
from buildboard.core.htmx import wants_fragment
from buildboard.core.models import Event
from buildboard.core.permissions import Right
from jobs.errors import IllegalTransition, QueueFull
from jobs.lifecycle import request_cancel, retry_job
from jobs.models import Artifact, Attempt, BuildJob
from jobs.states import ATTEMPT_ACTIVE, ErrorCategory, Priority
from jobs.views.live import ACTIVE_MS, FINISHED_MS, answer_live, version_of
from jobs.views.log import Tail, chosen_attempt, latest_attempts, read_tail
from jobs.views.timeline import happenings, steps_of
from jobs.views.waiting import waiting_part

_MOST_EVENTS = 200
_MOST_ARTIFACTS = 200
# What a failure of each category means, and what to do about it.
ADVICE = {
    ErrorCategory.EXIT_CODE: "The build's own command failed; the end of the log says why. "
    "Submitting the same commit again helps only if the cause was a passing one.",
    ErrorCategory.EXCEPTION: "The build ended in an error that it did not expect; the log says more.",
    ErrorCategory.CONTAINER: "The build's container could not be used. An operator can look at the server.",
    ErrorCategory.TIMEOUT: "It ran into its time limit. Raise it, or see in the log where the time went.",
    ErrorCategory.SYSTEM: "The infrastructure failed before the build's own command began. "
    "Trying again may help.",
    ErrorCategory.LOST: "The server could not be reached for so long that the build was given up.",
    ErrorCategory.CHECKOUT: "The source could not be checked out, or nothing in it says how to build it. "
    "Check repository, branch and commit, or give a command.",
}


@requires(Right.READ)
@require_safe
def detail(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """A job with its attempts, events and the end of its log; `?attempt=` shows an earlier one."""
    principal = principal_of(request)
    jobs = BuildJob.objects.visible_to(principal).select_related("created_by", "requested_server")
    job = get_object_or_404(jobs, pk=job_id)
    attempts = latest_attempts(job)
    attempt = chosen_attempt(request, attempts)
    live, version = _live_part(job, attempts=attempts, attempt=attempt)
    context = {
        **live,
        "may_act": job.may_be_changed_by(principal),
        "pace": FINISHED_MS if job.is_terminal else ACTIVE_MS,
        "tail": Tail() if attempt is None or wants_fragment(request) else read_tail(attempt),
        "is_whole_page": not wants_fragment(request),
    }
    return answer_live(
        request, page="jobs/detail.html", fragment="jobs/_job.html", version=version, context=context
    )


def _live_part(
    job: BuildJob, *, attempts: list[Attempt], attempt: Attempt | None
) -> tuple[dict[str, Any], str]:
    """What the polled part shows, and the version that changes with it."""
    newest = Event.objects.filter(subject_type="job", subject_id=str(job.pk)).order_by("-sequence")
    events = list(newest[:_MOST_EVENTS])
    waiting, looked = waiting_part(job)
    artifacts = list(Artifact.objects.filter(attempt=attempt)[:_MOST_ARTIFACTS]) if attempt else []
    context = {
        "job": job,
        "priority": Priority(job.priority).label,
        "attempts": attempts,
        "attempt": attempt,
        "is_attempt_active": attempt is not None and attempt.status in ATTEMPT_ACTIVE,
        "is_last_attempt": not attempts or attempt == attempts[-1],
        "steps": steps_of(attempt, events=events) if attempt else [],
        "events": happenings(events),
        **waiting,
        "advice": ADVICE.get(ErrorCategory(job.error_category), "") if job.error_category else "",
        "artifacts": artifacts,
    }
    looks = [(one.status, one.phase, one.unreachable_since) for one in attempts]
    last_event = events[0].sequence if events else 0
    return context, version_of(job.updated_at, last_event, looks, looked, len(artifacts))


def _own_job(request: HttpRequest, job_id: UUID) -> BuildJob:
    """The job if it may be acted upon: 404 when it may not be seen, 403 when it is somebody else's."""
    principal = principal_of(request)
    job = get_object_or_404(BuildJob.objects.visible_to(principal), pk=job_id)
    if not job.may_be_changed_by(principal):
        raise PermissionDenied("This job is not yours; its submitter or an operator can do this.")
    return job


@requires(Right.SUBMIT)
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Ask whether to cancel; POST does it."""
    job = _own_job(request, job_id)
    if request.method != "POST":
        return render(request, "jobs/cancel.html", {"job": job})
    try:
        job = request_cancel(job, actor=principal_of(request).actor)
    except IllegalTransition as refused:
        messages.error(request, f"Nothing to cancel: the job is {refused.found}.")
    else:
        if job.is_terminal:
            messages.success(request, "Cancelled.")
        else:
            messages.success(
                request, "Asked to cancel: it ends when its server confirms that nothing of it runs."
            )
    return redirect("jobs:detail", job_id)


@requires(Right.SUBMIT)
@require_http_methods(["GET", "HEAD", "POST"])
def retry(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Ask whether to submit the same again; POST makes the new job and goes there."""
    job = _own_job(request, job_id)
    if request.method != "POST":
        return render(request, "jobs/retry.html", {"job": job})
    principal = principal_of(request)
    try:
        again = retry_job(job, actor=principal.actor, user=principal.user)
    except IllegalTransition as refused:
        messages.error(request, f"The job is {refused.found}: it can be retried when it has ended.")
    except QueueFull as full:
        messages.error(request, str(full))
    else:
        return redirect("jobs:detail", again.pk)
    return redirect("jobs:detail", job_id)
