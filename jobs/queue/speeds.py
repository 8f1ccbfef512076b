"""How fast servers are beside each other, learnt from works that several of them have built. Pure functions.

Durations are taken as products: what a work takes, times how slow the server is. In logarithms that is a sum of two
effects, which are told apart by medians in turn (median polish: Tukey, Exploratory Data Analysis, 1977, chapter 11):
of a work after the servers' share is taken off, and of a server after the works' is; single builds that went astray
move neither. A server of few builds is believed little: see `trusted`.

How long any build takes is durations.py's to say.
"""

from collections.abc import Collection, Hashable, Sequence
from statistics import median
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

WIDER_WEIGHS = 2
"""What is known of a wider group counts as so many samples of a narrower one."""
_ROUNDS = 3
_LEAST = 3  # builds of a work that tell anything


def trusted(effect: float, *, samples: int) -> float:
    """An effect that so few samples show, drawn towards none."""
    return effect * samples / (samples + WIDER_WEIGHS)


def speeds_of(works: Collection[Sequence[tuple[K, float]]]) -> dict[K, float]:
    """By server the logarithm of how slow it is: 0 as all others, log(2) twice as long.

    Each work is its builds, as a server and the logarithm of what it took. A server that is missing shared no work
    with another one, so that nothing is known of it.
    """
    shared = [builds for builds in works if len(builds) >= _LEAST and len({key for key, _ in builds}) > 1]
    found: dict[K, float] = {key: 0.0 for builds in shared for key, _ in builds}
    for _ in range(_ROUNDS):
        beside: dict[K, list[float]] = {key: [] for key in found}
        for builds in shared:
            middle = median(log - found[key] for key, log in builds)
            for key, log in builds:
                beside[key].append(log - middle)
        found = {key: trusted(median(logs), samples=len(logs)) for key, logs in beside.items()}
    return found
