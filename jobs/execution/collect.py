"""Ends an attempt whose build is over: outcome, automatic retry, and the removal of what it left on its server.

It is not in charge of fetching artifacts (collecting.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from jobs import lifecycle
from jobs.diagnosis.fingerprints import fingerprint_of
from jobs.diagnosis.hosts import excuse_of
from jobs.execution.followed import Followed
from jobs.execution.outcome import judge_outcome
from jobs.execution.script import read_failure
from jobs.logs import store
from jobs.models import Attempt
from jobs.outcomes import Outcome
from jobs.providers.base import Report
from jobs.queue.refusals import close_refusals
from jobs.retry import DEFAULT_RETRY_ON, retry_delay
from jobs.states import Phase

OUTPUT_BYTES = 4096


def finish(one: Followed, report: Report, *, left_out: Sequence[str] = ()) -> None:
    """End the attempt as its server's record says; its whole log is stored, and its artifacts are kept already.

    `left_out`: a sentence for each that is not, without secrets.
    """
    if one.attempt.job.spec.get("artifact_paths") and not one.provider.capabilities.lists_files:
        left_out = ["this provider keeps no files"]
    output = _output(one.attempt)
    limits = one.limits
    outcome = judge_outcome(
        report,
        timeout_seconds=limits.timeout_seconds,
        idle_timeout_seconds=limits.idle_timeout_seconds,
        failure=read_failure(output)[:1000],
        server=one.attempt.server_name,
    )
    metrics = {"artifacts_left_out": list(left_out)} if left_out else {}
    end(one, replace(outcome, metrics=metrics), output=output)


def has_files(one: Followed, report: Report) -> bool:
    """Whether its submission named files and its command ended by itself, whatever its exit code: some may be there."""
    named = one.attempt.job.spec.get("artifact_paths") and one.provider.capabilities.lists_files
    return bool(named) and report.reason == "exited" and report.phase == Phase.BUILDING


def end(one: Followed, outcome: Outcome, *, output: str = "") -> None:
    """Write an outcome; the job is queued again when its submission allows it for this category.

    One that fails by the fault of a server that was found out is queued again whatever its submission says.
    """
    job = one.attempt.job
    told = replace(outcome, output=output, fingerprint=_fingerprint(one.attempt, outcome, output=output))
    told = replace(told, excuse=excuse_of(one.attempt, outcome=told))
    delay = retry_delay(
        outcome.category,
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        retry_on=job.spec.get("retry_on") or DEFAULT_RETRY_ON,
    )
    if told.excuse is not None:
        delay = 0.0
    requeue_at = None if delay is None else timezone.now() + timedelta(seconds=delay)
    lifecycle.finish_attempt(one.attempt, outcome=told, requeue_at=requeue_at)
    close_refusals(job.pk)


def _fingerprint(attempt: Attempt, outcome: Outcome, *, output: str) -> str:
    if not outcome.failed or outcome.category is None:
        return ""
    job = attempt.job
    return fingerprint_of(
        outcome.category,
        exit_code=outcome.exit_code,
        message=outcome.message,
        output=output,
        names=(attempt.server_name, job.source_repository, job.repository_name, job.branch),
    )


def note_forgotten(attempts: Iterable[UUID]) -> None:
    """The server keeps nothing of these finished attempts any more: neither does the board of their secrets."""
    Attempt.objects.filter(pk__in=list(attempts)).update(cleaned_at=timezone.now(), masked_values="")


def _output(attempt: Attempt) -> str:
    """The end of the kept log, at most 4 KiB, as text."""
    start = max(0, attempt.log_size - OUTPUT_BYTES)
    kept = b"".join(store.read_bytes(attempt, start=start, end=attempt.log_size))
    return kept.decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
