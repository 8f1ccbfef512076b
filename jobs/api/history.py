"""What happened to a job: its attempts and its events, oldest first."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Router

from buildboard.core.models import Event
from buildboard.core.permissions import Right
from buildboard.core.schemas import EventShape
from jobs.api.found import find_job
from jobs.api.operations import operation
from jobs.api.paging import Keyset, PageQuery, read_page
from jobs.models import Attempt
from jobs.schemas import AttemptShape

router = Router(tags=["build jobs"])


@operation(
    router,
    "GET",
    "/{uuid:job_id}/attempts",
    right=Right.READ,
    name="list_attempts",
    answers={200: list[AttemptShape]},
)
def list_attempts(
    request: HttpRequest, response: HttpResponse, job_id: UUID, filters: PageQuery
) -> list[AttemptShape]:
    """List the executions of a job."""
    rows = Attempt.objects.filter(job=find_job(request, job_id))
    keyset = Keyset(("number",))
    page = read_page(rows, keyset=keyset, page=filters, request=request, response=response)
    return [AttemptShape.of(attempt) for attempt in page]


@operation(
    router,
    "GET",
    "/{uuid:job_id}/events",
    right=Right.READ,
    name="list_job_events",
    answers={200: list[EventShape]},
)
def list_job_events(
    request: HttpRequest, response: HttpResponse, job_id: UUID, filters: PageQuery
) -> list[EventShape]:
    """List a job's timeline."""
    rows = Event.objects.filter(subject_type="job", subject_id=str(find_job(request, job_id).pk))
    keyset = Keyset(("sequence",))
    page = read_page(rows, keyset=keyset, page=filters, request=request, response=response)
    return [EventShape.of(event) for event in page]
