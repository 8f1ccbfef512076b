"""How long a build lasts in each play of the simulation. Pure functions; what was learnt is durations.py's.

There are PLAYS equally likely durations of a build, and over the plays it lasts for each of them once; in which order
depends on the job's id alone. So the same facts give the same answer, and two answers that are compared (with a
server and without it, with a job and without it) differ by the facts, not by luck.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from uuid import UUID

from jobs.queue.durations import Learnt

PLAYS = 16
_STEPS = [(number + 0.5) / PLAYS for number in range(PLAYS)]
_NORMAL = NormalDist()
_Z_OF_STEPS = [_NORMAL.inv_cdf(step) for step in _STEPS]
_Z_OF_HIGH = _NORMAL.inv_cdf(0.9)  # where a learnt range ends
_SURE = 0.999
_OVERDUE = 0.2
_BEGUN = 0.001  # such a share of a duration tells nothing about the rest
_shuffles = random.Random(1)  # noqa: S311  # no secret: the same in every process
_ORDERS = [_shuffles.sample(range(PLAYS), PLAYS) for _ in range(997)]


@dataclass(frozen=True)
class Range:
    """Seconds: the median of the plays, and what is left without their least and their greatest tenth."""

    low: float
    likely: float
    high: float


def range_of_plays(plays: Sequence[float]) -> Range:
    """What the plays came to."""
    ordered = sorted(plays)
    tenth = max(1, round(len(ordered) / 10))
    return Range(ordered[tenth - 1], median(ordered), ordered[-tenth])


def play_order(job_id: UUID) -> list[int]:
    """Which of its PLAYS durations the job lasts for in each play."""
    return _ORDERS[job_id.int % len(_ORDERS)]


def lasting(learnt: Learnt) -> list[float]:
    """The equally likely durations in seconds, ascending: log-normal on either side of the likeliest."""
    return [_duration(learnt, z) for z in _Z_OF_STEPS]


def left(learnt: Learnt, *, elapsed_seconds: float) -> list[float]:
    """What is left when it has run for so long: of those durations that are longer still, ascending.

    Past all that was learnt nobody knows: then it is at most another fifth of its time so far.
    """
    share = elapsed_seconds / learnt.likely
    if share < _BEGUN:
        return lasting(learnt)
    spread = learnt.high / learnt.likely if share > 1 else learnt.likely / learnt.low
    past = min(_SURE, _NORMAL.cdf(_Z_OF_HIGH * math.log(share) / math.log(spread)))
    whole = [_duration(learnt, _NORMAL.inv_cdf(past + step * (1 - past))) for step in _STEPS]
    overdue = [_OVERDUE * elapsed_seconds * step for step in _STEPS]
    return [max(one - elapsed_seconds, more) for one, more in zip(whole, overdue, strict=True)]


def left_between(learnt: Learnt, *, elapsed_seconds: float) -> Range:
    """The same as a range."""
    return range_of_plays(left(learnt, elapsed_seconds=elapsed_seconds))


def _duration(learnt: Learnt, z: float) -> float:
    spread = learnt.high / learnt.likely if z > 0 else learnt.likely / learnt.low
    return learnt.likely * math.exp(math.log(spread) * z / _Z_OF_HIGH)
