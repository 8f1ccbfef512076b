"""What can be refused or go wrong with a job; each error carries what the caller needs to decide."""

from dataclasses import dataclass


class JobError(Exception):
    """Base of all; the text is a sentence for a person that says what to do."""


class IllegalTransition(JobError):
    """The state does not allow it. Names the state that was found and the one that was asked for."""

    def __init__(self, what: str, *, found: str, wanted: str) -> None:
        super().__init__(f"{what} is {found} and cannot be {wanted}.")
        self.found = found
        self.wanted = wanted


class StaleLease(JobError):
    """The writer no longer holds the attempt; nothing was changed."""


class QueueFull(JobError):
    """No more jobs are taken for now."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The queue is full ({limit} jobs are waiting). Try again later, cancel jobs that are not needed, "
            "or raise BUILDBOARD_MAX_QUEUE_SIZE."
        )
        self.retry_after_seconds = 30


@dataclass(frozen=True)
class FieldError:
    """One field that does not fit, and what to do."""

    field: str
    message: str


class InvalidSubmission(JobError):
    """A submission with one or more fields that do not fit (422)."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors


class NoFreeSlot(JobError):
    """The server's last slot was taken by another."""
