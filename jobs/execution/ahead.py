"""Reads on in a log that is longer than one answer, while what came before is still being stored.

One build of a server at a time, in a thread of its own, and few in the process: what was read waits in memory. The
other builds are asked together meanwhile, as often as ever. It stores nothing and is not in charge of what a report
means (follow.py), nor of what becomes of a build that does not answer (polling.py).
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

from django.db import connections

from jobs.execution.followed import Followed
from jobs.providers.base import BuildProvider, ProviderError, Report

AHEAD_BYTES = 8 << 20  # of one answer, of which there are up to three copies for moments
MOST_AHEAD = 4  # answers that come, or have come and wait, in the whole process; the others' logs are polled
_turns = threading.BoundedSemaphore(MOST_AHEAD)


class Ahead:
    """What one follower reads ahead; it alone calls this. `wake` is called, by any thread, when an answer came."""

    def __init__(self, name: str, *, wake: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"ahead-{name}")
        self._wake = wake
        self._reading: tuple[UUID, Future[Report | ProviderError]] | None = None

    def close(self, *, wait: bool = False) -> None:
        """Read nothing more."""
        self._pool.shutdown(wait=wait, cancel_futures=True)
        self._let_go()

    def is_reading(self, one: Followed) -> bool:
        """Whether this build's log is being read on, or was and its answer has not been taken."""
        return self._reading is not None and self._reading[0] == one.attempt.pk

    def read_on(self, one: Followed, report: Report) -> None:
        """Ask for what follows a report that did not bring all, unless another build has its turn."""
        offset = one.reads_on_at(report)
        if offset is None or self._reading is not None or not _turns.acquire(blocking=False):
            return
        try:
            answer = self._pool.submit(_read, one.provider, one.build_id, offset)
        except RuntimeError:  # it was closed
            _turns.release()
            return
        self._reading = (one.attempt.pk, answer)
        answer.add_done_callback(lambda _: self._wake())

    def taken(self) -> tuple[UUID, Report | ProviderError] | None:
        """The build that was read on and what it answered, once, when that has come."""
        if self._reading is None or not self._reading[1].done():
            return None
        attempt_id, answer = self._reading
        self._let_go()
        return attempt_id, answer.result()

    def _let_go(self) -> None:
        if self._reading is not None:
            self._reading = None
            _turns.release()


def _read(provider: BuildProvider, build_id: str, offset: int) -> Report | ProviderError:
    try:
        return provider.poll([(build_id, offset)], max_bytes=AHEAD_BYTES)[0]
    except ProviderError as error:
        return error
    finally:
        connections.close_all()  # of this thread: a jump host's jump host is read when it is needed
