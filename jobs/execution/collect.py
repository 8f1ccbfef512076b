"""Ends an attempt whose build is over: outcome, automatic retry, and the removal of what it left on its server."""

from datetime import timedelta

from django.utils import timezone

from jobs import lifecycle
from jobs.execution.followed import Followed
from jobs.execution.outcome import judge_outcome
from jobs.execution.script import read_failure
from jobs.logs import store
from jobs.models import Attempt
from jobs.providers.base import BuildProvider, Report, build_id_of
from jobs.queue.refusals import close_refusals
from jobs.retry import DEFAULT_RETRY_ON, retry_delay

OUTPUT_BYTES = 4096


def finish(one: Followed, report: Report) -> None:
    """End the attempt as its server's record says; its whole log is stored already."""
    output = _output(one.attempt)
    limits = one.limits
    outcome = judge_outcome(
        report,
        timeout_seconds=limits.timeout_seconds,
        idle_timeout_seconds=limits.idle_timeout_seconds,
        failure=read_failure(output.encode())[:1000],
        server=one.attempt.server_name,
    )
    end(one, outcome, output=output)


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
    shown = lifecycle.Outcome(
        outcome.status, outcome.exit_code, outcome.category, outcome.message, output, outcome.metrics
    )
    lifecycle.finish_attempt(one.attempt, outcome=shown, requeue_at=requeue_at)
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
