"""Calls that begin at the same moment, each in a thread with connections of its own."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections

_BEGIN_SECONDS, _END_SECONDS = 30, 60


def at_once(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each gives, or the error that it raises."""
    results: list[Any] = [None] * len(acts)
    barrier = threading.Barrier(len(acts))

    def run(number: int) -> None:
        barrier.wait(_BEGIN_SECONDS)
        try:
            results[number] = acts[number]()
        except Exception as error:  # noqa: BLE001  # handed to the test
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_END_SECONDS)
        assert not thread.is_alive()
    return results
