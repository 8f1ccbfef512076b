"""How long builds take, learnt from those that completed: a range for each kind of work, on each server.

Work is a repository, a branch and an architecture. Asked for one on a server, it is what the repository's builds take,
times how the branch differs from the others, how slow the server is (learnt over all works that it shares with others:
speeds.py), and how it differs from that at this very repository. Each of these is a median of the latest twenty, and
drawn towards no difference when there are few. The answer names the narrowest group of past builds that has at least
three: that repository, branch, architecture and server; the repository on that server; the repository and branch
anywhere; the repository anywhere, even of one or two. Was it never built, then whatever the board built lately
answers, for the architecture or at all, as if it had been built there. Asked for no server the group alone answers.

A range ends where a tenth of the repository's latest builds lay below and above what was expected of them
(spreads.py). What it learns from is read by past_builds.py, and when anything starts is simulation.py's.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from jobs.queue.speeds import speeds_of, trusted
from jobs.queue.spreads import spreads_of

LEAST = 3
"""So few samples make a group of their own; of fewer the next wider one is asked."""
SAMPLES = 20  # the latest of a group
_LEAST_SECONDS = 0.1


class Basis(StrEnum):
    """Which past builds an expectation is learnt from, narrowest first."""

    SERVER = "server"
    REPOSITORY_ON_SERVER = "repository_on_server"
    BRANCH = "branch"
    REPOSITORY = "repository"
    ARCHITECTURE = "architecture"
    EVERYTHING = "everything"

    @property
    def of_what(self) -> str:
        """Which builds these are, to be read behind "builds"."""
        return _OF_WHAT[self]


_OF_WHAT = {
    Basis.SERVER: "of this branch on this server",
    Basis.REPOSITORY_ON_SERVER: "of this repository on this server",
    Basis.BRANCH: "of this branch",
    Basis.REPOSITORY: "of this repository",
    Basis.ARCHITECTURE: "for this architecture",
    Basis.EVERYTHING: "of the whole board",
}


@dataclass(frozen=True)
class Work:
    """What is built: jobs of equal work take about as long on the same server."""

    repository: str
    branch: str
    architecture: str


@dataclass(frozen=True)
class Sample:
    """One build that completed, in seconds."""

    work: Work
    server: str
    seconds: float


@dataclass(frozen=True)
class Learnt:
    """Seconds that a build takes: eight of ten between `low` and `high`, half of them up to `likely`."""

    low: float
    likely: float
    high: float
    basis: Basis
    samples: int


_Key = tuple[str, ...]
_Group = tuple[_Key, Basis]


class Durations:
    """What samples tell of any work on any server. Both are newest first; `recent` (else the same) are of all works."""

    def __init__(self, samples: Sequence[Sample] = (), *, recent: Sequence[Sample] = ()) -> None:
        self._groups: dict[_Key, list[Sample]] = {}
        self._middles: dict[_Key, float] = {}
        self._spreads: dict[_Key, tuple[float, float]] = {}
        self._learnt: dict[tuple[Work, str, bool], Learnt | None] = {}
        for sample in samples:
            for key, _ in _own_groups(sample.work, sample.server):
                self._groups.setdefault(key, []).append(sample)
        others = [one for one in recent if (one.work.repository, one.work.architecture) not in self._groups]
        self._speeds = _speeds_of([*samples, *others])
        for sample in recent or samples:
            for key, _ in _wide_groups(sample.work):
                self._groups.setdefault(key, []).append(sample)

    @property
    def is_empty(self) -> bool:
        """Whether there is no build to learn from: else there is an answer for any work."""
        return not self._groups

    def of(self, work: Work, *, server: str = "") -> Learnt | None:
        """How long it should take there, or somewhere; None while there is no build to learn from."""
        return self.own(work, server=server) or self._learn(work, server, of_others=True)

    def own(self, work: Work, *, server: str = "") -> Learnt | None:
        """The same from builds of its own repository alone: nothing of the first one of a kind."""
        return self._learn(work, server, of_others=False)

    def _learn(self, work: Work, server: str, *, of_others: bool) -> Learnt | None:
        asked = work, server, of_others
        if asked not in self._learnt:
            groups = _wide_groups(work) if of_others else _own_groups(work, server)
            found = self._narrowest(groups)
            if found is None:
                self._learnt[asked] = None
            elif of_others or not server:
                self._learnt[asked] = self._range_of_group(
                    found, server=server, architecture=work.architecture
                )
            else:
                self._learnt[asked] = self._range_there(found, work, server)
        return self._learnt[asked]

    def _narrowest(self, groups: Iterable[_Group]) -> _Group | None:
        """The first group of enough samples, else the widest that has any."""
        found = None
        for group in groups:
            count = len(self._groups.get(group[0], ()))
            found = group if count else found
            if count >= LEAST:
                break
        return found

    def _range_of_group(self, group: _Group, *, server: str, architecture: str) -> Learnt:
        """What builds of a group came to, wherever they ran; with a server as if all had run there."""
        key, basis = group
        if not server:
            return _range_of_logs([_log(one) for one in self._latest(key)], basis=basis)
        there = self._speed(server, architecture)
        return _range_of_logs([self._neutral(one) + there for one in self._latest(key)], basis=basis)

    def _range_there(self, group: _Group, work: Work, server: str) -> Learnt:
        """By all that is known of the work and of the server; the group says how near most of that is."""
        key, basis = group
        likely = math.exp(self._expected(work, server))
        low, high = self._spread_of((work.repository, work.architecture))
        return Learnt(likely / low, likely, likely * high, basis, len(self._latest(key)))

    def _expected(self, work: Work, server: str) -> float:
        """The logarithm: what the branch takes, how fast the server is, and how fast at this repository."""
        there = work.repository, work.architecture, "on", server
        if there not in self._middles:
            beside = [self._neutral(one) - self._of_branch(one.work) for one in self._latest(there)]
            self._middles[there] = trusted(median(beside or [0.0]), samples=len(beside))
        return self._of_branch(work) + self._middles[there] + self._speed(server, work.architecture)

    def _of_branch(self, work: Work) -> float:
        """The logarithm of what it takes on a server like all: the branch's own, drawn towards the repository's."""
        pair = work.repository, work.architecture
        own = *pair, work.branch
        if own not in self._middles:
            whole = median(self._neutral(one) for one in self._latest(pair))
            beside = [self._neutral(one) - whole for one in self._latest(own)]
            self._middles[own] = whole + trusted(median(beside or [0.0]), samples=len(beside))
        return self._middles[own]

    def _spread_of(self, pair: tuple[str, str]) -> tuple[float, float]:
        """By which factors builds of a repository end before and after what was expected of them."""
        if pair not in self._spreads:
            beside = [_log(one) - self._expected(one.work, one.server) for one in self._latest(pair)]
            self._spreads[pair] = spreads_of(beside, around=0.0)
        return self._spreads[pair]

    def _latest(self, key: _Key) -> list[Sample]:
        return self._groups.get(key, [])[:SAMPLES]

    def _neutral(self, sample: Sample) -> float:
        """Its logarithm as if it had run on a server like all."""
        return _log(sample) - self._speed(sample.server, sample.work.architecture)

    def _speed(self, server: str, architecture: str) -> float:
        return self._speeds.get((server, architecture), 0.0)


def _speeds_of(samples: Iterable[Sample]) -> dict[tuple[str, str], float]:
    """By server and architecture: one that builds for another than its own may be slow at that."""
    works: dict[Work, list[tuple[tuple[str, str], float]]] = {}
    for one in samples:
        works.setdefault(one.work, []).append(((one.server, one.work.architecture), _log(one)))
    return speeds_of(works.values())


def _range_of_logs(logs: Sequence[float], *, basis: Basis) -> Learnt:
    middle = median(logs)
    likely, (low, high) = math.exp(middle), spreads_of(logs, around=middle)
    return Learnt(likely / low, likely, likely * high, basis, len(logs))


def _log(sample: Sample) -> float:
    return math.log(max(sample.seconds, _LEAST_SECONDS))


def _own_groups(work: Work, server: str) -> list[_Group]:
    """Narrowest first. Keys differ in length, so that no two groups meet."""
    repository, branch, architecture = work.repository, work.branch, work.architecture
    on_server = [
        ((repository, architecture, "on", branch, server), Basis.SERVER),
        ((repository, architecture, "on", server), Basis.REPOSITORY_ON_SERVER),
    ]
    return [
        *(on_server if server else []),
        ((repository, architecture, branch), Basis.BRANCH),
        ((repository, architecture), Basis.REPOSITORY),
    ]


def _wide_groups(work: Work) -> list[_Group]:
    return [((work.architecture,), Basis.ARCHITECTURE), ((), Basis.EVERYTHING)]
