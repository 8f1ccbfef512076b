"""The submit form and the call to the API that says the same. Rules are in `submission.py`, the outlook in where.py."""

import json
import shlex
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from buildboard.core.auth import principal_of, requires
from buildboard.core.permissions import Right
from jobs.errors import QueueFull
from jobs.forms import SubmitForm, initial_of
from jobs.lifecycle import submit_job
from jobs.models import BuildJob
from jobs.views.server_rows import read_tools
from jobs.views.where import recent_jobs, suggestions, usual_values, where_it_would_run

API_PATH = "/api/v1/infrastructure/build-jobs"


@requires(Right.SUBMIT)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Show the form, filled from another job with `?from=<id>`; POST submits, or with `look` only looks."""
    if request.method != "POST":
        earlier = _earlier(request)
        initial = initial_of(earlier.spec) if earlier else usual_values(principal_of(request))
        return _show(request, SubmitForm(initial=initial), earlier=earlier)
    form = SubmitForm(request.POST)
    is_valid = form.is_valid()
    if "look" in request.POST:
        return _show(request, form, looks=True)
    if not is_valid:
        return _show(request, form, status=422)
    principal = principal_of(request)
    try:
        job = submit_job(form.job_fields, actor=principal.actor, user=principal.user)
    except QueueFull as full:
        form.add_error(None, str(full))
        response = _show(request, form, status=429)
        response["Retry-After"] = str(full.retry_after_seconds)
        return response
    return redirect("jobs:detail", job.pk)


@requires(Right.SUBMIT)
@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """Where it would run and the same thing by API, for what is typed so far. Submits nothing."""
    form = SubmitForm(request.POST)
    form.is_valid()
    return render(request, "jobs/_submit_side.html", _side(request, form))


def _show(
    request: HttpRequest,
    form: SubmitForm,
    *,
    earlier: BuildJob | None = None,
    looks: bool = False,
    status: int = 200,
) -> HttpResponse:
    tools = sorted({name for names in read_tools().values() for name in names})
    context = {
        "form": form,
        "earlier": earlier,
        "looks": looks,
        "tools": tools,
        **suggestions(principal_of(request)),
        **_side(request, form),
    }
    return render(request, "jobs/submit.html", context, status=status)


def _side(request: HttpRequest, form: SubmitForm) -> dict[str, Any]:
    """What stands beside the form and follows it."""
    return {
        "where": where_it_would_run(form),
        "recent": recent_jobs(form, principal=principal_of(request)),
        "api_call": _as_call(request, form),
    }


def _earlier(request: HttpRequest) -> BuildJob | None:
    """The job to begin from, if it may be seen."""
    try:
        job_id = UUID(request.GET.get("from", ""))
    except ValueError:
        return None
    return BuildJob.objects.visible_to(principal_of(request)).filter(pk=job_id).first()


def _as_call(request: HttpRequest, form: SubmitForm) -> str:
    """A curl command that submits the same job."""
    address = (settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}") + API_PATH
    return (
        f"curl -X POST {shlex.quote(address)} \\\n"
        '  -H "Authorization: Bearer $TOKEN" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(json.dumps(form.api_body(), indent=2, ensure_ascii=False))}"
    )
