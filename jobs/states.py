"""The states of jobs and attempts, their legal transitions, and how all states look. The first file to read.

Without the ORM. `lifecycle.py` alone writes these states; this module decides nothing.
"""

from dataclasses import dataclass

from django.db.models import IntegerChoices, TextChoices


class JobStatus(TextChoices):
    """Where a build job stands."""

    QUEUED = "queued", "Queued"
    CLAIMED = "claimed", "Claimed"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class AttemptStatus(TextChoices):
    """Where one execution of a job stands."""

    CLAIMED = "claimed", "Claimed"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    LOST = "lost", "Lost"
    RELEASED = "released", "Released"


class Phase(TextChoices):
    """What an active attempt is doing: `connecting` while claimed, the others while running."""

    CONNECTING = "connecting", "Connecting"
    CHECKOUT = "checkout", "Checkout"
    BUILDING = "building", "Building"
    COLLECTING = "collecting", "Collecting"


class ErrorCategory(TextChoices):
    """Why an attempt did not complete."""

    EXIT_CODE = "exit_code", "Exit code"
    EXCEPTION = "exception", "Exception"
    CONTAINER = "container", "Container"
    TIMEOUT = "timeout", "Timeout"
    SYSTEM = "system", "System"
    LOST = "lost", "Lost"
    CHECKOUT = "checkout", "Checkout"
    CANCELLED = "cancelled", "Cancelled"


class Priority(IntegerChoices):
    """Who goes first; first in, first out within one. What waits long goes up: models/rank.py."""

    LOW = 0, "low"
    NORMAL = 10, "normal"
    HIGH = 20, "high"
    URGENT = 30, "urgent"


JOB_TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.CLAIMED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.CLAIMED: frozenset(
        {JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.RUNNING: frozenset(
        {JobStatus.QUEUED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}
ATTEMPT_TRANSITIONS: dict[AttemptStatus, frozenset[AttemptStatus]] = {
    AttemptStatus.CLAIMED: frozenset(
        {
            AttemptStatus.RUNNING,
            AttemptStatus.RELEASED,
            AttemptStatus.FAILED,
            AttemptStatus.CANCELLED,
            AttemptStatus.LOST,
        }
    ),
    AttemptStatus.RUNNING: frozenset(
        {AttemptStatus.COMPLETED, AttemptStatus.FAILED, AttemptStatus.CANCELLED, AttemptStatus.LOST}
    ),
    AttemptStatus.COMPLETED: frozenset(),
    AttemptStatus.FAILED: frozenset(),
    AttemptStatus.CANCELLED: frozenset(),
    AttemptStatus.LOST: frozenset(),
    AttemptStatus.RELEASED: frozenset(),
}

JOB_TERMINAL = frozenset(status for status, targets in JOB_TRANSITIONS.items() if not targets)
JOB_ACTIVE = frozenset({JobStatus.CLAIMED, JobStatus.RUNNING})
JOB_UNFINISHED = JOB_ACTIVE | {JobStatus.QUEUED}
ATTEMPT_TERMINAL = frozenset(status for status, targets in ATTEMPT_TRANSITIONS.items() if not targets)
ATTEMPT_ACTIVE = frozenset({AttemptStatus.CLAIMED, AttemptStatus.RUNNING})


@dataclass(frozen=True)
class Badge:
    """How a state is shown: daisyUI colour class and lucide icon (design README)."""

    colour: str
    icon: str
    turns: bool = False


_NEUTRAL_CLOCK = Badge("badge-neutral", "clock")
BADGES: dict[str, Badge] = {
    "queued": _NEUTRAL_CLOCK,
    "claimed": Badge("badge-neutral", "hand"),
    "running": Badge("badge-warning", "loader-circle", turns=True),
    "completed": Badge("badge-success", "check"),
    "failed": Badge("badge-error", "x"),
    "cancelled": Badge("badge-neutral", "ban"),
    "lost": Badge("badge-error", "unplug"),
    "released": Badge("badge-neutral", "clock"),
    # of build servers
    "online": Badge("badge-success", "check"),
    "offline": Badge("badge-error", "unplug"),
    "degraded": Badge("badge-warning", "triangle-alert"),
    "maintenance": Badge("badge-neutral", "wrench"),
    "unknown": Badge("badge-neutral badge-ghostline", "circle-question-mark"),
    "draining": Badge("badge-neutral", "arrow-down-to-line"),
    "removing": Badge("badge-error", "trash-2"),
    "quarantined": Badge("badge-error", "shield-alert"),
    "disabled": Badge("badge-neutral", "ban"),
    # of how a server stands to a job, and a waiting job to all of them
    "free": Badge("badge-success", "check"),
    "busy": Badge("badge-neutral", "hourglass"),
    "impossible": Badge("badge-error", "octagon-alert"),
}
