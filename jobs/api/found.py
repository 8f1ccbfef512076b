"""The rows that an operation speaks of, as far as the one who asks may see and change them."""

from uuid import UUID

from django.http import HttpRequest

from buildboard.core.auth import Principal, principal_of
from buildboard.core.errors import ApiError
from buildboard.core.permissions import Right
from jobs.api.answers import not_found
from jobs.models import Attempt, BuildJob


def find_job(request: HttpRequest, job_id: UUID) -> BuildJob:
    """A job that may be seen. Raises ApiError 404."""
    jobs = BuildJob.objects.visible_to(principal_of(request)).select_related("created_by")
    job = jobs.defer("spec", "secret_spec").filter(pk=job_id).first()
    if job is None:
        raise not_found("build job")
    return job


def find_job_to_change(request: HttpRequest, job_id: UUID) -> BuildJob:
    """A job that may be cancelled or retried: one's own, any for an operator. Raises ApiError 404 or 403."""
    job = find_job(request, job_id)
    principal = principal_of(request)
    if not may_change(principal, job):
        raise ApiError(
            403, "forbidden", "This job is somebody else's. Ask them, or an operator of this board."
        )
    return job


def may_change(principal: Principal, job: BuildJob) -> bool:
    """Whether this one may cancel or retry the job."""
    is_own = principal.user is not None and job.created_by_id == principal.user.pk
    return principal.may(Right.OPERATE) or (is_own and principal.may(Right.SUBMIT))


def find_attempt(job: BuildJob, number: int | None) -> Attempt | None:
    """The attempt with this number, or the latest; None when the job has none yet.

    Raises ApiError 404 for a number that the job does not have.
    """
    attempts = Attempt.objects.filter(job=job)
    if number is None:
        return attempts.order_by("-number").first()
    attempt = attempts.filter(number=number).first()
    if attempt is None:
        raise not_found("attempt of this job")
    return attempt
