"""Which server takes a job: pure functions of facts. Conditions are conditions.py's; nothing is read or written here.

Least loaded means: a server under its CPU limit before one over it, one of the job's own architecture before one
that would cross-build, then the smaller share of slots held, then the lower CPU load, more free slots, the name.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from jobs.queue.conditions import CPU_PATIENCE_SECONDS, Kind, Needs, Refused, is_over_cpu_limit, judge
from servers.fleet import ServerFacts


@dataclass(frozen=True)
class Choice:
    """The servers that can take the job now, best first, and why each other one does not."""

    able: list[ServerFacts] = field(default_factory=list)
    refusals: list[tuple[ServerFacts, Refused]] = field(default_factory=list)


class Judged:
    """The fleet judged for one class of need; a server that changed is judged anew without the others."""

    def __init__(
        self, servers: Iterable[ServerFacts], *, needs: Needs, now: datetime, waited_seconds: float = 0
    ) -> None:
        self._needs = needs
        self._now = now
        self._waited_seconds = waited_seconds
        self._refused: dict[UUID, tuple[ServerFacts, list[Refused]]] = {}
        self._able: dict[UUID, ServerFacts] = {}
        self._passed_over: dict[UUID, ServerFacts] = {}
        self._busy: set[UUID] = set()
        for server in servers:
            self.update(server)

    def update(self, server: ServerFacts) -> None:
        """Judge this one server by its new facts."""
        for group in (self._able, self._passed_over):
            group.pop(server.id, None)
        self._busy.discard(server.id)
        refused = judge(server, needs=self._needs, now=self._now, waited_seconds=self._waited_seconds)
        self._refused[server.id] = (server, refused)
        if not refused:
            self._able[server.id] = server
        elif all(not one.hard for one in refused):
            self._passed_over[server.id] = server
        elif all(one.kind is Kind.BUSY for one in refused):
            self._busy.add(server.id)

    def best(self) -> ServerFacts | None:
        """The server that takes the job now, if any."""
        return min(self._candidates, key=self._load, default=None)

    @property
    def choice(self) -> Choice:
        """All of it: who is able, and the refusals of the others, in the servers' order."""
        able = sorted(self._candidates, key=self._load)
        taken = {server.id for server in able}
        refusals = [
            (server, one)
            for server, refused in self._refused.values()
            if server.id not in taken
            for one in refused
        ]
        return Choice(able=able, refusals=refusals)

    @property
    def _candidates(self) -> Iterable[ServerFacts]:
        """Over its CPU limit a server is passed over only while another is able or may come free."""
        if self._able or self._busy:
            return self._able.values()
        return self._passed_over.values()

    def _load(self, server: ServerFacts) -> tuple[bool, bool, float, float, int, str]:
        return (
            is_over_cpu_limit(server),
            self._needs.architecture not in server.architectures,
            server.held / max(1, server.slots),
            server.cpu_percent or 0.0,
            -server.free_slots,
            server.name,
        )


def choose(
    servers: Iterable[ServerFacts], *, needs: Needs, now: datetime, waited_seconds: float = 0
) -> Choice:
    """Judge every server; the able ones are ordered by load, the least loaded first."""
    return Judged(servers, needs=needs, now=now, waited_seconds=waited_seconds).choice


def is_patient(waited_seconds: float) -> bool:
    """Whether a job still waits for a server under its CPU limit: two jobs of one class may differ in it."""
    return waited_seconds < CPU_PATIENCE_SECONDS
