"""Whether a failed attempt is tried again by itself, and when. Pure; lifecycle.py does it."""

import random
from collections.abc import Collection

from jobs.states import ErrorCategory

DEFAULT_RETRY_ON = (ErrorCategory.SYSTEM,)
FIRST_DELAY_SECONDS = 5.0
LONGEST_DELAY_SECONDS = 300.0


def retry_delay(
    category: ErrorCategory | None, *, attempts: int, max_attempts: int, retry_on: Collection[str]
) -> float | None:
    """Seconds until the next attempt, doubling with each and with half of it as jitter; None: no retry.

    Only categories that the submission named are retried, never more often than its limit.
    """
    if category is None or category not in retry_on or attempts >= max_attempts:
        return None
    delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** max(0, attempts - 1))
    return delay * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
