"""The words in which the forms of a log and their readers speak: pieces of bytes, places of lines, gaps."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from buildboard.core.errors import ApiError
from jobs.logs.sgr import Sgr


class LogGap(ApiError):
    """Bytes that the attempt says are kept are not there. Every door answers it as 410 with its sentence."""

    def __init__(self, attempt_id: UUID, missing: str) -> None:
        super().__init__(
            410,
            "log_gap",
            f"The log of attempt {attempt_id} has no {missing} any more. The board's storage may be damaged: "
            "ask an operator to restore it.",
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive kept bytes, and when they were kept."""

    offset: int
    data: bytes
    at: datetime

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line begins, and the colours that are in force there."""

    offset: int
    sgr: Sgr


def behind_line_feeds(data: bytes, count: int) -> int:
    """Where the rest of `data` begins behind so many of its LFs."""
    return len(data) - len(data.split(b"\n", count)[-1])
