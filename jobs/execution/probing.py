"""Asks one server now and then what it is and has, in a thread of its own: lightly, and its tools hourly.

What an answer means for the server's status is servers/health.py's. Builds never wait for a probe.
"""

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections
from django.db.models import Max
from django.utils import timezone

from servers import health
from servers.connections import forget_failures, open_client, open_fresh_transport, way_to
from servers.models import BuildServer, Toolchain
from servers.runs import MIRROR_DAYS, RunClient
from servers.transport import (
    BadReply,
    HelperRefused,
    HostKeyProblem,
    LoginRefused,
    TransportError,
    TransportTimeout,
)

logger = logging.getLogger(__name__)

LIGHT_SECONDS = 45.0
TOOLS_SECONDS = 3600.0
TOOLS_AGAIN_SECONDS = 600.0  # when they did not answer, or the folders could not be cleared
AGAIN_SECONDS = 15.0  # after one that failed
GARBAGE_DAYS = 14  # runs that ended so long ago and that no board asked to remove
CLEAR_SECONDS = 6 * 3600.0
# Caches of repositories that go before their time: more than this together, or a disk that is nearly full.
MIRROR_KIB = 20 << 20
FLOOR_KIB = 2 << 20


@dataclass
class Answer:
    """What a probe came to, over which way. `is_itself`: a new connection showed the pinned key, after an alarm.

    `cleared` is None when that was not tried.
    """

    way: tuple[object, ...]
    facts: dict[str, str] = field(default_factory=dict)
    error: TransportError | HelperRefused | None = None
    latency_ms: float = 0.0
    is_itself: bool = False
    cleared: bool | None = None


class Prober:
    """The probes of one follower, which alone calls this."""

    def __init__(self, server_id: UUID, *, name: str) -> None:
        self._server_id = server_id
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"probe-{name}")
        self._running: Future[Answer] | None = None
        self._next_at = 0.0
        self._way: tuple[object, ...] | None = None
        self._tools_at = 0.0
        self._clear_at = 0.0

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def hurry(self) -> None:
        """Probe at the next look."""
        self._next_at = 0.0

    def look(self) -> None:
        """Take in what came back, and ask when it is time."""
        if self._running is not None and self._running.done():
            answer, self._running = self._running.result(), None
            self._take_in(answer)
        if self._running is None and time.monotonic() >= self._next_at:
            server = self._row()
            if server is None:
                return  # deleted; its follower ends with the lease
            now = time.monotonic()
            self._next_at = now + LIGHT_SECONDS
            answer = Answer(way_to(server))
            if answer.way != self._way:
                is_first, self._way = self._way is None, answer.way
                self._tools_at = now + self._tools_due_in() if is_first else 0.0
            self._running = self._pool.submit(
                _ask, server, answer, tools=now >= self._tools_at, clear=now >= self._clear_at
            )

    def _tools_due_in(self) -> float:
        """Seconds until the tools are to be asked for: whoever followed the server before may have done so lately."""
        found = Toolchain.objects.filter(server_id=self._server_id)
        seen_at: datetime | None = found.aggregate(seen_at=Max("seen_at"))["seen_at"]
        if seen_at is None:
            return 0.0
        return TOOLS_SECONDS - (timezone.now() - seen_at).total_seconds()

    def _row(self) -> BuildServer | None:
        return BuildServer.objects.to_reach(self._server_id)

    def _take_in(self, answer: Answer) -> None:
        server = self._row()
        if server is None or way_to(server) != answer.way:
            self._next_at = (
                0.0  # address, key or pin were changed meanwhile: this may be about another machine
            )
            return
        if answer.is_itself:
            health.note_pinned_key(self._server_id)
        if answer.error is not None:
            health.note_failure(self._server_id, error=answer.error)
            # Who waits for a person is not asked often: some servers lock out who fails to log in.
            if not isinstance(answer.error, LoginRefused | HostKeyProblem):
                self._next_at = min(self._next_at, time.monotonic() + AGAIN_SECONDS)
            return
        now = time.monotonic()
        if answer.cleared is not None:
            self._clear_at = now + (CLEAR_SECONDS if answer.cleared else TOOLS_AGAIN_SECONDS)
        if answer.facts.get("depth") == "tools":
            self._tools_at = now + TOOLS_SECONDS
        elif now >= self._tools_at:
            self._tools_at = now + TOOLS_AGAIN_SECONDS
        if health.apply_probe(self._server_id, facts=answer.facts, latency_ms=answer.latency_ms):
            self._tools_at = self._next_at = 0.0  # started anew, perhaps with other tools


def _ask(server: BuildServer, answer: Answer, *, tools: bool, clear: bool) -> Answer:
    """The outermost frame of a probe's thread; no rows are written here."""
    try:
        _look(server, answer, tools=tools, clear=clear)
    except (TransportError, HelperRefused) as error:
        logger.info("%s was not probed: %s", server.name, error, extra={"action": "probe"})
        answer.error = error
    except (DatabaseError, InterfaceError):
        raise  # of the board's own: nothing is known of the server
    except Exception as error:
        logger.exception("A probe failed", extra={"action": "probe", "server": str(server.pk)})
        why = f"The board failed to probe it ({type(error).__name__}): see the log of its runner."
        answer.error = TransportError(why)
    finally:
        connections.close_all()  # of this thread: a jump host's jump host is read when it is needed
    return answer


def _look(server: BuildServer, answer: Answer, *, tools: bool, clear: bool) -> None:
    if server.host_key and server.seen_host_key:
        # A warm connection would not tell that the address still leads to another machine.
        _show_itself(server)
        forget_failures(server.pk)
        answer.is_itself = True
    client = open_client(server)
    began = time.monotonic()
    client.poll([])
    answer.latency_ms = (time.monotonic() - began) * 1000
    if clear:
        answer.cleared = _clear(client, name=server.name)
    answer.facts = _ask_facts(client, server, tools=tools)


def _clear(client: RunClient, *, name: str) -> bool:
    """Have what nobody needs removed; a server where that fails may work all the same."""
    try:
        client.collect_garbage(days=GARBAGE_DAYS)
        client.tidy_caches(days=MIRROR_DAYS, most_kib=MIRROR_KIB, floor_kib=FLOOR_KIB)
    except (TransportError, HelperRefused) as error:
        logger.warning("%s was not cleared: %s", name, error, extra={"action": "clear"})
        return False
    return True


def _ask_facts(client: RunClient, server: BuildServer, *, tools: bool) -> dict[str, str]:
    """All, or without the tools when one of them hangs: that alone makes no server unwell."""
    if tools:
        try:
            return client.probe(environment=server.environment)
        except (BadReply, TransportTimeout) as error:
            logger.warning("%s did not tell its tools: %s", server.name, error, extra={"action": "probe"})
    return client.probe(tools=False, environment=server.environment)


def _show_itself(server: BuildServer) -> None:
    transport = open_fresh_transport(server)
    try:
        RunClient(transport).poll([])
    finally:
        transport.close()
