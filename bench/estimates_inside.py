"""The recorded day as it goes by: each job is estimated when it comes, and compared with what came.

It is estimated as the board would, from what could be known then: the builds that had completed, how long those that
ran had run, the queue. Then the day goes on by what really came: other durations than were expected, builds that fail
early, and jobs of higher priority that nobody knew of.
"""

import sys
import time
from bisect import insort
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import timedelta
from heapq import heappop, heappush
from statistics import median
from uuid import UUID

import django

django.setup()

from bench.estimates import JOBS  # noqa: E402  # likewise
from bench.recorded_day import BEGIN, Coming, Day, Foreknown, record_day  # noqa: E402  # after django.setup(), as all that follow
from jobs.queue.accuracy import JUDGED, Accuracy, Estimated, judge_estimates, judge_waits  # noqa: E402  # likewise
from jobs.queue.choice import choose  # noqa: E402  # likewise
from jobs.queue.durations import Durations, Sample, Work  # noqa: E402  # likewise
from jobs.queue.lasting import Range  # noqa: E402  # likewise
from jobs.queue.margins import margins_of  # noqa: E402  # likewise
from jobs.queue.past_builds import OF_A_WORK, RECENT  # noqa: E402  # likewise
from jobs.queue.simulation import Queued, QueueFacts, Running, simulate  # noqa: E402  # likewise
from servers.fleet import ServerFacts  # noqa: E402  # likewise

LEARN_EVERY_SECONDS = 300.0  # of the day, between two looks at what has completed
AGEING_SECONDS = 21_600  # what a step of priority is worth, as the board has it by default
_POINTS = 10  # between one priority and the next


@dataclass(order=True)
class _Waiting:
    rank_ms: int
    number: int
    job: Coming = field(compare=False)


class Replay:
    """The day as it goes by. Times are seconds from its begin."""

    def __init__(self, day: Day, *, foreknown: Durations | None = None) -> None:
        self._day, self._foreknown = day, foreknown
        self._fleet = {server.id: server for server in day.fleet}
        self._queue: list[_Waiting] = []
        self._running: dict[UUID, tuple[Coming, UUID, float]] = {}
        self._ends: list[tuple[float, int, Coming]] = []
        self._latest: dict[tuple[str, str], deque[Sample]] = {}
        self._recent: deque[Sample] = deque(maxlen=RECENT)
        self._learnt_at = -LEARN_EVERY_SECONDS
        self._durations = Durations()
        self._asked: set[tuple[str, str]] = set()
        self._told_start: dict[UUID, tuple[float, Range]] = {}
        self._told_end: dict[UUID, tuple[float, Range]] = {}
        self._told_when_it_came: dict[UUID, tuple[float, Range]] = {}
        self.starts: list[Estimated] = []
        self.ends: list[Estimated] = []
        self.ends_when_it_came: list[Estimated] = []
        self.plays: list[float] = []
        for sample in day.past:
            self._learn(sample)

    def run(self) -> None:
        """From the first job to the last end."""
        coming = deque(enumerate(self._day.jobs))
        while coming or self._ends:
            if coming and (not self._ends or coming[0][1].at <= self._ends[0][0]):
                number, job = coming.popleft()
                insort(self._queue, _Waiting(_rank_of(job), number, job))
                self._dispatch(job.at)
                self._estimate(job, at=job.at)
            else:
                at, _, job = heappop(self._ends)
                self._end(job, at=at)
                self._dispatch(at)

    def _dispatch(self, at: float) -> None:
        """Start what can be started, in order, where the board would start it."""
        full: set[str] = set()
        for waiting in list(self._queue):
            needs = waiting.job.needs
            if needs.architecture in full:
                continue
            able = choose(self._fleet.values(), needs=needs, now=BEGIN, waited_seconds=1e9).able
            if not able:
                full.add(needs.architecture)
                continue
            self._queue.remove(waiting)
            self._start(waiting.job, able[0], at=at, number=waiting.number)

    def _start(self, job: Coming, server: ServerFacts, *, at: float, number: int) -> None:
        self._fleet[server.id] = replace(server, held=server.held + 1)
        self._running[job.id] = (job, server.id, at)
        heappush(self._ends, (at + self._day.seconds_of(job, server=server.name), number, job))
        if job.id in self._told_start:
            _compare(self.starts, self._told_start.pop(job.id), at=at)
        learnt = self._learnt_for(job, at=at).of(job.work, server=server.name)
        if learnt is not None:
            self._told_end[job.id] = (at, Range(learnt.low, learnt.likely, learnt.high))

    def _end(self, job: Coming, *, at: float) -> None:
        _, server_id, started_at = self._running.pop(job.id)
        server = self._fleet[server_id]
        self._fleet[server_id] = replace(server, held=server.held - 1)
        told, earlier = self._told_end.pop(job.id, None), self._told_when_it_came.pop(job.id, None)
        if job.fails_after is not None:
            return
        self._learn(Sample(job.work, server.name, at - started_at))
        if told:
            _compare(self.ends, told, at=at)
        if earlier:
            _compare(self.ends_when_it_came, earlier, at=at)

    def _learn(self, sample: Sample) -> None:
        self._latest.setdefault(_pair_of(sample.work), deque(maxlen=OF_A_WORK)).appendleft(sample)
        self._recent.appendleft(sample)

    def _learnt_for(self, job: Coming, *, at: float) -> Durations:
        """As the board reads it: the latest builds of what runs and waits, and the latest of all."""
        if self._foreknown is not None:
            return self._foreknown
        if at - self._learnt_at >= LEARN_EVERY_SECONDS or _pair_of(job.work) not in self._asked:
            self._learnt_at = at
            here = [one for one, _, _ in self._running.values()] + [one.job for one in self._queue] + [job]
            self._asked = {_pair_of(one.work) for one in here}
            own = [sample for pair in sorted(self._asked) for sample in self._latest.get(pair, ())]
            self._durations = Durations(own, recent=list(self._recent))
        return self._durations

    def _estimate(self, newcomer: Coming, *, at: float) -> None:
        """What the board would tell of a job that has just come."""
        durations = self._learnt_for(newcomer, at=at)
        facts = QueueFacts(
            now=BEGIN + timedelta(seconds=at),
            fleet=list(self._fleet.values()),
            running=[
                Running(job_id, server_id, job.work, at - since)
                for job_id, (job, server_id, since) in self._running.items()
            ],
            queue=[Queued(one.job.id, one.job.needs, one.job.work) for one in self._queue],
            durations=durations,
        )
        began = time.perf_counter()
        expected = simulate(facts).jobs[newcomer.id]
        self.plays.append(time.perf_counter() - began)
        self._told_when_it_came[newcomer.id] = (at, expected.end)
        if expected.start is not None:
            margins = margins_of([(one.likely, one.came) for one in self.starts[-JUDGED:]])
            self._told_start[newcomer.id] = (at, margins.widen(expected.start))


def _pair_of(work: Work) -> tuple[str, str]:
    return work.repository, work.architecture


def _rank_of(job: Coming) -> int:
    return round(1000 * (job.at - job.priority * AGEING_SECONDS / _POINTS))


def _compare(found: list[Estimated], told: tuple[float, Range], *, at: float) -> None:
    made_at, said = told
    found.append(Estimated(said.low, said.likely, said.high, at - made_at))


def main(jobs: int) -> None:
    """Print how good the estimates of the day were."""
    day = record_day(jobs=JOBS)
    day = replace(day, jobs=day.jobs[:jobs])
    print(f"{len(day.jobs):,} jobs of one recorded day on {len(day.fleet)} servers, replayed")
    replay = Replay(day)
    replay.run()
    waits = [one.came for one in replay.starts]
    print(f"  jobs that had to wait {len(waits):,}, half of them over {median(waits or [0]) / 60:.1f} min")
    _show_all(replay)
    print(f"  a forecast of all that ran and waited took {median(replay.plays) * 1000:.1f} ms (median)")
    print(
        "  who knew what every work takes on every server, but neither luck nor what comes later, would tell"
    )
    best = Replay(day, foreknown=Foreknown(day))
    best.run()
    _show_all(best)


def _show_all(replay: Replay) -> None:
    _show("starts, told when the job came", judge_waits(replay.starts))
    _show("ends, told when the job came", judge_estimates(replay.ends_when_it_came))
    _show("ends, told when the build began", judge_estimates(replay.ends))


def _show(name: str, found: Accuracy | None) -> None:
    if found is None:
        print(f"  {name:<36} none")
        return
    print(
        f"  {name:<36} within 25% for {found.within_25_percent:>3}%   in range for {found.in_range:>3}%"
        f"   n={found.estimates:,}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
