"""Which server takes a job: pure functions of facts. Conditions are conditions.py's, the score is score.py's.

Of those that can take it now, a server that the job asks for goes first, then those under their CPU limit, then those
of the job's own architecture before those that would cross-build, and among equals the higher score; whoever suits
it exactly as well draws lots. Nothing is read or written here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from jobs.needs import Needs
from jobs.queue.conditions import CPU_PATIENCE_SECONDS, Kind, Refused, is_over_cpu_limit, judge
from jobs.queue.score import NO_PAST, Past, Scoring, draw_lots, rounded, usual_scoring, why_chosen
from servers.fleet import ServerFacts

_Level = tuple[bool, bool, bool]


@dataclass(frozen=True)
class Choice:
    """The servers that can take the job now, best first, and why each other one does not."""

    able: list[ServerFacts] = field(default_factory=list)
    refusals: list[tuple[ServerFacts, Refused]] = field(default_factory=list)


@dataclass(frozen=True)
class Picked:
    """The server that takes a job, and why this one, as a sentence."""

    server: ServerFacts
    why: str


class Judged:
    """The fleet judged for one class of need; a server that changed is judged anew without the others.

    What differs between jobs of one class is given when it is asked: the repository's past, and the job's id, which
    decides between servers that suit it alike.
    """

    def __init__(
        self,
        servers: Iterable[ServerFacts],
        *,
        needs: Needs,
        now: datetime,
        waited_seconds: float = 0,
        scoring: Scoring | None = None,
    ) -> None:
        self.needs = needs
        self.changes = 0  # how often the refusals of a server changed
        self._now = now
        self._waited_seconds = waited_seconds
        self._scoring = scoring or usual_scoring()
        self._refused: dict[UUID, tuple[ServerFacts, list[Refused]]] = {}
        self._able: dict[UUID, ServerFacts] = {}
        self._passed_over: dict[UUID, ServerFacts] = {}
        self._busy: set[UUID] = set()
        self._standing: dict[UUID, tuple[_Level, float]] = {}  # of those that are able or passed over
        for server in servers:
            self.update(server)

    def renew(self, servers: Mapping[UUID, ServerFacts], *, now: datetime, scoring: Scoring) -> None:
        """The same class at another time. Judges only what changed: whose facts are not the very object of before."""
        self._now, self._scoring = now, scoring
        if self._refused.keys() != servers.keys():
            for known in (self._refused, self._able, self._passed_over, self._standing):
                known.clear()
            self._busy.clear()
            self.changes += 1
        for server in servers.values():
            before = self._refused.get(server.id)
            if before is None or before[0] is not server or server.is_timed:
                self.update(server)
        for server_id, server in (self._able | self._passed_over).items():
            self._standing[server_id] = (self._level_of(server), scoring.of_load(server))

    def update(self, server: ServerFacts) -> None:
        """Judge this one server by its new facts."""
        for group in (self._able, self._passed_over):
            group.pop(server.id, None)
        self._busy.discard(server.id)
        refused = judge(server, needs=self.needs, now=self._now, waited_seconds=self._waited_seconds)
        before = self._refused.get(server.id)
        if before is None or before[1] != refused:
            self.changes += 1
        self._refused[server.id] = (server, refused)
        if all(not one.hard for one in refused):
            (self._passed_over if refused else self._able)[server.id] = server
            self._standing[server.id] = (self._level_of(server), self._scoring.of_load(server))
        elif all(one.kind is Kind.BUSY for one in refused):
            self._busy.add(server.id)

    @property
    def has_room(self) -> bool:
        """Whether any server takes such a job now."""
        return bool(self._candidates)

    @property
    def able_count(self) -> int:
        """How many servers take such a job now."""
        return len(self._candidates)

    @property
    def within_reach(self) -> set[UUID]:
        """The servers that take such a job now or as soon as they have room."""
        return self._able.keys() | self._passed_over.keys() | self._busy

    def best(self, *, job_id: UUID | None = None, past: Past = NO_PAST) -> ServerFacts | None:
        """The server that takes the job now, if any."""
        alike = self._best_alike(past)
        return min(alike, key=lambda server: draw_lots(server, job_id=job_id), default=None)

    def pick(self, *, job_id: UUID, past: Past = NO_PAST) -> Picked:
        """The same with the reason. Raises ValueError when there is none."""
        alike = self._best_alike(past)
        server = min(alike, key=lambda one: draw_lots(one, job_id=job_id))
        if self.needs.names(server):
            return Picked(server, "The job asks for it.")
        why = why_chosen(server, able=len(self._candidates), alike=len(alike), past=past)
        return Picked(server, why)

    @property
    def choice(self) -> Choice:
        """The same as `choice_for` any job of the class."""
        return self.choice_for()

    def choice_for(self, *, job_id: UUID | None = None, past: Past = NO_PAST) -> Choice:
        """All of it: who is able, best first, and the refusals of the others, in the servers' order."""
        able = sorted(self._candidates.values(), key=lambda server: draw_lots(server, job_id=job_id))
        able.sort(key=lambda server: self._rank(server.id, past), reverse=True)
        taken = {server.id for server in able}
        refusals = [
            (server, one)
            for server, refused in self._refused.values()
            if server.id not in taken
            for one in refused
        ]
        return Choice(able=able, refusals=refusals)

    @property
    def _candidates(self) -> dict[UUID, ServerFacts]:
        """Over its CPU limit a server is passed over only while another is able or may come free."""
        return self._able if self._able or self._busy else self._passed_over

    def _best_alike(self, past: Past) -> list[ServerFacts]:
        ranks = {server_id: self._rank(server_id, past) for server_id in self._candidates}
        best = max(ranks.values(), default=None)
        return [server for server_id, server in self._candidates.items() if ranks[server_id] == best]

    def _rank(self, server_id: UUID, past: Past) -> tuple[_Level, float]:
        level, load = self._standing[server_id]
        return level, rounded(load + self._scoring.of_past(server_id, past=past))

    def _level_of(self, server: ServerFacts) -> _Level:
        return (
            self.needs.names(server),
            not is_over_cpu_limit(server),
            self.needs.architecture in server.architectures,
        )


def choose(
    servers: Iterable[ServerFacts],
    *,
    needs: Needs,
    now: datetime,
    waited_seconds: float = 0,
    scoring: Scoring | None = None,
    job_id: UUID | None = None,
    past: Past = NO_PAST,
) -> Choice:
    """Judge every server; the able ones are in the order in which they suit the job."""
    judged = Judged(servers, needs=needs, now=now, waited_seconds=waited_seconds, scoring=scoring)
    return judged.choice_for(job_id=job_id, past=past)


def is_patient(waited_seconds: float) -> bool:
    """Whether a job still waits for a server under its CPU limit: two jobs of one class may differ in it."""
    return waited_seconds < CPU_PATIENCE_SECONDS
