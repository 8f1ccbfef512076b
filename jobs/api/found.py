"""The rows that an operation speaks of, as far as the one who asks may see and change them, and a server's shape."""

from uuid import UUID

from django.http import HttpRequest

from buildboard.core.auth import principal_of
from buildboard.core.errors import ApiError
from jobs.api.answers import not_found
from jobs.models import Attempt, BuildJob
from servers.models import BuildServer
from servers.schemas import ServerShape
from servers.slots import held_slots


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
    if not job.may_be_changed_by(principal_of(request)):
        raise ApiError(
            403, "forbidden", "This job is somebody else's. Ask them, or an operator of this board."
        )
    return job


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


def find_server(request: HttpRequest, server_id: UUID) -> BuildServer:
    """A build server that may be seen. Raises ApiError 404."""
    server = BuildServer.objects.visible_to(principal_of(request)).filter(pk=server_id).first()
    if server is None:
        raise not_found("build server")
    return server


def shape_server(server: BuildServer) -> ServerShape:
    """A server as it is now, with the builds that it runs."""
    return ServerShape.of(server, active_build_count=held_slots(server))
