"""What a job that does not wait is doing, in one sentence or two. Why one waits is explain.py's."""

from datetime import UTC, datetime

from jobs.models import Attempt, BuildJob
from jobs.states import ErrorCategory, JobStatus, Phase

_PHASES = {
    Phase.CONNECTING: "It is being started on {server}",
    Phase.CHECKOUT: "Its source is being checked out on {server}",
    Phase.BUILDING: "It is being built on {server}",
    Phase.COLLECTING: "It was built on {server}, which hands over what it made",
}
_MOST_WORDS = 300


def what_it_does(job: BuildJob) -> str:
    """Where a job stands that is not queued. One query for an active one."""
    if job.is_terminal:
        return _ended(job)
    attempt = Attempt.objects.filter(job=job).active().order_by("-number").first()
    if attempt is None:  # it changed between two queries
        return "It is changing just now; look again."
    server = attempt.server_name or "a server"
    since = f" since {_time(attempt.started_at)}" if attempt.started_at else ""
    number = f", attempt {attempt.number}" if attempt.number > 1 else ""
    told = [f"{_PHASES[Phase(attempt.phase)].format(server=server)}{since}{number}."]
    if job.cancel_requested_at:
        told = [f"It is being cancelled: {server} has still to confirm that nothing of it runs."]
    if attempt.unreachable_since:
        told.append(
            f"{server} cannot be reached since {_time(attempt.unreachable_since)}; the build may well go on there."
        )
    return " ".join(told)


def _ended(job: BuildJob) -> str:
    at = f" at {_time(job.completed_at)}" if job.completed_at else ""
    where = f" on {job.server_name}" if job.server_name else ""
    if job.status == JobStatus.COMPLETED:
        return f"It completed{where}{at}."
    if job.status == JobStatus.CANCELLED:
        by = f" by {job.cancel_requested_by}" if job.cancel_requested_by else ""
        return f"It was cancelled{by}{at}{'' if job.started_at else ', before it started'}."
    lines = job.error_message.strip().splitlines()
    why = f": {lines[0][:_MOST_WORDS].rstrip('.')}" if lines else ""
    if not why and job.error_category == ErrorCategory.EXIT_CODE:
        why = f": exit code {job.exit_code}"
    return f"It failed{where}{at}{why}."


def _time(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "now"
