"""How far apart samples lie: the factors between which eight of ten more are to fall. Pure functions.

The tenth and the ninetieth percentile of logarithms (builds are late by a factor, not by a sum), each read off at
p * (n + 1) as Hyndman and Fan's definition 6 has it (The American Statistician 50, 1996, p. 361-365): a new sample
then falls below it in a share p of cases, however few samples there are; where that lies outside of the samples, the
line is drawn on. Which samples belong together is durations.py's to say.
"""

import math
from collections.abc import Sequence

_LOW, _HIGH = 0.1, 0.9
_LEAST_SPREAD, _MOST_SPREAD = 1.1, 10.0  # factors: nothing is more regular, nothing is drawn on further
_FEW_SPREAD = 2.0  # of a single sample


def spreads_of(logs: Sequence[float], *, around: float) -> tuple[float, float]:
    """The factors below and above what is the middle; of at least one logarithm."""
    ordered = sorted(logs)
    if len(ordered) == 1:
        return _FEW_SPREAD, _FEW_SPREAD
    return _spread(around - _quantile(ordered, _LOW)), _spread(_quantile(ordered, _HIGH) - around)


def _spread(distance: float) -> float:
    return min(_MOST_SPREAD, max(_LEAST_SPREAD, math.exp(distance)))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) + 1)
    below = min(max(int(place), 1), len(ordered) - 1)
    return ordered[below - 1] + (place - below) * (ordered[below] - ordered[below - 1])
