"""Owns the live logs of a process: one tail an attempt that somebody watches, all fed by one thread.

The thread is woken by the doorbells `log:<attempt>` and `jobs`, looks by itself every two seconds, reads new
bytes once however many watch, and keeps `watched_until` of those attempts fresh, so that the runner follows
them closely; that somebody begins to watch it hears at once (`server:<id>`). The thread has a database connection
of its own, starts with the first watcher and ends after the last.

It is not in charge of older bytes: who is behind reads the store.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.db import DatabaseError, connections
from django.utils import timezone

from buildboard.core.doorbell import Listener, ring
from jobs.logs import store
from jobs.logs.ring import RING_BYTES, Ring
from jobs.logs.store import LogGap, Piece
from jobs.models import Attempt
from jobs.states import ATTEMPT_TERMINAL

__all__ = ["Standing", "Tail", "Tails", "watch"]

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
RETRY_SECONDS = 1.0
WATCH_EVERY_SECONDS = 3.0
WATCHED_FOR = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Standing:
    """An attempt as the last look found it. `size` are the bytes kept."""

    size: int
    status: str
    phase: str

    @property
    def ended(self) -> bool:
        """Whether status and size are final."""
        return self.status in ATTEMPT_TERMINAL


class Tail:
    """The newest bytes and the standing of one attempt. Read by any thread, fed by one."""

    def __init__(self, attempt_id: uuid.UUID) -> None:
        self.attempt_id = attempt_id
        self.standing: Standing | None = None
        self.watchers: list[Callable[[], None]] = []
        self.watched_at = float("-inf")
        self._lock = threading.Lock()
        self._ring: Ring | None = None

    def take(self, offset: int, *, max_bytes: int) -> list[Piece] | None:
        """At most `max_bytes` from `offset` on; none when there is nothing new; None: read the store."""
        with self._lock:
            return self._ring.take(offset, max_bytes=max_bytes) if self._ring else None

    def look(self, attempt: Attempt) -> None:
        """Take over what a fresh row says, with the bytes that are new. Tells the watchers of a change."""
        standing = Standing(attempt.log_size, attempt.status, attempt.phase)
        if standing == self.standing:
            return
        ring = self._ring
        if ring is None or standing.size - ring.end > RING_BYTES:
            ring = Ring(standing.size)
        try:
            new = list(store.read_pieces(attempt, start=ring.end, end=standing.size))
        except LogGap:
            # The readers find it in the store and say so; the other tails go on.
            ring, new = Ring(standing.size), []
        with self._lock:
            for piece in new:
                ring.append(piece)
            self._ring = ring
        self.standing = standing
        for notify in list(self.watchers):
            notify()


class Tails:
    """The tails of a process and the thread that feeds them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tails: dict[uuid.UUID, Tail] = {}
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None

    @contextmanager
    def watch(self, attempt_id: uuid.UUID, *, notify: Callable[[], None]) -> Iterator[Tail]:
        """The tail of an attempt while somebody watches; `notify` is called, by the thread, on each change.

        `notify` must not block or raise. The first look comes at once; `standing` is None until then.
        """
        with self._lock:
            tail = self._tails.setdefault(attempt_id, Tail(attempt_id))
            tail.watchers.append(notify)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log-tails", daemon=True)
                self._thread.start()
        self._wake()
        try:
            yield tail
        finally:
            with self._lock:
                tail.watchers.remove(notify)
                if not tail.watchers:
                    del self._tails[attempt_id]
            self._wake()

    def _wake(self) -> None:
        listener = self._listener
        if listener is not None:
            listener.wake()

    def _run(self) -> None:
        try:
            while not self._fed_to_the_end():
                time.sleep(RETRY_SECONDS)
        finally:
            connections.close_all()

    def _fed_to_the_end(self) -> bool:
        """Feed until nobody watches; False when that broke and must begin anew."""
        try:
            with Listener() as listener:
                self._listener = listener
                self._feed(listener)
        except DatabaseError as error:
            logger.warning("Live logs wait for the database: %s", error, extra={"action": "tail.feed"})
        except Exception:  # the outermost loop of the thread: without it every live log would stand still
            logger.exception("Live logs broke and begin anew.", extra={"action": "tail.feed"})
        else:
            return True
        connections.close_all()
        return False

    def _feed(self, listener: Listener) -> None:
        next_look = 0.0
        while True:
            bells = listener.wait(max(next_look - time.monotonic(), 0.0))
            with self._lock:
                tails = list(self._tails.values())
                if not tails:
                    self._thread = self._listener = None
                    return
            whole = time.monotonic() >= next_look or "jobs" in bells
            if whole:
                next_look = time.monotonic() + LOOK_SECONDS
            self._look(
                tail for tail in tails if whole or tail.standing is None or f"log:{tail.attempt_id}" in bells
            )

    def _look(self, due: Iterable[Tail]) -> None:
        waiting = {tail.attempt_id: tail for tail in due if tail.standing is None or not tail.standing.ended}
        if not waiting:
            return
        for attempt in Attempt.objects.filter(pk__in=waiting).only("pk", "log_size", "status", "phase"):
            waiting[attempt.pk].look(attempt)
        self._note_watching(waiting.values())

    def _note_watching(self, tails: Iterable[Tail]) -> None:
        now = time.monotonic()
        stale = [tail for tail in tails if now - tail.watched_at >= WATCH_EVERY_SECONDS]
        if stale:
            ids = [tail.attempt_id for tail in stale]
            Attempt.objects.active().filter(pk__in=ids).update(watched_until=timezone.now() + WATCHED_FOR)
            self._tell_followers(tail for tail in stale if tail.watched_at == float("-inf"))
        for tail in stale:
            tail.watched_at = now

    def _tell_followers(self, new: Iterable[Tail]) -> None:
        """Whoever follows an attempt that is watched from now on may have slowed down: it is to look at once."""
        attempts = Attempt.objects.active().filter(pk__in=[tail.attempt_id for tail in new])
        for server_id in attempts.order_by().values_list("server_id", flat=True).distinct():
            ring(f"server:{server_id}")


_TAILS = Tails()
watch = _TAILS.watch
