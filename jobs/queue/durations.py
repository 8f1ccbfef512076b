"""How long builds take, learnt from those that completed: a range for each kind of work, on each server.

Work is a repository, a branch and an architecture. Asked for one on a server, the narrowest group of past builds
with at least three answers: that repository, branch, architecture and server; the repository on that server; the
repository and branch anywhere; the repository anywhere, even of one or two. Was it never built, then whatever the
board built lately answers, for the architecture or at all. The latest twenty of the group count.

A range is the tenth, the fiftieth and the ninetieth percentile of the logarithms (builds are late by a factor, not
by a sum), each read off at p * (n + 1) as Hyndman and Fan's definition 6 has it (The American Statistician 50,
1996, p. 361-365): a new sample then falls below it in a share p of cases, however few samples there are; where that
lies outside of the samples, the line is drawn on. It is not in charge of when anything starts: simulation.py.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from jobs.models import BuildJob
from jobs.states import JobStatus

LEAST = 3
"""So few samples make a group of their own; of fewer the next wider one is asked."""
SAMPLES = 20  # the latest of a group
OF_A_WORK = 60  # latest builds of a repository and architecture that are read
RECENT = 300  # latest of all
_PAIRS_AT_ONCE = 100  # SQLite takes 500 parts in one query
_LOW, _HIGH = 0.1, 0.9
_LEAST_SPREAD, _MOST_SPREAD = 1.1, 10.0  # factors: nothing is more regular, nothing is drawn on further
_FEW_SPREAD = 2.0  # of a single sample


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


_Group = tuple[tuple[str, ...], Basis]


class Durations:
    """What samples tell of any work on any server. Both are newest first; `recent` (else the same) are of all works."""

    def __init__(self, samples: Sequence[Sample] = (), *, recent: Sequence[Sample] = ()) -> None:
        self._groups: dict[tuple[str, ...], list[float]] = {}
        self._learnt: dict[tuple[str, ...], Learnt | None] = {}
        for sample in samples:
            for key, _ in _own_groups(sample.work, sample.server):
                self._groups.setdefault(key, []).append(sample.seconds)
        for sample in recent or samples:
            for key, _ in _wide_groups(sample.work):
                self._groups.setdefault(key, []).append(sample.seconds)

    @property
    def is_empty(self) -> bool:
        """Whether there is no build to learn from: else there is an answer for any work."""
        return not self._groups

    def of(self, work: Work, *, server: str = "") -> Learnt | None:
        """How long it should take there, or somewhere; None while there is no build to learn from."""
        return self._narrowest(_own_groups(work, server)) or self._narrowest(_wide_groups(work))

    def own(self, work: Work, *, server: str = "") -> Learnt | None:
        """The same from builds of its own repository alone: nothing of the first one of a kind."""
        return self._narrowest(_own_groups(work, server))

    def _narrowest(self, groups: Iterable[_Group]) -> Learnt | None:
        """The first group of enough samples, else the widest that has any."""
        found = None
        for key, basis in groups:
            found = self._learn(key, basis) or found
            if found is not None and found.samples >= LEAST:
                break
        return found

    def _learn(self, key: tuple[str, ...], basis: Basis) -> Learnt | None:
        if key not in self._learnt:
            found = self._groups.get(key)
            self._learnt[key] = range_of(found[:SAMPLES], basis=basis) if found else None
        return self._learnt[key]


def range_of(seconds: Sequence[float], *, basis: Basis) -> Learnt:
    """The range that at least one sample stands for."""
    logs = sorted(math.log(max(one, 0.1)) for one in seconds)
    middle = _quantile(logs, 0.5)
    if len(logs) == 1:
        low = high = math.log(_FEW_SPREAD)
    else:
        low, high = middle - _quantile(logs, _LOW), _quantile(logs, _HIGH) - middle
    likely = math.exp(middle)
    return Learnt(likely / _spread(low), likely, likely * _spread(high), basis, len(logs))


def _spread(distance: float) -> float:
    return min(_MOST_SPREAD, max(_LEAST_SPREAD, math.exp(distance)))


def _quantile(ordered: Sequence[float], share: float) -> float:
    count = len(ordered)
    if count == 1:
        return ordered[0]
    place = share * (count + 1)
    below = min(max(int(place), 1), count - 1)
    return ordered[below - 1] + (place - below) * (ordered[below] - ordered[below - 1])


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


# ---- reading ----------------------------------------------------------------------------------------------
def work_of(job: BuildJob) -> Work:
    """What a job builds."""
    return Work(job.source_repository, job.branch, job.target_architecture)


def read_durations(works: Collection[Work], *, only_own: bool = False) -> Durations:
    """What is known of these works; with `only_own` not what the rest of the board built.

    One query for every hundred repositories and architectures, and one for the rest; each reads a bounded number
    of rows through an index, however many jobs have finished.
    """
    pairs = sorted({(work.repository, work.architecture) for work in works})
    own = [
        sample
        for at in range(0, len(pairs), _PAIRS_AT_ONCE)
        for sample in _read_pairs(pairs[at : at + _PAIRS_AT_ONCE])
    ]
    return Durations(own, recent=[] if only_own else _read_recent())


def learn_of(jobs: Collection[BuildJob]) -> dict[UUID, Learnt]:
    """How long each of these jobs should take where it runs, by builds of its own repository.

    Those whose like never completed are left out. One query for up to a hundred repositories and architectures.
    """
    durations = read_durations({work_of(job) for job in jobs}, only_own=True)
    found = {job.pk: durations.own(work_of(job), server=job.server_name) for job in jobs}
    return {job_id: learnt for job_id, learnt in found.items() if learnt is not None}


_COLUMNS = ("source_repository", "branch", "target_architecture", "server_name", "ran_ms")


def _read_recent() -> list[Sample]:
    done = BuildJob.objects.filter(status=JobStatus.COMPLETED, ran_ms__isnull=False)
    return [_sample(row) for row in done.order_by("-created_at", "-pk").values_list(*_COLUMNS)[:RECENT]]


def _read_pairs(pairs: Sequence[tuple[str, str]]) -> list[Sample]:
    """The latest builds of each repository and architecture, newest first, in one query.

    Put together by hand: Django's own union of queries with limits does not exist for SQLite.
    """
    if not pairs:
        return []
    parts = [_latest_of(*pair).query.sql_with_params() for pair in pairs]
    union = " UNION ALL ".join(
        f"SELECT * FROM ({sql}) AS part{at}"  # noqa: S608  # Django's own words, values apart
        for at, (sql, _) in enumerate(parts)
    )
    with connection.cursor() as cursor:
        cursor.execute(union, [value for _, values in parts for value in values])
        return [_sample(row) for row in cursor.fetchall()]


def _latest_of(repository: str, architecture: str) -> "QuerySet[BuildJob, Any]":
    like = BuildJob.objects.filter(
        source_repository=repository,
        target_architecture=architecture,
        status=JobStatus.COMPLETED,
        ran_ms__isnull=False,
    )
    return like.order_by("-completed_at", "-ran_ms").values_list(*_COLUMNS)[:OF_A_WORK]


def _sample(row: tuple[str, str, str, str, int]) -> Sample:
    repository, branch, architecture, server, ran_ms = row
    return Sample(Work(repository, branch, architecture), server, ran_ms / 1000)
