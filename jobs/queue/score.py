"""How well an able server suits a job, as a number: pure functions of facts. Who is able is conditions.py's.

The score is a weighted sum of five terms, each from 0 to 1, 1 the best. Only settings weigh them against each other:

- idle, 1 - utilisation: the mean of CPU, memory and disk in use, as far as they are measured, but at least the share
  of slots held, for what was just claimed is not in the last probe's load yet;
- unclaimed, slots / (slots + d), d the jobs that wait for it: each waiting job counts 1 / (servers that fit it), so a
  server that alone can do what others wait for is kept for them;
- free, f / (f + 1), f the free slots: the first says most;
- warm, how lately the repository was built there: its mirror need not be fetched anew;
- fast, the fastest server's usual time / this one's, for this repository and architecture. Without enough builds it
  is 1: whoever was never tried is given the benefit of the doubt.

By default the two that come from the past weigh 0.15 together against 1.0: a warm and fast server is preferred to a
cold one until it is three eighths of its slots fuller, at most; so the cold one's turn comes.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from statistics import fmean
from uuid import UUID

from django.conf import settings

from servers.fleet import ServerFacts

_DIGITS = 9  # what differs less differs by how it was added up


@dataclass(frozen=True)
class Weights:
    """How much each term counts; none is negative."""

    utilisation: float
    waiting: float
    free: float
    cache: float
    speed: float


@dataclass(frozen=True)
class Past:
    """What servers have of one repository, from past builds: both from 0 to 1, absent where nothing is known."""

    warmth: Mapping[UUID, float] = field(default_factory=dict)
    speed: Mapping[UUID, float] = field(default_factory=dict)


NO_PAST = Past()


@dataclass(frozen=True)
class Scoring:
    """What a score is made of beside the server's own facts: the weights, and how many jobs wait for each server."""

    weights: Weights
    waiting: Mapping[UUID, float] = field(default_factory=dict)

    def of_load(self, server: ServerFacts) -> float:
        """The part of the score that is the same for all jobs."""
        slots, free = max(1, server.slots), server.free_slots
        return (
            self.weights.utilisation * (1 - utilisation(server))
            + self.weights.waiting * slots / (slots + self.waiting.get(server.id, 0.0))
            + self.weights.free * free / (free + 1)
        )

    def of_past(self, server_id: UUID, *, past: Past) -> float:
        """The part that the job's repository adds; the sum is from 0 to that of the weights."""
        warm, fast = past.warmth.get(server_id, 0.0), past.speed.get(server_id, 1.0)
        return self.weights.cache * warm + self.weights.speed * fast


def rounded(score: float) -> float:
    """A score as scores are compared."""
    return round(score, _DIGITS)


def usual_scoring(*, waiting: Mapping[UUID, float] | None = None) -> Scoring:
    """With the weights of the settings."""
    return Scoring(Weights(**settings.CHOICE_WEIGHTS), waiting or {})


def utilisation(server: ServerFacts) -> float:
    """How much of a server is in use, from 0 to 1."""
    measured = [
        min(100.0, max(0.0, percent))
        for percent in (server.cpu_percent, server.memory_percent, server.storage_percent)
        if percent is not None
    ]
    used = fmean(measured) / 100 if measured else 0.0
    return max(used, min(1.0, server.held / max(1, server.slots)))


def waiting_for_each(classes: Iterable[tuple[int, Collection[UUID]]]) -> dict[UUID, float]:
    """How many jobs wait for each server. Each class is so many jobs and the servers that could take them."""
    found: dict[UUID, float] = {}
    for jobs, servers in classes:
        for server_id in servers:
            found[server_id] = found.get(server_id, 0.0) + jobs / len(servers)
    return found


def draw_lots(server: ServerFacts, *, job_id: UUID | None) -> tuple[bytes, str]:
    """Who goes first of servers that suit a job alike: another one for each job, the same however often it is asked.

    Without a job it is the first by name.
    """
    digest = blake2b(job_id.bytes + server.id.bytes, digest_size=8).digest() if job_id else b""
    return digest, server.name


def why_chosen(server: ServerFacts, *, able: int, alike: int, past: Past = NO_PAST) -> str:
    """Why this one of so many `able` servers, as a sentence; `alike`: how many suited the job exactly as well."""
    if able <= 1:
        return "It was the only server that could take it."
    merits = [f"{server.free_slots} of {server.slots} slots free"]
    if server.cpu_percent is not None:
        merits.append(f"{server.cpu_percent:.0f}% of its CPU in use")
    if past.warmth.get(server.id):
        merits.append("has built this repository lately")
    if len(past.speed) > 1 and past.speed.get(server.id) == 1:
        merits.append("has been the fastest at it")
    lot = f", by lot among {alike} alike" if alike > 1 else ""
    return f"The best of {able} that could take it{lot}: {', '.join(merits)}."
