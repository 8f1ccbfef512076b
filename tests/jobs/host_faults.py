"""A server that fails what others build, played with real jobs: for tests of quarantines and of trials."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from buildboard.core.models import Event
from jobs import lifecycle
from jobs.diagnosis.hosts import judge_server
from jobs.execution import collect
from jobs.execution.followed import Followed
from jobs.lifecycle import claim_job
from jobs.models import Attempt, BuildJob
from jobs.outcomes import Outcome
from jobs.providers.fake import FakeProvider
from jobs.states import AttemptStatus, ErrorCategory, Phase
from servers.models import BuildServer
from tests.factories import make_job

BROKEN = "sh: 1: gcc: not found\n"
COMMIT = "c" * 40


def new_job(repository: str, **fields: Any) -> BuildJob:
    return make_job(source_repository=f"https://git.example/{repository}.git", **fields)


def start(job: BuildJob, server: BuildServer, *, phase: Phase = Phase.BUILDING) -> Attempt:
    server.refresh_from_db()
    attempt = claim_job(job.pk, server=server)
    lifecycle.start_attempt(attempt)
    if phase is Phase.BUILDING:
        lifecycle.set_phase(attempt, phase=phase, resolved_commit=COMMIT)
    return attempt


def end(attempt: Attempt, *, code: int = 0, output: str = "", is_lost: bool = False) -> Attempt:
    """As its follower does, and then the short task."""
    row = Attempt.objects.select_related("job", "server").get(pk=attempt.pk)
    if is_lost:
        outcome = Outcome(AttemptStatus.LOST, None, ErrorCategory.LOST, "The build server was restarted.")
    elif code:
        message = f"The build command failed with exit code {code}."
        outcome = Outcome(AttemptStatus.FAILED, code, ErrorCategory.EXIT_CODE, message)
    else:
        outcome = Outcome(AttemptStatus.COMPLETED, 0)
    collect.end(Followed(row, FakeProvider()), outcome, output=output)
    judge_server(row.pk)
    row.refresh_from_db()
    return row


def fail(job: BuildJob, server: BuildServer, *, output: str = BROKEN) -> Attempt:
    return end(start(job, server), code=127, output=output)


def go_well(job: BuildJob, server: BuildServer) -> Attempt:
    return end(start(job, server))


def is_out(server: BuildServer) -> bool:
    server.refresh_from_db()
    return server.quarantined_since is not None


def pass_the_wait(server: BuildServer) -> None:
    BuildServer.objects.filter(pk=server.pk).update(quarantined_until=timezone.now() - timedelta(seconds=1))


def break_down(bad: BuildServer, good: BuildServer, **fields: Any) -> list[BuildJob]:
    """Three repositories fail there alike while others go on; the jobs."""
    first = start(new_job("a", **fields), bad)
    go_well(new_job("other"), good)
    jobs = [first.job, new_job("b", **fields), new_job("c", **fields)]
    end(first, code=127, output=BROKEN)
    for job in jobs[1:]:
        fail(job, bad)
    return [BuildJob.objects.get(pk=job.pk) for job in jobs]


def kinds(job: BuildJob) -> list[str]:
    rows = Event.objects.filter(subject_type="job", subject_id=str(job.pk)).order_by("sequence")
    return list(rows.values_list("kind", flat=True))


def reasons(server: BuildServer) -> list[tuple[str, str]]:
    rows = Event.objects.filter(subject_type="server", subject_id=str(server.pk)).order_by("sequence")
    return list(rows.values_list("kind", "reason"))
