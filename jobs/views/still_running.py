"""What still runs on a server that is to be drained, and until about when.

Not in charge of the end of each build: progress.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.utils import timezone

from jobs.models import Attempt
from jobs.views.progress import Progress

_SHOWN = 8


@dataclass(frozen=True)
class Remaining:
    """One build that goes on. `ends_at` is None while nothing like it has completed; `is_over`: past that already."""

    attempt: Attempt
    ends_at: datetime | None = None
    is_over: bool = False

    @property
    def until(self) -> str:
        """Its end in words, to the minute; empty: nobody can tell."""
        return about(self.ends_at) if self.ends_at and not self.is_over else ""


@dataclass(frozen=True)
class StillRunning:
    """All of them, the one that ends last first."""

    builds: Sequence[Remaining] = ()

    @property
    def count(self) -> int:
        """How many run."""
        return len(self.builds)

    @property
    def shown(self) -> Sequence[Remaining]:
        """Those to be named."""
        return self.builds[:_SHOWN]

    @property
    def left_out(self) -> int:
        """Those that are not named."""
        return max(0, self.count - _SHOWN)

    @property
    def last_ends_at(self) -> datetime | None:
        """When the last one that can be told should end; None: of none it can be told."""
        return max((one.ends_at for one in self.builds if one.ends_at and not one.is_over), default=None)

    @property
    def until(self) -> str:
        """The same in words; empty: of none it can be told."""
        return about(self.last_ends_at) if self.last_ends_at else ""

    @property
    def untold(self) -> int:
        """Of how many it is not known when they end."""
        return sum(one.ends_at is None or one.is_over for one in self.builds)


def about(at: datetime) -> str:
    """`14:05 UTC`, with the day before it when that is another one than today."""
    of_day = at.astimezone(UTC)
    day = "" if of_day.date() == timezone.now().astimezone(UTC).date() else f"{of_day:%Y-%m-%d} "
    return f"{day}{of_day:%H:%M} UTC"


def still_running(attempts: Sequence[Attempt], *, progress: Mapping[UUID, Progress]) -> StillRunning:
    """Of active attempts with their jobs; `progress` is theirs, by their jobs' ids."""
    builds = [_remaining(attempt, progress[attempt.job_id]) for attempt in attempts]
    # What nobody can tell the end of may last the longest.
    builds.sort(key=lambda one: (one.ends_at is not None, -one.ends_at.timestamp() if one.ends_at else 0))
    return StillRunning(builds)


def _remaining(attempt: Attempt, progress: Progress) -> Remaining:
    return Remaining(attempt, progress.usual_end_at, is_over=progress.over is not None)
