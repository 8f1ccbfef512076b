"""The submit form and the call to the API that says the same. Rules are in `submission.py`."""

import json
import shlex
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

API_PATH = "/api/v1/infrastructure/build-jobs"


@requires(Right.SUBMIT)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Show the form, filled from another job with `?from=<id>`; POST submits."""
    if request.method != "POST":
        return _show(request, SubmitForm(initial=_earlier(request)))
    form = SubmitForm(request.POST)
    if not form.is_valid():
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
    """The same thing by API, for what is typed so far. Submits nothing."""
    form = SubmitForm(request.POST)
    form.is_valid()
    return render(request, "jobs/_as_api_call.html", {"api_call": _as_call(request, form)})


def _show(request: HttpRequest, form: SubmitForm, *, status: int = 200) -> HttpResponse:
    return render(
        request, "jobs/submit.html", {"form": form, "api_call": _as_call(request, form)}, status=status
    )


def _earlier(request: HttpRequest) -> dict[str, object]:
    """What another job, if it may be seen, was submitted with."""
    try:
        job_id = UUID(request.GET.get("from", ""))
    except ValueError:
        return {}
    job = BuildJob.objects.visible_to(principal_of(request)).filter(pk=job_id).first()
    return initial_of(job.spec) if job else {}


def _as_call(request: HttpRequest, form: SubmitForm) -> str:
    """A curl command that submits the same job."""
    address = (settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}") + API_PATH
    return (
        f"curl -X POST {shlex.quote(address)} \\\n"
        '  -H "Authorization: Bearer $TOKEN" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(json.dumps(form.api_body(), indent=2, ensure_ascii=False))}"
    )
