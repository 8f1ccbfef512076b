"""Doorbells: "look now", from any process of the board to all others. A bell says where to look, never what.

A lost ring costs latency only: whoever listens also looks by itself every second or two. Three carriers:
Redis pub/sub when there is REDIS_URL, else PostgreSQL's NOTIFY, else Unix datagram sockets in the data dir.
Bells in use: `jobs` (any change of one), `queue` (perhaps a job can be placed now), `server:<id>` (something is wished
of whoever follows it), `probe:<server id>`, `checks`, `log:<attempt id>`, `stop:<machine>`.
"""

import logging
import socket
import threading
from functools import partial
from types import TracebackType

from django.conf import settings
from django.db import connection, transaction

from buildboard.core.doorbell.carrier import Carrier
from buildboard.core.doorbell.sockets import SocketCarrier

__all__ = ["Listener", "ring", "ring_on_commit"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
RETRY_SECONDS = 1.0
OPEN_SECONDS = 6.0


def _carrier() -> Carrier:
    if settings.REDIS_URL:
        from buildboard.core.doorbell.redis_pubsub import RedisCarrier  # noqa: PLC0415  # slow to load, often not used

        return RedisCarrier(settings.REDIS_URL)
    if connection.vendor == "postgresql":
        from buildboard.core.doorbell.postgres import PostgresCarrier  # noqa: PLC0415  # same

        return PostgresCarrier()
    return SocketCarrier(settings.DATA_DIR)


def ring(bell: str) -> None:
    """Tell every listener to look at `bell`. Never raises and never waits for a listener."""
    try:
        _carrier().ring(bell)
    except Exception as error:  # noqa: BLE001  # a bell is a hint: whatever went wrong, the caller's work is done
        logger.debug("A bell was not rung: %s", error, extra={"action": "doorbell.ring", "bell": bell})


def ring_on_commit(bell: str) -> None:
    """Ring when the caller's transaction has committed, once for all who asked; at once when there is none."""
    if not _is_to_ring(bell):
        transaction.on_commit(partial(ring, bell), robust=True)


def _is_to_ring(bell: str) -> bool:
    """Whether this transaction rings it already. What rolls that back rolls back also what comes now: all that is open
    now was open then, or is within it.
    """
    return connection.in_atomic_block and any(
        isinstance(act, partial) and act.func is ring and act.args == (bell,)
        for _, act, *_ in connection.run_on_commit
    )


class Listener:
    """Hears every bell that is rung while it is open. One thread of its own; open it after the fork.

    `wait` may be called by any thread; a bell is given to one of the callers.
    """

    def __init__(self) -> None:
        self._carrier = _carrier()
        self._bells: set[str] = set()
        self._woken = False
        # Reentrant, so that a signal handler in the thread that waits can wake it.
        self._heard = threading.Condition(threading.RLock())
        self._opened = threading.Event()
        self._closing = threading.Event()
        self._waker, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._listen, name="doorbell", daemon=True)

    def __enter__(self) -> "Listener":
        """Begin to listen: from here on no ring is missed, as long as the carrier answers."""
        self._thread.start()
        self._opened.wait(OPEN_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and wake whoever waits. May be called from another thread, and twice."""
        self._closing.set()
        with self._heard:
            self._heard.notify_all()
        self._waker.close()
        if self._thread.ident is None:  # never opened
            self._wake.close()
        elif self._thread is not threading.current_thread():
            self._thread.join(RETRY_SECONDS)

    def wait(self, timeout_seconds: float) -> set[str]:
        """The bells rung since the last call, waiting up to `timeout_seconds` for the first; else none."""
        with self._heard:
            self._heard.wait_for(
                lambda: self._bells or self._woken or self._closing.is_set(), timeout_seconds
            )
            bells, self._bells, self._woken = self._bells, set(), False
        return bells

    def wake(self) -> None:
        """Have one `wait` return now, perhaps without a bell. A signal handler may call it."""
        self._woken = True
        with self._heard:
            self._heard.notify()

    def _listen(self) -> None:
        away = False
        with self._wake:
            while not self._closing.is_set():
                try:
                    self._carrier.open()
                    self._opened.set()
                    away = False
                    self._receive()
                except self._carrier.errors as error:
                    self._carrier.close()
                    self._opened.set()
                    if not away:
                        logger.warning("Doorbells are away, so news come late: %s", str(error).strip())
                    away = True
                    self._closing.wait(RETRY_SECONDS)
            self._carrier.close()

    def _receive(self) -> None:
        while not self._closing.is_set():
            bells = self._carrier.receive(self._wake, timeout_seconds=POLL_SECONDS)
            if bells:
                with self._heard:
                    self._bells.update(bells)
                    self._heard.notify()
