"""When things should happen, as ranges, and how good such estimates have been. Nothing is read or written here."""

from datetime import datetime
from math import ceil
from typing import Literal, Protocol, TypeVar

from buildboard.core.schemas import Shown, Timestamp

T_co = TypeVar("T_co", covariant=True)
LearntFrom = Literal["server", "repository_on_server", "branch", "repository", "architecture", "everything"]


class _Ranging(Protocol[T_co]):
    @property
    def low(self) -> T_co: ...
    @property
    def likely(self) -> T_co: ...
    @property
    def high(self) -> T_co: ...


class _Telling(Protocol):
    @property
    def made_at(self) -> datetime: ...
    @property
    def start(self) -> _Ranging[datetime] | None: ...
    @property
    def end(self) -> _Ranging[datetime]: ...
    @property
    def basis(self) -> str: ...
    @property
    def samples(self) -> int: ...


class SecondsRange(Shown):
    """Whole seconds from now: eight of ten lie between `low` and `high`."""

    low: int
    likely: int
    high: int

    @classmethod
    def of(cls, found: _Ranging[float]) -> "SecondsRange":
        """The shape of a range."""
        return cls(low=int(found.low), likely=ceil(found.likely), high=ceil(found.high))


class MomentRange(Shown):
    """Times: eight of ten lie between `low` and `high`."""

    low: Timestamp
    likely: Timestamp
    high: Timestamp

    @classmethod
    def of(cls, found: _Ranging[datetime]) -> "MomentRange":
        """The shape of a range."""
        return cls(low=found.low, likely=found.likely, high=found.high)


class EstimateShape(Shown):
    """When a job should start (null: it has a server) and end.

    `learnt_from` says which past builds tell how long it takes, of the narrowest kind that has enough of them: those
    of its branch on the likeliest server, of its repository on that server, of its branch, of its repository, for its
    architecture, or of the whole board; `samples` how many.
    """

    made_at: Timestamp
    start: MomentRange | None
    end: MomentRange
    learnt_from: LearntFrom
    samples: int

    @classmethod
    def of(cls, told: _Telling) -> "EstimateShape":
        """The shape of what was told of a job."""
        return cls(
            made_at=told.made_at,
            start=MomentRange.of(told.start) if told.start else None,
            end=MomentRange.of(told.end),
            learnt_from=told.basis,  # type: ignore[arg-type]  # the words of the queue's enumeration
            samples=told.samples,
        )


class AccuracyShape(Shown):
    """How good so many past estimates were, in percent.

    Within 25 percent of what came, counted from when it was told; and in range: between their own `low` and `high`.
    """

    estimates: int
    within_25_percent: int
    in_range: int


class TrackRecordShape(Shown):
    """Of the latest starts and ends that were told; null: none came yet that could be compared."""

    starts: AccuracyShape | None
    ends: AccuracyShape | None
