"""Why a job waits, over HTTP: what each server says, what would let it start, and what it waited for so far."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Router

from buildboard.core.permissions import Right
from jobs.api.found import find_job
from jobs.api.operations import operation
from jobs.queue.explain import Explanation, explain_job
from jobs.queue.history import Spell
from jobs.queue.lasting import Range
from jobs.queue.verdicts import ServerVerdict, Verdict
from jobs.queue.waits import Since, history_of, since_when
from jobs.schemas import (
    EstimateShape,
    ExplainShape,
    RefusalShape,
    SecondsRange,
    ServerVerdictShape,
    SpellShape,
)

router = Router(tags=["build jobs"])
_MOST_SPELLS = 200


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

    Of a job that is not queued it says what it is doing, and how the servers would judge it now. Of any job it says
    what it waited for so far.
    """
    job = find_job(request, job_id)
    history = history_of(job)
    return ExplainShape(
        **outlook_fields(explain_job(job), since=since_when(job)),
        job_id=job.pk,
        status=job.status,  # type: ignore[arg-type]  # a constraint holds it to these words
        waited=history.told,
        history=[_spell(one) for one in history.spells[-_MOST_SPELLS:]],
    )


def outlook_fields(found: Explanation, *, since: Since) -> dict[str, Any]:
    """What a job's explanation and a dry run say alike."""
    return {
        "summary": found.summary,
        "kind": found.kind,
        "would_start_if": found.would_start_if,
        "estimated_start_at": found.estimated_start_at,
        "estimate": EstimateShape.of(found.told) if found.told else None,
        "position": found.place.position if found.place else None,
        "servers": [
            _verdict(one, free_in=found.free_in.get(one.server.id), since=since) for one in found.servers
        ],
    }


def _verdict(one: ServerVerdict, *, free_in: Range | None, since: Since) -> ServerVerdictShape:
    return ServerVerdictShape(
        server=one.server.name,
        server_id=one.server.id,
        verdict=one.verdict.value,
        kind=one.kind.value if one.kind else None,
        reasons=one.reasons,
        refusals=[
            RefusalShape(
                condition=refused.condition,
                kind=refused.kind.value,
                hard=refused.hard,
                reason=reason,
                since=since.get((one.server.id, refused.condition)),
            )
            for refused, reason in zip(one.refused, one.reasons, strict=True)
        ],
        free_in=SecondsRange.of(free_in) if free_in and one.verdict is Verdict.BUSY else None,
    )


def _spell(one: Spell) -> SpellShape:
    return SpellShape(
        since=one.since,
        until=one.until,
        seconds=one.seconds,
        reason=one.reason,
        kind=one.kind.value if one.kind else None,
        servers=one.servers,
    )
