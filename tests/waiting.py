"""Waiting in tests: look until it is so, within a bound. It is not in charge of what is waited for."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
WAIT_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 0.02


def wait_for(
    look: Callable[[], T], *, what: str | Callable[[], str] = "", seconds: float = WAIT_SECONDS
) -> T:
    """What `look` answers as soon as that is true; an AssertionError that says what never was, after `seconds`.

    `what` may be a function, for words that are only known at the end, such as all that a process printed.
    """
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        if time.monotonic() >= deadline:
            said = what() if callable(what) else what
            raise AssertionError(f"not within {seconds} s: {said or 'what was waited for'} ({answer!r})")
        time.sleep(_LOOK_EVERY_SECONDS)
    return answer
