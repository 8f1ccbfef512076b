"""How an attempt ended, as its follower hands it to lifecycle.py. It decides nothing."""

from dataclasses import dataclass, field
from typing import Any

from jobs.states import AttemptStatus, ErrorCategory


@dataclass(frozen=True)
class Excuse:
    """Why a job whose attempt failed is queued again whatever its submission says; `is_host_fault`: that is known."""

    reason: str
    is_host_fault: bool = True


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. `status` is a terminal one; `output` is the end of its log.

    `fingerprint` is the same for failures that say the same.
    """

    status: AttemptStatus
    exit_code: int | None = None
    category: ErrorCategory | None = None
    message: str = ""
    output: str = ""
    fingerprint: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    excuse: Excuse | None = None

    @property
    def failed(self) -> bool:
        """Whether it came to nothing though nobody cancelled it."""
        return self.status in {AttemptStatus.FAILED, AttemptStatus.LOST}

    def as_result(self) -> dict[str, Any]:
        """The job's `result`, as the contract names its keys."""
        return {
            "exitCode": self.exit_code,
            "output": self.output,
            "error": self.message or None,
            "metrics": self.metrics,
        }

    def as_data(self) -> dict[str, Any]:
        """What the event of the end keeps."""
        return {
            "attempt_status": str(self.status),
            "category": self.category or "",
            "exit_code": self.exit_code,
        }

    def of_attempt(self) -> dict[str, Any]:
        """The columns that an attempt has and its job has not."""
        return {
            "metrics": self.metrics,
            "error_fingerprint": self.fingerprint,
            "host_fault": self.excuse is not None and self.excuse.is_host_fault,
        }

    def message_of_requeue(self) -> str:
        """What happened, and why it is tried again if its submission did not ask for that."""
        return f"{self.message} {self.excuse.reason}" if self.excuse else self.message
