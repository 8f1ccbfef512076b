"""Has short tasks done beside the runner, one of a kind at a time. What they do is in `jobs/tasks.py`."""

from collections.abc import Callable

from buildboard.core.enqueue import enqueue, is_queued


class Requests:
    """Those of one kind: while one waits or is done, however long, no other is made."""

    def __init__(self, dotted_path: str, *, has_work: Callable[[], bool]) -> None:
        self._dotted_path = dotted_path
        self._has_work = has_work
        self._row = 0

    def make(self) -> int:
        """How many requests were made."""
        if (self._row and is_queued(self._row)) or not self._has_work():
            return 0
        self._row = enqueue(self._dotted_path)
        return 1
