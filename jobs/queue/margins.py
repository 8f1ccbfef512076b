"""How far starts lay beside what was told, of late: ranges are made as wide as that. Pure functions.

The plays know how unlike builds last, not what nobody has submitted yet: jobs of a higher priority that go before, and
builds that fail early. The latest starts tell how much that comes to: eight of ten of them are to lie in range. Only
the ends of a range are moved, never the likeliest, so that what is measured next does not depend on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.queue.lasting import Range

LEAST = 20
"""Of fewer starts nothing is concluded."""
_LOW, _HIGH = 0.1, 0.9


@dataclass(frozen=True)
class Margins:
    """What came, as a factor of what was told: a tenth lay under `low`, a tenth over `high`."""

    low: float = 1.0
    high: float = 1.0

    def widen(self, found: Range) -> Range:
        """A range of seconds until a start that is at least so wide."""
        low, high = min(found.low, self.low * found.likely), max(found.high, self.high * found.likely)
        return Range(low, found.likely, high)


def margins_of(waits: Sequence[tuple[float, float]]) -> Margins:
    """From what was told and what came, in seconds."""
    factors = sorted(came / max(1.0, told) for told, came in waits)
    if len(factors) < LEAST:
        return Margins()
    low, high = factors[int(_LOW * len(factors))], factors[int(_HIGH * len(factors))]
    return Margins(min(1.0, low), max(1.0, high))
