"""Fetches the artifacts of builds that ended, in threads of their own, so that no log of the same server waits.

Owns these threads and how long they try. What was kept stays kept: whoever comes after a thread that was stopped or
killed anywhere reads only the rest. What the end means for the attempt is collect.py's and follow.py's business.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections

from jobs import lifecycle
from jobs.artifacts import ArtifactError, Keeper, StorageError
from jobs.execution import collect
from jobs.execution.followed import Followed
from jobs.providers.base import BuiltFile, FileContent, ProviderRefused, ProviderUnreachable, Report
from jobs.selection import select_files, shorten, starts_of
from jobs.states import Phase

logger = logging.getLogger(__name__)

PARALLEL = 2  # of one server: one large build does not keep the others waiting, and channels are few
MOST_SECONDS = 3600.0
AWAY_SECONDS = 600.0  # without a byte, while the server or the database is away
AGAIN_SECONDS = 2.0
STUCK_SECONDS = 5.0  # how long one that was stopped may take to notice
MOST_TRIES = 5  # of one file whose reading is cut
WORK_TREE = "src"


class Collector:
    """The threads of one follower, which alone calls this.

    Any thread calls `wake` when one has ended, and `hear` with an error after which it is tried again.
    """

    def __init__(self, name: str, *, wake: Callable[[], None], hear: Callable[[BaseException], None]) -> None:
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix=f"collect-{name}")
        self._wake = wake
        self._hear = hear
        self._errands: dict[UUID, tuple[_Errand, Future[list[str]]]] = {}

    def close(self) -> None:
        """End soon; what is kept by then stays."""
        for errand, _ in self._errands.values():
            errand.stop("the board stopped")
        self._pool.shutdown(wait=False, cancel_futures=True)

    def begin(self, one: Followed, report: Report) -> None:
        """Fetch what this build left; again: nothing. `finish_ended` ends it then."""
        if one.attempt.phase != Phase.COLLECTING:
            lifecycle.set_phase(one.attempt, phase=Phase.COLLECTING)
            one.attempt.phase = Phase.COLLECTING
        if one.attempt.pk not in self._errands:
            errand = _Errand(one, report, hear=self._hear)
            future = self._pool.submit(errand.run)
            self._errands[one.attempt.pk] = (errand, future)
            future.add_done_callback(lambda _: self._wake())

    def is_collecting(self, one: Followed) -> bool:
        """Whether it was begun and has not ended yet."""
        return one.attempt.pk in self._errands

    def finish_ended(
        self,
        followed: MutableMapping[UUID, Followed],
        *,
        guarded: Callable[[Followed, Callable[[Followed], None]], object],
    ) -> None:
        """End the attempts whose artifacts are fetched, each `guarded`; and stop what nobody wants any more."""
        for attempt_id, (errand, future) in list(self._errands.items()):
            one = followed.get(attempt_id)
            if one is None:
                errand.stop("nobody follows the build any more")
            elif one.cancel_wished:
                errand.stop("the build was cancelled meanwhile")
            if future.done() or errand.is_stuck:
                del self._errands[attempt_id]
                if one is not None:
                    guarded(one, partial(_finish, errand=errand, future=future))
                    followed.pop(attempt_id, None)  # the next look at the rows tells whether it goes on


class _Errand:
    """One attempt's artifacts on their way."""

    def __init__(self, one: Followed, report: Report, *, hear: Callable[[BaseException], None]) -> None:
        self.one = one
        self.report = report
        self._hear = hear
        self._stopping = threading.Event()
        self._why = ""
        self._stopped_at = 0.0
        self._until = time.monotonic() + MOST_SECONDS
        self._heard = time.monotonic()
        self._tries: dict[str, int] = {}
        self._not_chosen: list[str] = []
        self._failed: dict[str, str] = {}

    def stop(self, why: str) -> None:
        """End at the next piece."""
        if not self._why:
            self._why, self._stopped_at = why, time.monotonic()
            self._stopping.set()

    @property
    def is_stuck(self) -> bool:
        """Whether it was stopped and does not notice: its server says nothing, and nobody waits for that."""
        return self._stopping.is_set() and time.monotonic() - self._stopped_at > STUCK_SECONDS

    def rest(self) -> list[str]:
        """What was left out by one that was stopped."""
        return self._told([f"the rest: {self._why}", *self._left_out])

    @property
    def _left_out(self) -> list[str]:
        return [*self._not_chosen, *self._failed.values()]

    def run(self) -> list[str]:
        """Fetch; what was left out, a sentence each, without secrets."""
        try:
            return self._told(self._run())
        except _Stopped:
            return self.rest()
        finally:
            connections.close_all()

    def _told(self, left_out: list[str]) -> list[str]:
        return [self.one.masker.mask_text(sentence) for sentence in shorten(left_out)]

    def _run(self) -> list[str]:
        while True:
            try:
                return self._fetch()
            except (ProviderRefused, StorageError) as error:
                return [f"the rest: {error}", *self._left_out]
            except (ProviderUnreachable, OperationalError, InterfaceError) as error:
                logger.info("%s", error, extra={"action": "collect", "attempt": str(self.one.attempt.pk)})
                self._hear(error)
                if not isinstance(error, ProviderUnreachable):
                    connections["default"].close()
                if time.monotonic() - self._heard > AWAY_SECONDS:
                    self.stop(f"it could not be fetched within {AWAY_SECONDS:g} s: {error}")
                self._stopping.wait(AGAIN_SECONDS)

    def _fetch(self) -> list[str]:
        """All that is not kept yet; what was left out."""
        self._check()
        attempt, masker = self.one.attempt, self.one.masker
        sizes, self._not_chosen = self._select()
        shown: dict[str, str] = {}
        for path in sizes:
            name = masker.mask_text(path)
            if name in shown:
                self._not_chosen.append(f"{path}: another name is the same once secrets are masked")
            else:
                shown[name] = path
        with Keeper(attempt) as keeper:
            wanted = {
                f"{WORK_TREE}/{path}": name
                for name, path in shown.items()
                if name not in keeper.kept and path not in self._failed
            }
            files = [BuiltFile(path, sizes[path.removeprefix(f"{WORK_TREE}/")]) for path in wanted]
            limits = {file.path: file.size for file in files}
            for content in self.one.provider.read_files(self.one.build_id, files) if files else ():
                self._keep(keeper, content, name=wanted[content.path], limit_bytes=limits[content.path])
        return self._left_out

    def _select(self) -> tuple[dict[str, int], list[str]]:
        patterns = self.one.attempt.job.spec["artifact_paths"]
        starts = [(f"{WORK_TREE}/{path}".rstrip("/"), depth) for path, depth in starts_of(patterns)]
        found = self.one.provider.list_files(self.one.build_id, starts=starts)
        self._heard = time.monotonic()
        below = ((file.path.removeprefix(f"{WORK_TREE}/"), file.size) for file in found.files)
        selection = select_files(below, patterns=patterns, limit_bytes=settings.MAX_ARTIFACT_BYTES)
        left_out = []  # these first: of the sentences on single files only so many are kept
        if found.truncated:
            left_out.append(
                f"the build left more than {len(found.files)} files, and only those were looked at: "
                "name the folders more closely"
            )
        if found.refused:
            left_out.append(
                f"{found.refused} files: their names hold control characters, are not UTF-8 or are too long"
            )
        return selection.sizes, [*left_out, *selection.left_out]

    def _keep(self, keeper: Keeper, content: FileContent, *, name: str, limit_bytes: int) -> None:
        path = content.path.removeprefix(f"{WORK_TREE}/")
        try:
            keeper.keep(
                path=name,
                chunks=self._watched(content.chunks),
                limit_bytes=limit_bytes,
                sha256=content.sha256,
            )
        except ArtifactError as error:
            self._failed[path] = str(error)
        except ProviderRefused as error:
            self._failed[path] = f"{path}: {error}"
        except ProviderUnreachable as error:
            self._tries[path] = self._tries.get(path, 0) + 1
            if self._tries[path] >= MOST_TRIES:
                self._failed[path] = f"{path}: {error}"
            raise

    def _watched(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._check()
            self._heard = time.monotonic()
            yield chunk

    def _check(self) -> None:
        if time.monotonic() > self._until:
            self.stop(f"it took longer than {MOST_SECONDS:g} s to fetch it")
        if self._stopping.is_set():
            raise _Stopped


class _Stopped(Exception):
    """The rest is not fetched."""


def _finish(one: Followed, *, errand: _Errand, future: Future[list[str]]) -> None:
    """Raises what a defect of the board raised in the thread."""
    collect.finish(one, errand.report, left_out=future.result() if future.done() else errand.rest())
