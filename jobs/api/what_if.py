"""What would be if, over HTTP: a job not submitted or not moved, a server not drained. Nothing is written."""

from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from ninja import Router

from buildboard.core.permissions import Right
from jobs.api.explain import outlook_fields
from jobs.api.found import find_job, find_server
from jobs.api.operations import operation
from jobs.errors import IllegalTransition
from jobs.queue.drain_impact import DrainImpact, Ending, read_impact
from jobs.queue.explain import explain_submission
from jobs.queue.lasting import Range
from jobs.queue.passing import Passing, choices_of
from jobs.queue.sole import Stranded, jobs_only_for
from jobs.schemas import (
    DrainPreviewShape,
    DryRunShape,
    EndingShape,
    PassingShape,
    PriorityPreviewShape,
    SecondsRange,
    Submission,
    WaitChangeShape,
)
from jobs.states import JobStatus, Priority
from jobs.submission import fields_of
from servers.fleet import load_fleet

of_jobs = Router(tags=["build jobs"])
of_servers = Router(tags=["build servers"])


@operation(
    of_jobs,
    "POST",
    "/dry-run",
    right=Right.SUBMIT,
    name="try_build_job",
    answers={200: DryRunShape},
)
def try_build_job(request: HttpRequest, given: Submission) -> DryRunShape:
    """Say what would become of a build job without submitting it: which servers could take it, when, and why not.

    The body is that of a submission and is refused like one. Nothing is written.
    """
    found = explain_submission(fields_of(given))
    queued_before = found.total_queued - 1
    return DryRunShape(
        **outlook_fields(found, since={}),
        estimated_wait_seconds=found.wait.seconds if found.wait else 0,
        estimate_basis=found.wait.basis if found.wait else "default",
        total_queued=queued_before,
        queue_is_full=queued_before >= settings.MAX_QUEUE_SIZE,
    )


@operation(
    of_jobs,
    "GET",
    "/{uuid:job_id}/priority-preview",
    right=Right.OPERATE,
    name="preview_build_job_priority",
    answers={200: PriorityPreviewShape},
    errors=(409,),
)
def preview_build_job_priority(request: HttpRequest, job_id: UUID) -> PriorityPreviewShape:
    """Say whom a queued job would overtake with each higher priority, and let pass with each lower one."""
    job = find_job(request, job_id)
    if job.status != JobStatus.QUEUED:
        raise IllegalTransition(f"Build job {job.pk}", found=job.status, wanted="reprioritised")
    return PriorityPreviewShape(
        job_id=job.pk,
        priority=Priority(job.priority).label,  # type: ignore[arg-type]  # the labels are these words
        choices=[_passing(one) for one in choices_of(job) if one.priority != job.priority],
    )


@operation(
    of_servers,
    "GET",
    "/{uuid:server_id}/drain-preview",
    right=Right.OPERATE,
    name="preview_server_drain",
    answers={200: DrainPreviewShape},
)
def preview_server_drain(request: HttpRequest, server_id: UUID) -> DrainPreviewShape:
    """Say what a drain, maintenance or removal of a server would do: to what runs there, and to what waits."""
    server = find_server(request, server_id)
    impact = read_impact(server.pk)
    stranded = jobs_only_for(server.pk, fleet=load_fleet())
    return DrainPreviewShape(
        server_id=server.pk,
        server=server.name,
        summary=_summary(server.name, impact, stranded),
        running=[_ending(one) for one in impact.running],
        empty_in=_seconds(impact.empty_in),
        stranded_count=stranded.count,
        stranded_jobs=[job.pk for job in stranded.jobs],
        held_back_count=impact.held_back,
        changes=[
            WaitChangeShape(
                architecture=one.architecture,
                jobs=one.jobs,
                before_seconds=one.before,
                after_seconds=one.after,
                told=one.words,
            )
            for one in impact.changes
        ],
        is_told=impact.is_told,
    )


def _summary(name: str, impact: DrainImpact, stranded: Stranded) -> str:
    """All of it in a few sentences."""
    count = len(impact.running)
    runs = (
        f"{count} build{' runs' if count == 1 else 's run'} on {name}" if count else f"Nothing runs on {name}"
    )
    parts = [f"{runs} now."]
    if stranded.count:
        more = "" if stranded.is_all else " or more"
        fit = "fits" if stranded.count == 1 else "fit"
        parts.append(f"{stranded.count}{more} of the queued jobs {fit} no other server.")
    if impact.changes:
        parts.append(f"Waits would change: {impact.told}.")
    elif not impact.is_told:
        parts.append("How waits would change cannot be told: no build has completed yet.")
    else:
        parts.append("Nobody would wait longer.")
    return " ".join(parts)


def _passing(found: Passing) -> PassingShape:
    return PassingShape(
        priority=found.priority.label,  # type: ignore[arg-type]  # the labels are these words
        overtakes_count=found.count if found.is_raised else 0,
        lets_pass_count=0 if found.is_raised else found.count,
        jobs=[job.pk for job in found.jobs],
        told=found.told,
    )


def _ending(one: Ending) -> EndingShape:
    return EndingShape(job_id=one.job_id, ends_in=_seconds(one.ends_in))


def _seconds(found: Range | None) -> SecondsRange | None:
    return SecondsRange.of(found) if found else None
