"""Reads on in a log that is longer than one answer, while what came before is still being stored.

One build of a server at a time, in a thread of its own, and few in the process: what was read waits in memory. The
other builds are asked together meanwhile, as often as ever. It stores nothing and is not in charge of what a report
means (follow.py), nor of what becomes of a build that does not answer (polling.py).
"""

import logging
import queue
import threading
from collections.abc import Callable, Container
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from uuid import UUID

from django.db import connections

from jobs.execution.followed import Followed
from jobs.providers.base import ProviderError, Report

logger = logging.getLogger(__name__)

# What comes is held in three parts of this size, one being read, one waiting, one being stored, and what its
# transport has under way: a server's end stops meanwhile. A part is one transaction.
PART_BYTES = 8 << 20
READ_BYTES = 32 << 20  # in one question: a helper has a second of the processor's time for it
MOST_AHEAD = 3  # builds of the whole process at once; the logs of the others are polled
_LOOK_SECONDS = 0.2  # how late a thread notices that nobody wants what it read
_turns = threading.BoundedSemaphore(MOST_AHEAD)


class _Reading:
    """One build's log on its way: `parts` holds what was read and not taken yet, at the end perhaps an error."""

    def __init__(self, one: Followed, offset: int) -> None:
        self.one = one
        self.offset = offset
        self.attempt_id = one.attempt.pk
        self.overlap = one.masker.longest
        self.parts: queue.Queue[Report | ProviderError] = queue.Queue(1)
        self.unwanted = threading.Event()
        self.future: Future[None] | None = None

    @property
    def ended(self) -> bool:
        return self.future is not None and self.future.done()

    def read(self, wake: Callable[[], None]) -> None:
        """Until nothing follows or nobody wants it."""
        provider, build_id = self.one.provider, self.one.build_id
        offset: int | None = self.offset
        try:
            while offset is not None:
                asked, offset = offset, None
                reports = provider.read_log(build_id, asked, max_bytes=READ_BYTES, part_bytes=PART_BYTES)
                with closing(reports):
                    end_before = b""
                    for report in reports:
                        part = _joined(end_before, report)
                        if not self._give(part, wake):
                            return
                        end_before = part.data[-self.overlap :] if self.overlap else b""
                        offset = report.reads_on_at(self.overlap)
                        offset = offset if offset is not None and offset > asked else None
        except ProviderError as error:
            self._give(error, wake)
        except Exception:  # the outermost frame of this thread: the build is polled again with the others
            logger.exception("Reading on failed", extra={"action": "poll", "attempt": str(self.attempt_id)})
        finally:
            connections.close_all()  # of this thread: a jump host's jump host is read when it is needed

    def _give(self, part: Report | ProviderError, wake: Callable[[], None]) -> bool:
        while not self.unwanted.is_set():
            try:
                self.parts.put(part, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            wake()
            return True
        return False


def _joined(end_before: bytes, report: Report) -> Report:
    """The report and the end of the one before: masking may have held that back, and it counts as known otherwise."""
    if not end_before:
        return report
    return replace(report, offset=report.offset - len(end_before), data=end_before + report.data)


class Ahead:
    """What one follower reads ahead; it alone calls this. `wake` is called, by any thread, when a part came."""

    def __init__(self, name: str, *, wake: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"ahead-{name}")
        self._wake = wake
        self._reading: _Reading | None = None

    def close(self, *, wait: bool = False) -> None:
        """Read nothing more."""
        self._let_go()
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def is_reading(self, one: Followed) -> bool:
        """Whether what follows in this build's log comes by itself."""
        return self._reading is not None and self._reading.attempt_id == one.attempt.pk

    def keep_to(self, followed: Container[UUID]) -> None:
        """Read nothing more of a build that is not one of these."""
        if self._reading is not None and self._reading.attempt_id not in followed:
            self._let_go()

    def read_on(self, one: Followed, report: Report) -> None:
        """Read what follows this report, which is not kept yet, unless another build has its turn.

        What is being read of this build is dropped when it does not follow what is kept any more.
        """
        if self.is_reading(one) and not one.continues(report):
            self._let_go()
        offset = one.reads_on_at(report)
        if offset is None or self._reading is not None or not _turns.acquire(blocking=False):
            return
        reading = _Reading(one, offset)
        try:
            reading.future = self._pool.submit(reading.read, self._wake)
        except RuntimeError:  # it was closed
            _turns.release()
            return
        self._reading = reading
        reading.future.add_done_callback(lambda _: self._wake())

    def taken(self) -> tuple[UUID, Report | ProviderError] | None:
        """The build that is read on and the next that came of it, once."""
        reading = self._reading
        if reading is None:
            return None
        ended = reading.ended  # asked first: all that it gave is there then
        try:
            part = reading.parts.get_nowait()
        except queue.Empty:
            part = None
        if isinstance(part, ProviderError) or (ended and reading.parts.empty()):
            self._let_go()
        return None if part is None else (reading.attempt_id, part)

    def _let_go(self) -> None:
        if self._reading is not None:
            self._reading.unwanted.set()
            self._reading = None
            _turns.release()
