"""How the process of one board answers bench/histories.py: a line to each line, until the input ends."""

import sys
from typing import Protocol


class Looker(Protocol):
    """Somebody who looks at the board of this process. Each answer is one line."""

    def fill(self) -> str:
        """Fill the database; the names of what can be looked at, with tabs between."""
        ...

    def look(self, name: str) -> str:
        """How many seconds one look takes."""
        ...

    def queries(self, name: str) -> str:
        """How many queries one look has."""
        ...


def answer(looker: Looker) -> None:
    """Answer to `fill`, `look NAME` and `queries NAME`."""
    for line in sys.stdin:
        verb, _, name = line.strip().partition(" ")
        answered = looker.fill() if verb == "fill" else getattr(looker, verb)(name)
        print(answered, flush=True)
