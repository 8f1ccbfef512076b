"""Build jobs over HTTP: submit, list, look, cancel, retry, reprioritise. Logs and history have modules of their own."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Header, Query, Router
from ninja.responses import Status

from buildboard.core.auth import principal_of
from buildboard.core.errors import ApiError
from buildboard.core.permissions import Right
from jobs.api.filters import JobFilters
from jobs.api.found import find_job, find_job_to_change
from jobs.api.idempotency import submit_once
from jobs.api.operations import operation
from jobs.api.paging import NEWEST_FIRST, read_page
from jobs.lifecycle import request_cancel, retry_job, submit_job
from jobs.models import BuildJob
from jobs.queue.estimate import Foresight, estimate_of_queue, queue_state
from jobs.queue.explain import explain_job
from jobs.queue.passing import reprioritise
from jobs.schemas import (
    DoneShape,
    GivenRetry,
    JobShape,
    JobStatusShape,
    NewPriority,
    QueueInfo,
    QueueShape,
    SecondsRange,
    Submission,
    TrackRecordShape,
)
from jobs.states import JobStatus, Priority
from jobs.submission import fields_of
from jobs.validation import priority_number

router = Router(tags=["build jobs"])


@operation(
    router,
    "POST",
    "",
    right=Right.SUBMIT,
    name="submit_build_job",
    answers={201: JobShape},
    errors=(409, 429, 507),
)
def submit_build_job(
    request: HttpRequest,
    given: Submission,
    idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key")] = None,
) -> Status[JobShape]:
    """Submit a build job.

    With an `Idempotency-Key` header a repeated call answers the first one's job and makes no second one.
    """
    principal = principal_of(request)
    user = principal.user
    if user is None:
        raise ApiError(401, "unauthorized", "Sign in to submit.")
    fields = fields_of(given)
    job = submit_once(
        idempotency_key,
        user=user,
        given=given,
        submit=lambda: submit_job(fields, actor=principal.actor, user=user),
    )
    return Status(201, JobShape.of(job))


@operation(router, "GET", "", right=Right.READ, name="list_build_jobs", answers={200: list[JobShape]})
def list_build_jobs(
    request: HttpRequest, response: HttpResponse, filters: Query[JobFilters]
) -> list[JobShape]:
    """List build jobs, newest first. The next page is in the `Link` header."""
    jobs = BuildJob.objects.visible_to(principal_of(request)).select_related("created_by")
    jobs = filters.apply(jobs.defer("spec", "secret_spec"))
    page = read_page(jobs, keyset=NEWEST_FIRST, page=filters, request=request, response=response)
    return [JobShape.of(job) for job in page]


@operation(
    router, "GET", "/queue/status", right=Right.READ, name="get_queue_status", answers={200: QueueShape}
)
def get_queue_status(request: HttpRequest) -> QueueShape:
    """Count what waits and what is built, and estimate the wait of a job submitted now."""
    state, foresight = queue_state(), Foresight()
    estimate = estimate_of_queue(state, waits=foresight.waits)
    return QueueShape(
        total_queued=state.total_queued,
        total_building=state.total_building,
        jobs_by_architecture=state.jobs_by_architecture,
        estimated_wait_time_seconds=estimate.seconds,
        estimate_basis=estimate.basis,
        estimated_wait_range_seconds=SecondsRange.of(estimate.range) if estimate.range else None,
        estimated_wait_by_architecture={
            name: SecondsRange.of(found) for name, found in sorted(foresight.waits.items())
        },
        estimate_track_record=TrackRecordShape(**asdict(foresight.track_record)),
    )


@operation(router, "GET", "/{uuid:job_id}", right=Right.READ, name="get_build_job", answers={200: JobShape})
def get_build_job(request: HttpRequest, job_id: UUID) -> JobShape:
    """Get one build job."""
    return JobShape.of(find_job(request, job_id))


@operation(
    router,
    "GET",
    "/{uuid:job_id}/status",
    right=Right.READ,
    name="get_build_job_status",
    answers={200: JobStatusShape},
)
def get_build_job_status(request: HttpRequest, job_id: UUID) -> JobStatusShape:
    """Get where a job stands, and while it is queued its place and why it waits."""
    job = find_job(request, job_id)
    return JobStatusShape.of(job, queue_info=_queue_info(job) if job.status == JobStatus.QUEUED else None)


@operation(
    router,
    "PUT",
    "/{uuid:job_id}/cancel",
    right=Right.SUBMIT,
    name="cancel_build_job",
    answers={200: DoneShape},
    errors=(409,),
)
def cancel_build_job(request: HttpRequest, job_id: UUID) -> DoneShape:
    """Cancel a job: a queued one at once, an active one as soon as its server confirms that it has ended."""
    job = find_job_to_change(request, job_id)
    request_cancel(job, actor=principal_of(request).actor)
    return DoneShape(success=True, message=f"Build job {job.pk} cancelled successfully", resource_id=job.pk)


@operation(
    router,
    "PUT",
    "/{uuid:job_id}/priority",
    right=Right.OPERATE,
    name="change_build_job_priority",
    answers={200: JobShape},
    errors=(409,),
)
def change_build_job_priority(request: HttpRequest, job_id: UUID, given: NewPriority) -> JobShape:
    """Raise or lower a queued job in the queue. Its event keeps the reason, which is required, and whom it passes."""
    job = find_job(request, job_id)
    actor = principal_of(request).actor
    wanted = Priority(priority_number(given.priority))
    return JobShape.of(reprioritise(job, priority=wanted, actor=actor, reason=given.reason))


@operation(
    router,
    "POST",
    "/{uuid:job_id}/retry",
    right=Right.SUBMIT,
    name="retry_build_job",
    answers={201: JobShape},
    errors=(409, 429, 507),
)
def retry_build_job(request: HttpRequest, job_id: UUID, given: GivenRetry | None = None) -> Status[JobShape]:
    """Submit a finished job again, as a new job with the same fields. Events of both keep the reason, if any."""
    principal = principal_of(request)
    reason = " ".join(given.reason.split()) if given else ""
    with transaction.atomic():
        job = find_job_to_change(request, job_id)
        retry = retry_job(job, actor=principal.actor, user=principal.user, reason=reason)
    return Status(201, JobShape.of(retry))


def _queue_info(job: BuildJob) -> QueueInfo | None:
    found = explain_job(job)
    if found.place is None or found.wait is None:
        return None
    return QueueInfo(
        total_queued=found.total_queued,
        estimated_wait_seconds=found.wait.seconds,
        estimated_wait_range_seconds=SecondsRange.of(found.wait.range) if found.wait.range else None,
        position=found.place.position,
        reasons=found.reasons,
    )
