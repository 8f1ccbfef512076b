"""Ends an attempt whose build is over: outcome, automatic retry, and the removal of what it left on its server."""

from dataclasses import replace
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from jobs import lifecycle
from jobs.artifacts import ArtifactError, keep_file, select_files
from jobs.execution.followed import Followed
from jobs.execution.outcome import judge_outcome
from jobs.execution.script import read_failure
from jobs.logs import store
from jobs.models import Attempt
from jobs.providers.base import BuildProvider, ProviderRefused, Report, build_id_of
from jobs.queue.refusals import close_refusals
from jobs.retry import DEFAULT_RETRY_ON, retry_delay
from jobs.states import Phase

OUTPUT_BYTES = 4096
WORK_TREE = "src/"


def finish(one: Followed, report: Report) -> None:
    """Fetch the artifacts, then end the attempt as its server's record says; its whole log is stored already."""
    left_out = _collect_files(one, report)
    output = _output(one.attempt)
    limits = one.limits
    outcome = judge_outcome(
        report,
        timeout_seconds=limits.timeout_seconds,
        idle_timeout_seconds=limits.idle_timeout_seconds,
        failure=read_failure(output)[:1000],
        server=one.attempt.server_name,
    )
    metrics = {"artifacts_left_out": left_out} if left_out else {}
    end(one, replace(outcome, metrics=metrics), output=output)


def _collect_files(one: Followed, report: Report) -> list[str]:
    """Keep the files that the submission named, one by one; files kept already are not read again.

    A command that ended by itself may have made something, whatever its exit code. Gives what was left out.
    """
    patterns = one.attempt.job.spec.get("artifact_paths") or []
    if not patterns or report.reason != "exited" or report.phase != Phase.BUILDING:
        return []
    if not one.provider.capabilities.lists_files:
        return ["this provider keeps no files"]
    if one.attempt.phase != Phase.COLLECTING:
        lifecycle.set_phase(one.attempt, phase=Phase.COLLECTING)
        one.attempt.phase = Phase.COLLECTING
    found = [
        (file.path.removeprefix(WORK_TREE), file.size)
        for file in one.provider.list_files(one.build_id)
        if file.path.startswith(WORK_TREE)
    ]
    selection = select_files(found, patterns=patterns, limit_bytes=settings.MAX_ARTIFACT_BYTES)
    left_out = list(selection.left_out)
    sizes = dict(found)
    for path in selection.paths:
        try:
            chunks = one.provider.read_file(one.build_id, WORK_TREE + path)
            keep_file(one.attempt, path=path, chunks=chunks, limit_bytes=sizes[path])
        except ArtifactError as error:
            left_out.append(str(error))
        except ProviderRefused as error:
            left_out.append(f"{path}: {error}")
    return left_out


def end(one: Followed, outcome: lifecycle.Outcome, *, output: str = "") -> None:
    """Write an outcome; the job is queued again when its submission allows it for this category."""
    job = one.attempt.job
    delay = retry_delay(
        outcome.category,
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        retry_on=job.spec.get("retry_on") or DEFAULT_RETRY_ON,
    )
    requeue_at = None if delay is None else timezone.now() + timedelta(seconds=delay)
    lifecycle.finish_attempt(one.attempt, outcome=replace(outcome, output=output), requeue_at=requeue_at)
    close_refusals(job.pk)


def forget(attempt: Attempt, provider: BuildProvider) -> None:
    """Remove a finished attempt's directory on its server, once. Raises ProviderError when it is not to be had.

    What never was sent left nothing; what was given up is ended first.
    """
    if attempt.submitted_at is not None:
        provider.forget(build_id_of(provider.name, identifier=str(attempt.pk)))
    Attempt.objects.filter(pk=attempt.pk).update(cleaned_at=timezone.now(), masked_values="")


def _output(attempt: Attempt) -> str:
    """The end of the kept log, at most 4 KiB, as text."""
    start = max(0, attempt.log_size - OUTPUT_BYTES)
    kept = b"".join(store.read_bytes(attempt, start=start, end=attempt.log_size))
    return kept.decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
