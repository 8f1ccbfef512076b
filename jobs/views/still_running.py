"""What still runs on a server that is to be drained, and until about when, by how long builds like it took."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from jobs.models import Attempt
from jobs.queue.durations import usual_seconds

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


def still_running(attempts: Sequence[Attempt]) -> StillRunning:
    """Of active attempts with their jobs. One query; none for none."""
    usual = usual_seconds([attempt.job for attempt in attempts])
    now = timezone.now()
    builds = [_remaining(attempt, usual=usual.get(attempt.job_id), now=now) for attempt in attempts]
    # What nobody can tell the end of may last the longest.
    builds.sort(key=lambda one: (one.ends_at is not None, -(one.ends_at or now).timestamp()))
    return StillRunning(builds)


def _remaining(attempt: Attempt, *, usual: float | None, now: datetime) -> Remaining:
    if usual is None:
        return Remaining(attempt)
    ends_at = (attempt.started_at or now) + timedelta(seconds=usual)
    return Remaining(attempt, ends_at, is_over=ends_at <= now)
