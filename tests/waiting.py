"""Waiting in tests: look until it is so, within a bound. It is not in charge of what is waited for."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
WAIT_SECONDS = 30.0
_LEAST_SECONDS, _MOST_SECONDS = 0.02, 0.25


def wait_for(
    look: Callable[[], T], *, what: str | Callable[[], str] = "", seconds: float = WAIT_SECONDS
) -> T:
    """What `look` answers as soon as that is true; an AssertionError that says what never was, after `seconds`.

    The longer it lasts the rarer it looks: a look may cost the board as much as what is waited for.
    `what` may be a function, for words that are only known at the end, such as all that a process printed.
    """
    began = time.monotonic()
    deadline = began + seconds
    while not (answer := look()):
        if time.monotonic() >= deadline:
            said = what() if callable(what) else what
            raise AssertionError(f"not within {seconds} s: {said or 'what was waited for'} ({answer!r})")
        waited = time.monotonic() - began
        time.sleep(min(max(waited / 10, _LEAST_SECONDS), _MOST_SECONDS))
    return answer
