"""One job's page: its header, and of its views (log, events, ...) the one that the address names.

What people ask for on it (cancel, retry, priority) is in `job_actions.py`.
"""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_safe

from buildboard.core.auth import Principal, principal_of, requires
from buildboard.core.htmx import wants_fragment
from buildboard.core.models import Event
from buildboard.core.permissions import Right
from jobs.models import Artifact, Attempt, BuildJob
from jobs.queue.waits import history_of
from jobs.states import ATTEMPT_ACTIVE, JobStatus, Priority
from jobs.views.ending import ending_of
from jobs.views.job_tabs import chosen_view, tabs_of
from jobs.views.job_views import log_context, resources_context, spec_context
from jobs.views.live import ACTIVE_MS, FINISHED_MS, answer_live, version_of
from jobs.views.log import chosen_attempt, latest_attempts
from jobs.views.progress import progress_of
from jobs.views.timeline import happenings, steps_of
from jobs.views.waiting import waiting_part

_MOST_EVENTS = 200
_MOST_ARTIFACTS = 200


@requires(Right.READ)
@require_safe
def detail(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """A job with one of its views; `?view=` names it, `?attempt=` an earlier attempt."""
    principal = principal_of(request)
    jobs = BuildJob.objects.visible_to(principal).select_related("created_by", "requested_server")
    job = get_object_or_404(jobs, pk=job_id)
    attempts = latest_attempts(job)
    attempt = chosen_attempt(request, attempts)
    live, version = _live_part(request, job, attempts=attempts, attempt=attempt)
    context = {
        **live,
        **_rights(job, principal),
        "pace": FINISHED_MS if job.is_terminal else ACTIVE_MS,
        "share_address": request.build_absolute_uri(reverse("jobs:detail", args=[job.pk])),
        "is_whole_page": not wants_fragment(request),
    }
    return answer_live(
        request, page="jobs/detail.html", fragment="jobs/_job.html", version=version, context=context
    )


def _rights(job: BuildJob, principal: Principal) -> dict[str, Any]:
    """What this reader may do with the job."""
    return {
        "may_act": job.may_be_changed_by(principal),
        "may_prioritise": job.status == JobStatus.QUEUED and principal.may(Right.OPERATE),
    }


def _live_part(
    request: HttpRequest, job: BuildJob, *, attempts: list[Attempt], attempt: Attempt | None
) -> tuple[dict[str, Any], str]:
    """What the polled part shows, and the version that changes with it."""
    view = chosen_view(request, job, attempt)
    newest = Event.objects.filter(subject_type="job", subject_id=str(job.pk)).order_by("-sequence")
    events = list(newest[:_MOST_EVENTS])
    artifacts = list(Artifact.objects.filter(attempt=attempt)[:_MOST_ARTIFACTS]) if attempt else []
    steps = steps_of(attempt, events=events) if attempt else []
    progress = progress_of(job, attempt)
    waiting, looked = waiting_part(request, job) if view == "waiting" else ({}, None)
    context = {
        "job": job,
        "priority": Priority(job.priority).label,
        "attempts": attempts,
        "attempt": attempt,
        "is_attempt_active": attempt is not None and attempt.status in ATTEMPT_ACTIVE,
        "is_last_attempt": not attempts or attempt == attempts[-1],
        "view": view,
        "is_view_chosen": "view" in request.GET,
        "tabs": tabs_of(request, job, attempt, events=len(events), artifacts=len(artifacts)),
        "steps": steps,
        "progress": progress,
        "events": happenings(events),
        "artifacts": artifacts,
        # Looked up when it is shown: most polls are answered without.
        "ending": SimpleLazyObject(lambda: ending_of(job, attempts=attempts, attempt=attempt, events=events)),
        "history": SimpleLazyObject(lambda: history_of(job)),
        **waiting,
        **_view_context(request, view, job=job, attempt=attempt, artifacts=artifacts),
    }
    looks = [(one.status, one.phase, one.unreachable_since) for one in attempts]
    last_event = events[0].sequence if events else 0
    return context, version_of(job.updated_at, last_event, looks, looked, len(artifacts), progress.percent)


def _view_context(
    request: HttpRequest, view: str, *, job: BuildJob, attempt: Attempt | None, artifacts: list[Artifact]
) -> dict[str, Any]:
    if view == "log" and attempt:
        return log_context(attempt, with_tail=not wants_fragment(request))
    if view == "resources" and attempt:
        return resources_context(attempt, artifacts=artifacts)
    if view == "spec":
        return spec_context(job)
    return {}
