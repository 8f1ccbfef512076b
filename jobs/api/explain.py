"""Why a job waits, over HTTP: every server and what it says, and what would let the job start."""

from uuid import UUID

from django.http import HttpRequest
from ninja import Router

from buildboard.core.permissions import Right
from jobs.api.found import find_job
from jobs.api.operations import operation
from jobs.queue.explain import explain_job
from jobs.schemas import ExplainShape, ServerVerdictShape

router = Router(tags=["build jobs"])


@operation(
    router,
    "GET",
    "/{uuid:job_id}/explain",
    right=Right.READ,
    name="explain_build_job",
    answers={200: ExplainShape},
)
def explain_build_job(request: HttpRequest, job_id: UUID) -> ExplainShape:
    """Say why a job waits, what would let it start, and of each build server whether it could take it now.

    Of a job that is not queued it says what it is doing, and how the servers would judge it now.
    """
    job = find_job(request, job_id)
    found = explain_job(job)
    return ExplainShape(
        job_id=job.pk,
        status=job.status,  # type: ignore[arg-type]  # a constraint holds it to these words
        summary=found.summary,
        would_start_if=found.would_start_if,
        estimated_start_at=found.estimated_start_at,
        position=found.place.position if found.place else None,
        servers=[
            ServerVerdictShape(
                server=one.server.name,
                server_id=one.server.id,
                verdict=one.verdict.value,
                reasons=one.reasons,
            )
            for one in found.servers
        ],
    )
