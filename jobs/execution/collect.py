"""Ends an attempt whose build is over: outcome, automatic retry, and the removal of what it left on its server."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from jobs import lifecycle
from jobs.artifacts import ArtifactError, keep_file, select_files
from jobs.execution.followed import Followed
from jobs.execution.outcome import judge_outcome
from jobs.execution.script import read_failure
from jobs.logs import store
from jobs.models import Attempt
from jobs.providers.base import ProviderRefused, Report
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


def has_files(one: Followed, report: Report) -> bool:
    """Whether its submission named files and its command ended by itself, so that some may be there."""
    named = bool(one.attempt.job.spec.get("artifact_paths"))
    return named and report.reason == "exited" and report.phase == Phase.BUILDING


def _collect_files(one: Followed, report: Report) -> list[str]:
    """Keep the files that the submission named, one by one; files kept already are not read again.

    A command that ended by itself may have made something, whatever its exit code. Gives what was left out.
    """
    if not has_files(one, report):
        return []
    patterns = one.attempt.job.spec["artifact_paths"]
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


def note_forgotten(attempts: Iterable[UUID]) -> None:
    """The server keeps nothing of these finished attempts any more: neither does the board of their secrets."""
    Attempt.objects.filter(pk__in=list(attempts)).update(cleaned_at=timezone.now(), masked_values="")


def _output(attempt: Attempt) -> str:
    """The end of the kept log, at most 4 KiB, as text."""
    start = max(0, attempt.log_size - OUTPUT_BYTES)
    kept = b"".join(store.read_bytes(attempt, start=start, end=attempt.log_size))
    return kept.decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
