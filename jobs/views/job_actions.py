"""What people ask for on a job's page: cancel it, submit it again, change its priority. Each asks first."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from buildboard.core.auth import principal_of, requires
from buildboard.core.permissions import Right
from jobs.errors import IllegalTransition, InvalidSubmission, QueueFull
from jobs.lifecycle import request_cancel, retry_job
from jobs.models import BuildJob
from jobs.queue.passing import choices_of, reprioritise
from jobs.states import Priority
from jobs.validation import Invalid, priority_number

_MOST_REASON = 500


def _own_job(request: HttpRequest, job_id: UUID) -> BuildJob:
    """The job if it may be acted upon: 404 when it may not be seen, 403 when it is somebody else's."""
    principal = principal_of(request)
    job = get_object_or_404(BuildJob.objects.visible_to(principal), pk=job_id)
    if not job.may_be_changed_by(principal):
        raise PermissionDenied("This job is not yours; its submitter or an operator can do this.")
    return job


def _reason(request: HttpRequest) -> str:
    """The reason that was given, on one line."""
    return " ".join(request.POST.get("reason", "").replace("\x00", "").split())[:_MOST_REASON]


@requires(Right.SUBMIT)
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Ask whether to cancel; POST does it."""
    job = _own_job(request, job_id)
    if request.method != "POST":
        return render(request, "jobs/cancel.html", {"job": job})
    try:
        job = request_cancel(job, actor=principal_of(request).actor, reason=_reason(request))
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
        again = retry_job(job, actor=principal.actor, user=principal.user, reason=_reason(request))
    except IllegalTransition as refused:
        messages.error(request, f"The job is {refused.found}: it can be retried when it has ended.")
    except QueueFull as full:
        messages.error(request, str(full))
    else:
        return redirect("jobs:detail", again.pk)
    return redirect("jobs:detail", job_id)


@requires(Right.OPERATE)
@require_http_methods(["GET", "HEAD", "POST"])
def priority(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Ask for the priority of a queued job and why, and say whom it would pass with each; POST changes it."""
    job = get_object_or_404(BuildJob.objects.visible_to(principal_of(request)), pk=job_id)
    if request.method != "POST":
        return _ask_priority(request, job, chosen=min(job.priority + 10, Priority.URGENT))
    chosen, reason = job.priority, _reason(request)
    try:
        chosen = priority_number(request.POST.get("priority", ""))
        reprioritise(job, priority=Priority(chosen), actor=principal_of(request).actor, reason=reason)
    except (Invalid, InvalidSubmission) as refused:
        problem = refused.errors[0].message if isinstance(refused, InvalidSubmission) else str(refused)
        return _ask_priority(request, job, chosen=chosen, reason=reason, problem=problem)
    except IllegalTransition as refused:
        messages.error(request, f"Nothing changed: the job is {refused.found}, not queued.")
    else:
        messages.success(request, f"Its priority is {Priority(chosen).label} now.")
    return redirect("jobs:detail", job_id)


def _ask_priority(
    request: HttpRequest, job: BuildJob, *, chosen: int, reason: str = "", problem: str = ""
) -> HttpResponse:
    """The question, with what is chosen and written so far; 422 when it was answered with a problem."""
    context = {
        "job": job,
        "priority": Priority(job.priority).label,
        "choices": choices_of(job),
        "chosen": chosen,
        "reason": reason,
        "problem": problem,
    }
    return render(request, "jobs/priority.html", context, status=422 if problem else 200)
