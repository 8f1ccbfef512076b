"""How good the estimates have been: the first ones of the latest jobs beside what came. predictions.py keeps both."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.models import Prediction
from jobs.models.prediction import PredictionStage

JUDGED = 200
QUARTER = 0.25
_LEAST_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Estimated:
    """One estimate in seconds from when it was made, and what came."""

    low: float
    likely: float
    high: float
    came: float


@dataclass(frozen=True)
class Accuracy:
    """How good so many estimates were, in whole percent.

    `within_25_percent`: said was at most 25% more or less than what came; `in_range`: that lay between low and high.
    """

    estimates: int
    within_25_percent: int
    in_range: int


@dataclass(frozen=True)
class TrackRecord:
    """Of starts as they were told while jobs waited, and of ends as they were told when builds began.

    None: nothing came yet that could be compared.
    """

    starts: Accuracy | None = None
    ends: Accuracy | None = None

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "TrackRecord":
        """From what `asdict` made of one; nothing of an empty mapping."""
        return cls(**{name: Accuracy(**found) for name, found in kept.items() if found})

    @property
    def of_starts(self) -> str:
        """How good those of starts have been, in a sentence."""
        found = self.starts
        if found is None:
            return "How good estimates of a start are is not known yet."
        if found.estimates == 1:
            word = "had" if found.in_range else "did not have"
            return f"The only estimate of a start so far {word} it in its range."
        within, inside = found.within_25_percent, found.in_range
        return (
            f"Of the last {found.estimates} estimates of a start, {inside}% had it in their range, "
            f"{within}% were within 25% of it."
        )


def judge_estimates(estimates: Sequence[Estimated]) -> Accuracy | None:
    """The share that was right; None without any."""
    if not estimates:
        return None
    near = sum(abs(one.likely - one.came) <= QUARTER * one.came for one in estimates)
    inside = sum(one.low <= one.came <= one.high for one in estimates)
    return Accuracy(len(estimates), _percent(near, of=len(estimates)), _percent(inside, of=len(estimates)))


def judge_waits(estimates: Iterable[Estimated]) -> Accuracy | None:
    """The same of starts. One within ten seconds that was told so is not counted: nobody asks, and it would flatter."""
    return judge_estimates([one for one in estimates if max(one.likely, one.came) > _LEAST_WAIT_SECONDS])


def latest_waits() -> list[Estimated]:
    """The first estimates of the latest 200 starts that were told. One query."""
    starts = Prediction.objects.filter(number=1, stage=PredictionStage.QUEUED, started_at__isnull=False)
    times = ("made_at", "start_low_at", "start_likely_at", "start_high_at", "started_at")
    return _read(starts.order_by("-started_at").values_list(*times)[:JUDGED])


def track_record(*, waits: Iterable[Estimated] | None = None) -> TrackRecord:
    """What the latest 200 of each came to; `waits`, if read already, are `latest_waits`. Two queries."""
    ends = Prediction.objects.filter(number=1, stage=PredictionStage.ACTIVE, ended_at__isnull=False)
    times = ("made_at", "end_low_at", "end_likely_at", "end_high_at", "ended_at")
    return TrackRecord(
        starts=judge_waits(latest_waits() if waits is None else waits),
        ends=judge_estimates(_read(ends.order_by("-ended_at").values_list(*times)[:JUDGED])),
    )


def _read(rows: Iterable[tuple[datetime, ...]]) -> list[Estimated]:
    return [
        Estimated(*((one - made_at).total_seconds() for one in (low, likely, high, came)))
        for made_at, low, likely, high, came in rows
    ]


def _percent(share: int, *, of: int) -> int:
    return round(100 * share / of)
