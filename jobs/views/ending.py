"""The card that says how a job or one of its attempts ended: what happened, where in the log, what to do."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.urls import reverse

from buildboard.core.models import Event
from jobs.logs.outline import read_outline
from jobs.logs.store import LogGap
from jobs.logs.windows import read_window
from jobs.models import Attempt, BuildJob
from jobs.states import ATTEMPT_ACTIVE, AttemptStatus, ErrorCategory, JobStatus

# What a failure of each category means, and what to do about it.
ADVICE = {
    ErrorCategory.EXIT_CODE: "The build's own command failed; the end of the log says why. "
    "Submitting the same commit again helps only if the cause was a passing one.",
    ErrorCategory.EXCEPTION: "The build ended in an error that it did not expect; the log says more.",
    ErrorCategory.CONTAINER: "The build's container could not be used. An operator can look at the server.",
    ErrorCategory.TIMEOUT: "It ran into its time limit. Raise it, or see in the log where the time went.",
    ErrorCategory.SYSTEM: "The infrastructure failed before the build's own command began. "
    "Trying again may help.",
    ErrorCategory.LOST: "The server could not be reached for so long that the build was given up.",
    ErrorCategory.CHECKOUT: "The source could not be checked out, or nothing in it says how to build it. "
    "Check repository, branch and commit, or give a command.",
}
# An outline of more takes too long for a page; the viewer asks for it beside the page.
_MOST_LOG_BYTES = 32 << 20
_CAUSE_GAP_LINES = 100
_MOST_CHARACTERS = 2000
_CAUSE_CHARACTERS = 400
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_FAILED = (AttemptStatus.FAILED, AttemptStatus.LOST)


@dataclass(frozen=True)
class Cause:
    """The line of the log that tells why; `line` counts from 1."""

    line: int
    text: str
    address: str
    paged_address: str


@dataclass(frozen=True)
class Ending:
    """The card. `title` is the sentence, `message` the rest of what was reported."""

    label: str
    title: str
    message: str = ""
    colour: str = "bad"
    icon: str = "circle-x"
    icon_class: str = "bad mt-0.5"
    cause: Cause | None = None
    facts: list[str] = field(default_factory=list)
    advice: str = ""


def ending_of(
    job: BuildJob, *, attempts: list[Attempt], attempt: Attempt | None, events: Iterable[Event]
) -> Ending | None:
    """How the shown attempt ended, or the job, if it is the last; None while there is nothing to tell."""
    is_last = not attempts or attempt == attempts[-1]
    if is_last and job.status == JobStatus.CANCELLED:
        return _cancelled(job, events)
    if attempt is not None and attempt.status in _FAILED:
        return _failed(job, attempts=attempts, attempt=attempt)
    if is_last and job.status == JobStatus.FAILED:
        return _failed(job, attempts=attempts, attempt=None)
    if attempt is not None and attempt.error_message and attempt.status not in ATTEMPT_ACTIVE:
        return Ending(
            label=f"How attempt {attempt.number} ended",
            title=f"Attempt {attempt.number}: {attempt.get_status_display()}",
            message=attempt.error_message[:_MOST_CHARACTERS],
            colour="",
            icon="clock",
            icon_class="muted mt-0.5",
        )
    return None


def _cancelled(job: BuildJob, events: Iterable[Event]) -> Ending:
    asked = next((event for event in events if event.kind in ("cancel_requested", "cancelled")), None)
    by = job.cancel_requested_by or (asked.actor if asked else "")
    reasons = [event.reason for event in events if event.kind in ("cancel_requested", "cancelled")]
    reason = next((one for one in reversed(reasons) if one and one != job.error_message), "")
    return Ending(
        label="How it ended",
        title=f"Cancelled by {by}" if by else "Cancelled",
        message=reason[:_MOST_CHARACTERS],
        colour="",
        icon="ban",
        icon_class="muted mt-0.5",
    )


def _failed(job: BuildJob, *, attempts: list[Attempt], attempt: Attempt | None) -> Ending:
    """`attempt` None: nothing of the job was started."""
    told = attempt or job
    title, _, rest = (told.error_message or job.error_message).strip().partition("\n")
    category = told.error_category or job.error_category
    facts = [ErrorCategory(category).label] if category and category != ErrorCategory.EXIT_CODE else []
    if attempt is not None and attempt.status == AttemptStatus.LOST:
        facts = ["Lost"]
    if told.exit_code is not None and str(told.exit_code) not in title:
        facts.append(f"exit code {told.exit_code}")
    again = attempt and _same_before(attempt, attempts)
    if again:
        facts.append(f"attempt {again.number} failed in the same way, so another try is unlikely to help")
    label = "Why it failed"
    if attempt is not None and attempt != attempts[-1]:
        label = f"Why attempt {attempt.number} failed"
    return Ending(
        label=label,
        title=title[:_MOST_CHARACTERS] or "It failed, and nothing says why.",
        message=rest.strip()[:_MOST_CHARACTERS],
        cause=_find_cause(attempt) if attempt else None,
        facts=facts,
        advice=ADVICE.get(ErrorCategory(category), "") if category else "",
    )


def _same_before(attempt: Attempt, attempts: list[Attempt]) -> Attempt | None:
    """The latest earlier attempt that failed of its own with the same words."""
    for other in reversed(attempts):
        if other.number < attempt.number and other.status == AttemptStatus.FAILED:
            alike = (other.error_category, other.exit_code, other.error_message)
            if alike == (attempt.error_category, attempt.exit_code, attempt.error_message):
                return other
    return None


# ---- where in the log -------------------------------------------------------------------------------------


def cause_of(errors: list[int]) -> int | None:
    """Of the lines with errors, in order, the one to begin with: the first of those that stand together at the end.

    An early one may have been harmless, and the last ones only tell that those before them happened. The twin of
    `causeOf` in static/js/log/cause.js.
    """
    if not errors:
        return None
    at = len(errors) - 1
    while at > 0 and errors[at] - errors[at - 1] <= _CAUSE_GAP_LINES:
        at -= 1
    return errors[at]


def _find_cause(attempt: Attempt) -> Cause | None:
    if not 0 < attempt.log_size <= _MOST_LOG_BYTES:
        return None
    try:
        outline = read_outline(attempt)
        line = cause_of([at for at, kind in outline.marks if kind == "error"])
        if line is None:
            return None
        window = read_window(attempt, first_line=line, limit=1, is_live=False)
    except LogGap:
        return None
    shown = window.lines[0].shown.text if window.lines else ""
    text = _COLOURS.sub("", shown).strip()
    place, number = f"attempt={attempt.number}", line + 1
    return Cause(
        line=number,
        text=text[:_CAUSE_CHARACTERS],
        address=f"{reverse('jobs:detail', args=[attempt.job_id])}?{place}#L{number}",
        paged_address=f"{reverse('jobs:log', args=[attempt.job_id])}?{place}&line={number}#L{number}",
    )
