"""When queued jobs would start and end, and running ones end: the queue played over the fleet. Pure functions.

A discrete-event simulation: running builds end after what is left of their learnt durations, given how long they run
already; each slot that comes free takes the first job, in the dispatcher's order, of the classes that fit the server;
and so on. It is played several times, each build lasting differently (lasting.py). A range is what the plays came to:
without the least and the greatest tenth, with the median between. The same facts give the same answer.

Patience with a CPU limit, failures and jobs that are yet to come are left out. A server over its limit of memory or
storage is taken to come under it when a build there ends. Which of several free servers takes a job is choice.py's to
score; here it is the least full one. Facts are read by forecast.py, forecasts kept and compared by predictions.py.
"""

from bisect import insort
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import heapify, heappop, heappush, heapreplace
from uuid import UUID, uuid5

from jobs.needs import Needs
from jobs.queue.conditions import CPU_PATIENCE_SECONDS, Kind, judge
from jobs.queue.durations import Basis, Durations, Learnt, Work
from jobs.queue.lasting import PLAYS, Range, lasting, left, play_order, range_of_plays
from servers.fleet import ServerFacts


@dataclass(frozen=True)
class Running:
    """A claimed or running build: where, and for how many seconds already."""

    id: UUID
    server_id: UUID
    work: Work
    elapsed_seconds: float = 0.0


@dataclass(frozen=True)
class Queued:
    """A queued job. It may start after so many seconds (a retry waits a little)."""

    id: UUID
    needs: Needs
    work: Work
    ready_in_seconds: float = 0.0


@dataclass(frozen=True)
class QueueFacts:
    """All that is played: `queue` is in the dispatcher's order, `left_out` jobs behind it are not looked at."""

    now: datetime
    fleet: Sequence[ServerFacts]
    running: Sequence[Running] = ()
    queue: Sequence[Queued] = ()
    durations: Durations = field(default_factory=Durations)
    left_out: int = 0


@dataclass(frozen=True)
class Expected:
    """What is expected of one job, in seconds from the facts' `now`.

    `start` is None of one that runs already; `server_id` is the likeliest place.
    """

    start: Range | None
    end: Range
    server_id: UUID
    basis: Basis
    samples: int


@dataclass(frozen=True)
class Forecast:
    """Of each job that will start, or runs; and when each server's next slot comes free (0: one is free).

    A job that is missing has no server in service that fits, or nothing is known of how long builds take; a server,
    when nothing is known of what runs there.
    """

    jobs: Mapping[UUID, Expected]
    free_in: Mapping[UUID, Range]


def simulate(facts: QueueFacts) -> Forecast:
    """Play the queue over the fleet."""
    board = _Board(facts)
    return Forecast({}, board.free_now()) if facts.durations.is_empty else board.play_all()


def with_job(facts: QueueFacts, job: Queued, *, position: int | None = None) -> QueueFacts:
    """The same with one job more, or at another place: at `position` from 1, or at the end."""
    queue = [one for one in facts.queue if one.id != job.id]
    queue.insert(len(queue) if position is None else position - 1, job)
    return replace(facts, queue=queue)


def without_server(facts: QueueFacts, server_id: UUID) -> QueueFacts:
    """The same while a server is drained: what runs there ends there, nothing new is started."""
    fleet = [replace(one, draining=True) if one.id == server_id else one for one in facts.fleet]
    return replace(facts, fleet=fleet)


def _strangers(facts: QueueFacts) -> Iterator[Running]:
    """For slots that none of the running builds holds: some build of which nothing is known."""
    known = Counter(one.server_id for one in facts.running)
    for server in facts.fleet:
        work = Work("", "", min(server.architectures, default=""))
        for number in range(known[server.id], server.held):
            yield Running(uuid5(server.id, str(number)), server.id, work)


class _Board:
    """What is the same in every play, and what the plays came to. Servers, classes and jobs are numbers in it."""

    def __init__(self, facts: QueueFacts) -> None:
        self.queue, self._fleet, self._durations = facts.queue, facts.fleet, facts.durations
        self._told_of = {one.id for one in facts.running}
        numbers = {server.id: number for number, server in enumerate(facts.fleet)}
        running = [*facts.running, *_strangers(facts)]
        self.running = [(one, numbers[one.server_id]) for one in running if one.server_id in numbers]
        held = Counter(number for _, number in self.running)
        self.held = [held[number] for number in range(len(facts.fleet))]
        self.slots = [server.slots for server in facts.fleet]
        self.has_room = [held < slots for held, slots in zip(self.held, self.slots, strict=True)]
        works: dict[Work, int] = {}
        self._work_of = [works.setdefault(job.work, len(works)) for job in self.queue]
        self._lasting: dict[tuple[int, int], list[float]] = {}
        self._judge(facts.now)
        self._pool()
        self._place()
        self.starts: list[list[float]] = [[] for _ in self.queue]
        self.ends: list[list[float]] = [[] for _ in self.queue]
        self.places: list[list[int]] = [[] for _ in self.queue]

    def _judge(self, now: datetime) -> None:
        """Which servers fit each class, full or not, and which of them are over another limit now."""
        empty = [replace(server, held=0) for server in self._fleet]
        numbers: dict[Needs, int] = {}
        self.class_of = [numbers.setdefault(job.needs, len(numbers)) for job in self.queue]
        self.fitting: list[list[int]] = []
        self._barred: list[set[int]] = []
        for needs in numbers:
            refused = [
                judge(server, needs=needs, now=now, waited_seconds=CPU_PATIENCE_SECONDS) for server in empty
            ]
            fits = [at for at, found in enumerate(refused) if all(one.kind is Kind.BUSY for one in found)]
            self.fitting.append(fits)
            self._barred.append({at for at in fits if refused[at]})

    def _pool(self) -> None:
        """Servers that fit the same classes are of one pool; of those that fit none no class is asked."""
        fitted: list[list[int]] = [[] for _ in self._fleet]
        for number, servers in enumerate(self.fitting):
            for server in servers:
                fitted[server].append(number)
        pools: dict[tuple[int, ...], int] = {}
        self.pool_of = [pools.setdefault(tuple(classes), len(pools)) for classes in fitted]
        self.pools = list(pools)
        self.pools_of: list[list[int]] = [[] for _ in self.fitting]
        for number, classes in enumerate(self.pools):
            for one in classes:
                self.pools_of[one].append(number)

    def _place(self) -> None:
        """Where there is room the first jobs start at once, in each play alike; the others wait, or come later."""
        self.placed: list[tuple[int, int]] = []
        self.later: list[tuple[float, int]] = []
        self.waiting: list[list[int]] = [[] for _ in self.fitting]
        for number, job in enumerate(self.queue):
            own = self.class_of[number]
            if job.ready_in_seconds > 0:
                self.later.append((job.ready_in_seconds, number))
            elif self.waiting[own] or (server := self.roomiest(own, held=self.held, came_free=())) is None:
                self.waiting[own].append(number)
            else:
                self.held[server] += 1
                self.placed.append((number, server))

    def roomiest(self, own: int, *, held: Sequence[int], came_free: Collection[int]) -> int | None:
        """The least full server with a free slot that fits the class, if any."""
        free = [
            (held[at] / self.slots[at], at)
            for at in self.fitting[own]
            if held[at] < self.slots[at] and (at not in self._barred[own] or at in came_free)
        ]
        return min(free)[1] if free else None

    def lasting(self, job: int, server: int) -> list[float]:
        """The durations of a job there, ascending."""
        key = self._work_of[job], server
        if key not in self._lasting:
            self._lasting[key] = lasting(self.learnt(self.queue[job].work, server))
        return self._lasting[key]

    def learnt(self, work: Work, server: int) -> Learnt:
        """What is known of this work there."""
        found = self._durations.of(work, server=self._fleet[server].name)
        if found is None:
            raise LookupError("Nothing is played while no build has completed.")
        return found

    def play_all(self) -> Forecast:
        """Every play, and what they came to."""
        running = [(one, server, self.learnt(one.work, server)) for one, server in self.running]
        self.left = [left(learnt, elapsed_seconds=one.elapsed_seconds) for one, _, learnt in running]
        for number in range(PLAYS):
            _Play(self, number).play()
        jobs = {
            one.id: Expected(
                None, range_of_plays(lasts), self._fleet[server].id, learnt.basis, learnt.samples
            )
            for (one, server, learnt), lasts in zip(running, self.left, strict=True)
            if one.id in self._told_of
        }
        for number, job in enumerate(self.queue):
            if self.starts[number]:
                jobs[job.id] = self._expected(number)
        return Forecast(jobs, self._free_in())

    def _expected(self, number: int) -> Expected:
        place = max(set(self.places[number]), key=self.places[number].count)
        learnt = self.learnt(self.queue[number].work, place)
        start, end = range_of_plays(self.starts[number]), range_of_plays(self.ends[number])
        return Expected(start, end, self._fleet[place].id, learnt.basis, learnt.samples)

    def _free_in(self) -> dict[UUID, Range]:
        """The first end of each full server in each play."""
        ends: dict[int, list[list[float]]] = {}
        for (one, server), lasts in zip(self.running, self.left, strict=True):
            ends.setdefault(server, []).append([lasts[at] for at in play_order(one.id)])
        firsts = {server: [min(play) for play in zip(*lasts, strict=True)] for server, lasts in ends.items()}
        full = {
            server: range_of_plays(plays) for server, plays in firsts.items() if not self.has_room[server]
        }
        return self.free_now() | {self._fleet[server].id: found for server, found in full.items()}

    def free_now(self) -> dict[UUID, Range]:
        """Servers of which a slot is free."""
        return {one.id: Range(0, 0, 0) for one, free in zip(self._fleet, self.has_room, strict=True) if free}


class _Play:
    """One way in which it may come."""

    def __init__(self, board: _Board, number: int) -> None:
        self._board, self._number = board, number
        self._held = list(board.held)
        self._waiting = [list(jobs) for jobs in board.waiting]
        self._heads = [0] * len(self._waiting)
        # Of each pool of servers the first waiting job of every class; what is out of date is put right when it is met.
        self._firsts = [
            [(self._waiting[own][0], own) for own in classes if self._waiting[own]] for classes in board.pools
        ]
        for firsts in self._firsts:
            heapify(firsts)
        self._came_free: set[int] = set()
        self._to_start = len(board.queue)
        # Ends of builds by their server; jobs that come later are negative, the first is -1.
        self._events = [(at, -1 - job) for at, job in board.later]
        for (one, server), lasts in zip(board.running, board.left, strict=True):
            self._events.append((lasts[play_order(one.id)[number]], server))
        heapify(self._events)

    def play(self) -> None:
        """Until every job has started, or nothing happens any more."""
        for job, server in self._board.placed:
            self._start(job, server, at=0.0)
        while self._events and self._to_start:
            at, what = heappop(self._events)
            if what < 0:
                self._arrive(-1 - what, at=at)
            else:
                self._held[what] -= 1
                self._came_free.add(what)
                self._fill(what, at=at)

    def _fill(self, server: int, *, at: float) -> None:
        pool = self._board.pool_of[server]
        while self._held[server] < self._board.slots[server] and (job := self._next(pool)) is not None:
            self._held[server] += 1
            self._start(job, server, at=at)

    def _next(self, pool: int) -> int | None:
        """Take the first job of the classes that fit these servers."""
        firsts = self._firsts[pool]
        while firsts:
            job, own = firsts[0]
            queue, head = self._waiting[own], self._heads[own]
            if head == len(queue):
                heappop(firsts)
            elif queue[head] != job:
                heapreplace(firsts, (queue[head], own))
            else:
                self._heads[own] = head + 1
                return job
        return None

    def _arrive(self, job: int, *, at: float) -> None:
        own = self._board.class_of[job]
        server = self._board.roomiest(own, held=self._held, came_free=self._came_free)
        if server is not None:
            self._held[server] += 1
            self._start(job, server, at=at)
            return
        insort(self._waiting[own], job, lo=self._heads[own])
        for pool in self._board.pools_of[own]:
            heappush(self._firsts[pool], (job, own))

    def _start(self, job: int, server: int, *, at: float) -> None:
        board = self._board
        end = at + board.lasting(job, server)[play_order(board.queue[job].id)[self._number]]
        board.starts[job].append(at)
        board.ends[job].append(end)
        board.places[job].append(server)
        heappush(self._events, (end, server))
        self._to_start -= 1
