"""The notes of one check: a step each, with what was seen, what to do, and how long it took.

Not in charge of what is tried (check_steps.py), nor of the rows (checks.py).
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

NAMES = ("reach", "host_key", "login", "shell", "git", "work_dir", "disk", "tools")
_LONGEST = 500  # characters of a server's words


class Superseded(Exception):
    """Another runner took the check over."""


class StepFailed(Exception):
    """A step failed and the ones after it cannot be tried. It was noted."""


@dataclass
class Step:
    """One step; `ok` is None while it is not known."""

    name: str
    ok: bool | None = None
    seen: str = ""
    advice: str = ""
    milliseconds: int | None = None


class Notes:
    """All steps. `show` is given them whenever one changes; False means that nobody wants them any more."""

    def __init__(self, show: Callable[[list[dict[str, object]]], bool]) -> None:
        self._show = show
        self._steps = {name: Step(name) for name in NAMES}
        self._began = time.monotonic()

    def __getitem__(self, name: str) -> Step:
        return self._steps[name]

    @property
    def rows(self) -> list[dict[str, object]]:
        """All steps as they are stored."""
        return [asdict(step) for step in self._steps.values()]

    @property
    def current(self) -> str:
        """The first step that is not known, or the last."""
        return next((step.name for step in self._steps.values() if step.ok is None), NAMES[-1])

    def begin(self) -> None:
        """From now on time counts for the step that is noted next."""
        self._began = time.monotonic()

    def write(self, name: str, *, ok: bool, seen: str, advice: str = "") -> None:
        """Note a step and show them all. Raises Superseded."""
        self.imply(name, ok=ok, seen=seen, advice=advice)
        self._steps[name].milliseconds = round((time.monotonic() - self._began) * 1000)
        self.show()

    def imply(self, name: str, *, ok: bool, seen: str, advice: str = "") -> None:
        """Note a step that another one has settled; it took no time of its own."""
        step = self._steps[name]
        step.ok, step.seen, step.advice = ok, seen[:_LONGEST], advice[:_LONGEST]

    def show(self) -> None:
        """Raises Superseded."""
        if not self._show(self.rows):
            raise Superseded
