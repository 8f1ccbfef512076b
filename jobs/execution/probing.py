"""Asks one server now and then what it is and has, in a thread of its own: lightly, and its tools hourly.

What an answer means for the server's status is servers/health.py's. Builds never wait for a probe.
"""

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connections

from servers import health
from servers.connections import forget_failures, open_client, open_fresh_transport
from servers.models import BuildServer
from servers.runs import RunClient
from servers.transport import HelperRefused, HostKeyProblem, LoginRefused, TransportError

logger = logging.getLogger(__name__)

LIGHT_SECONDS = 45.0
TOOLS_SECONDS = 3600.0
AGAIN_SECONDS = 15.0  # after one that failed
GARBAGE_DAYS = 14  # runs that ended so long ago and that no board asked to remove
CLEAR_SECONDS = 6 * 3600.0
# Caches of repositories: not used for so long, or more than this together, or a disk that is nearly full.
MIRROR_DAYS = 30
MIRROR_KIB = 20 << 20
FLOOR_KIB = 2 << 20


@dataclass
class Answer:
    """What a probe came to. `is_itself`: a new connection showed the pinned key, after an alarm."""

    facts: dict[str, str] = field(default_factory=dict)
    error: TransportError | HelperRefused | None = None
    latency_ms: float = 0.0
    is_itself: bool = False
    cleared: bool = False


class Prober:
    """The probes of one follower, which alone calls this."""

    def __init__(self, server_id: UUID, *, name: str) -> None:
        self._server_id = server_id
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"probe-{name}")
        self._running: Future[Answer] | None = None
        self._next_at = 0.0
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
            server = BuildServer.objects.select_related("jump_host").filter(pk=self._server_id).first()
            if server is None:
                return  # deleted; its follower ends with the lease
            self._next_at = time.monotonic() + LIGHT_SECONDS
            tools = time.monotonic() >= self._tools_at
            self._running = self._pool.submit(
                _ask, server, tools=tools, clear=time.monotonic() >= self._clear_at
            )

    def _take_in(self, answer: Answer) -> None:
        if answer.is_itself:
            health.note_pinned_key(self._server_id)
        if answer.error is not None:
            health.note_failure(self._server_id, error=answer.error)
            # Who waits for a person is not asked often: some servers lock out who fails to log in.
            if not isinstance(answer.error, LoginRefused | HostKeyProblem):
                self._next_at = min(self._next_at, time.monotonic() + AGAIN_SECONDS)
            return
        if answer.cleared:
            self._clear_at = time.monotonic() + CLEAR_SECONDS
        if answer.facts.get("depth") == "tools":
            self._tools_at = time.monotonic() + TOOLS_SECONDS
        if health.apply_probe(self._server_id, facts=answer.facts, latency_ms=answer.latency_ms):
            self._tools_at = self._next_at = 0.0  # started anew, perhaps with other tools


def _ask(server: BuildServer, *, tools: bool, clear: bool) -> Answer:
    """In the thread; no rows are written here."""
    answer = Answer()
    try:
        if server.host_key and server.seen_host_key:
            # A warm connection would not tell that the address still leads to another machine.
            _show_itself(server)
            forget_failures(server.pk)
            answer.is_itself = True
        client = open_client(server)
        if clear:
            client.collect_garbage(days=GARBAGE_DAYS)
            client.tidy_caches(days=MIRROR_DAYS, most_kib=MIRROR_KIB, floor_kib=FLOOR_KIB)
            answer.cleared = True
        began = time.monotonic()
        client.poll([])
        answer.latency_ms = (time.monotonic() - began) * 1000
        answer.facts = client.probe(tools=tools, environment=server.environment)
    except (TransportError, HelperRefused) as error:
        logger.info("%s was not probed: %s", server.name, error, extra={"action": "probe"})
        answer.error = error
    finally:
        connections.close_all()  # of this thread: a jump host's jump host is read when it is needed
    return answer


def _show_itself(server: BuildServer) -> None:
    transport = open_fresh_transport(server)
    try:
        RunClient(transport).poll([])
    finally:
        transport.close()
