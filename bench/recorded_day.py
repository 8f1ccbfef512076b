"""The recorded day that bench/estimates.py replays: made by a generator from a seed, so the same in every run.

Twenty servers of four architectures, unlike in speed. Forty repositories, a few of which have most of the builds, each
with its branches. Arrivals rise in the morning and fall at night, with a nightly batch. Durations are log-normal
around what repository, branch and server make of them, more regular in some repositories than in others; one build in
twelve fails somewhere on its way.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import NormalDist
from uuid import UUID, uuid5

from jobs.needs import Needs
from jobs.queue.durations import Basis, Durations, Learnt, Sample, Work
from jobs.states import Priority
from servers.fleet import ServerFacts

BEGIN = datetime(2026, 1, 16, tzinfo=UTC)
DAY_SECONDS = 86_400.0
SEED = 20_260_116
_NAMES = UUID(int=SEED)
_SERVERS = {"x86_64": 8, "aarch64": 6, "riscv64": 4, "armv7": 2}
_SLOTS = 2
_SHARES = {"x86_64": 0.5, "aarch64": 0.3, "riscv64": 0.14, "armv7": 0.06}
_REPOSITORIES = 40
_BRANCHES = ("main", "main", "main", "main", "next", "next", "stable", "topic")
_PRIORITIES = [Priority.LOW] * 2 + [Priority.NORMAL] * 15 + [Priority.HIGH] * 2 + [Priority.URGENT]
_USUAL_SECONDS = 480.0  # the median of the repositories' medians
_PAST = 6_000  # builds of the weeks before
_NIGHTLY_AT, _NIGHTLY_SHARE = 2 * 3600.0, 0.08
_FAIL = 1 / 12


@dataclass(frozen=True)
class Coming:
    """A job of the day. `luck` is how many deviations its duration is off; it fails after such a share of it."""

    id: UUID
    at: float
    work: Work
    needs: Needs
    priority: int
    luck: float
    fails_after: float | None


@dataclass(frozen=True)
class Day:
    """All that came. `past` are builds that completed before, oldest first."""

    fleet: Sequence[ServerFacts]
    jobs: Sequence[Coming]
    past: Sequence[Sample]
    truth: "_Truth"

    def seconds_of(self, job: Coming, *, server: str) -> float:
        """How long it really runs there."""
        whole = self.truth.seconds(job.work, server=server, luck=job.luck)
        return whole if job.fails_after is None else whole * job.fails_after


class Foreknown(Durations):
    """Who knows what every work takes on every server, but not the luck of each build: nobody can learn more."""

    def __init__(self, day: Day) -> None:
        super().__init__()
        self._truth = day.truth

    @property
    def is_empty(self) -> bool:
        """Never: there is an answer for any work."""
        return False

    def of(self, work: Work, *, server: str = "") -> Learnt:
        """How long it takes there."""
        likely, spread = self._truth.seconds(work, server=server, luck=0.0), self._truth.spread(work)
        return Learnt(likely / spread, likely, likely * spread, Basis.SERVER, 0)


class _Truth:
    """How long builds really take, which the board has to find out."""

    def __init__(self, chance: random.Random, servers: Sequence[str]) -> None:
        self._usual = [_USUAL_SECONDS * math.exp(0.8 * chance.gauss(0, 1)) for _ in range(_REPOSITORIES)]
        self._noise = [chance.choice([0.08, 0.12, 0.18, 0.3]) for _ in range(_REPOSITORIES)]
        self._speed = {name: chance.uniform(0.7, 1.5) for name in servers}
        self._branch = {name: chance.uniform(0.8, 1.3) for name in sorted(set(_BRANCHES))}

    def spread(self, work: Work) -> float:
        """The factor between the likeliest duration and the one that a tenth of builds goes beyond."""
        return math.exp(self._noise[_number_of(work)] * NormalDist().inv_cdf(0.9))

    def seconds(self, work: Work, *, server: str, luck: float) -> float:
        """A build's duration by what it builds, where, and its luck."""
        number = _number_of(work)
        usual = self._usual[number] * self._branch[work.branch] * self._speed[server]
        return usual * math.exp(self._noise[number] * luck)


def _number_of(work: Work) -> int:
    return int(work.repository.rpartition("-")[2])


def record_day(*, jobs: int) -> Day:
    """A day of so many jobs."""
    chance = random.Random(SEED)
    fleet = [
        ServerFacts(
            uuid5(_NAMES, f"{name}-{number}"),
            f"{name}-{number}",
            architectures=frozenset({name}),
            slots=_SLOTS,
        )
        for name, count in _SERVERS.items()
        for number in range(count)
    ]
    truth = _Truth(chance, [server.name for server in fleet])
    past = []
    for _ in range(_PAST):
        work = _work(chance)
        server = chance.choice([one.name for one in fleet if work.architecture in one.architectures])
        past.append(Sample(work, server, truth.seconds(work, server=server, luck=chance.gauss(0, 1))))
    times = sorted(_time(chance) for _ in range(jobs))
    return Day(fleet, [_coming(chance, number, at=at) for number, at in enumerate(times)], past, truth)


def _coming(chance: random.Random, number: int, *, at: float) -> Coming:
    work = _work(chance)
    return Coming(
        id=uuid5(_NAMES, f"job-{number}"),
        at=at,
        work=work,
        needs=Needs(architecture=work.architecture),
        priority=chance.choice(_PRIORITIES),
        luck=chance.gauss(0, 1),
        fails_after=chance.random() if chance.random() < _FAIL else None,
    )


def _work(chance: random.Random) -> Work:
    number = min(_REPOSITORIES - 1, int(chance.paretovariate(0.9)) - 1)
    architecture = chance.choices(list(_SHARES), weights=list(_SHARES.values()))[0]
    return Work(f"https://git.example/recorded-{number}", chance.choice(_BRANCHES), architecture)


def _time(chance: random.Random) -> float:
    """Most come in working hours, some at night, and many at once when the nightly batch does."""
    if chance.random() < _NIGHTLY_SHARE:
        return _NIGHTLY_AT + chance.uniform(0, 60)
    while True:
        at = chance.uniform(0, DAY_SECONDS)
        working = math.exp(-(((at / 3600 - 14) / 4) ** 2))
        if chance.random() < 0.15 + 0.85 * working:
            return at
