"""Reads what the simulation plays: fleet, running builds, the queue in its order, what past builds tell.

And the forecast that comes of it, with the wait of a job that would come now. The simulation is simulation.py's,
what was foreseen is kept by predictions.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from django.utils import timezone

from jobs.models import Attempt, BuildJob
from jobs.needs import Needs, needs_of
from jobs.queue.durations import Work
from jobs.queue.lasting import Range
from jobs.queue.margins import Margins
from jobs.queue.order import PULLED, Waiting, ready_jobs, waiting_of
from jobs.queue.past_builds import read_durations, work_of
from jobs.queue.simulation import Expected, Forecast, Queued, QueueFacts, Running, simulate, with_job
from servers.fleet import ServerFacts, load_fleet

MOST_LOOKED_AT = 10_000
"""So many jobs of the queue are played in the background; the queue's own limit is mostly less."""
MOST_AT_ONCE = 1_000
"""So many when somebody waits for the answer."""
_MOST_LATER = 200  # retries that are not due


@dataclass(frozen=True)
class Foreseen:
    """A forecast, of which moment and how much of the queue, and the wait of a job that would come now.

    `waits` are by architecture; one that is missing no server in service builds.
    """

    at: datetime
    forecast: Forecast
    looked_at: int
    left_out: int
    waits: Mapping[str, Range]

    def widened(self, margins: Margins) -> "Foreseen":
        """The same with starts, and the ends that follow them, in ranges as wide as starts lay of late."""
        jobs = {job_id: _widened(one, margins) for job_id, one in self.forecast.jobs.items()}
        waits = {name: margins.widen(found) for name, found in self.waits.items()}
        return replace(self, forecast=replace(self.forecast, jobs=jobs), waits=waits)


def _widened(expected: Expected, margins: Margins) -> Expected:
    if expected.start is None:
        return expected
    start, end = margins.widen(expected.start), expected.end
    lasts = end.likely - start.likely
    ends = Range(min(end.low, start.low + lasts), end.likely, max(end.high, start.high + lasts))
    return replace(expected, start=start, end=ends)


def foresee(*, limit: int = MOST_AT_ONCE, fleet: Sequence[ServerFacts] | None = None) -> Foreseen:
    """Read and play. Eight queries, more only for queues of many classes and repositories."""
    return foresee_from(read_facts(limit=limit, fleet=fleet))


def foresee_from(facts: QueueFacts) -> Foreseen:
    """Play these facts, with a job of each architecture of the fleet behind the last of the queue."""
    newcomers = {name: _newcomer(name) for name in sorted(_architectures(facts.fleet))}
    behind = replace(facts, queue=[*facts.queue, *newcomers.values()])
    found = simulate(behind)
    starts = {name: found.jobs[job.id].start for name, job in newcomers.items() if job.id in found.jobs}
    ours = {job.id for job in newcomers.values()}
    jobs = {job_id: expected for job_id, expected in found.jobs.items() if job_id not in ours}
    return Foreseen(
        facts.now,
        replace(found, jobs=jobs),
        len(facts.queue),
        facts.left_out,
        {name: start for name, start in starts.items() if start is not None},
    )


def facts_with(
    job: BuildJob, *, position: int, fleet: Sequence[ServerFacts] | None = None
) -> tuple[QueueFacts, UUID]:
    """What would be played if this job, which is not stored yet, stood at that place of the queue, from 1.

    And the id that it has there: always the same, so that its luck does not change from one question to the next.
    """
    facts = read_facts(fleet=fleet, also=[work_of(job)])
    newcomer = Queued(_id_of("submission"), needs_of(job), work_of(job))
    return with_job(facts, newcomer, position=position), newcomer.id


def read_facts(
    *, limit: int = MOST_AT_ONCE, fleet: Sequence[ServerFacts] | None = None, also: Sequence[Work] = ()
) -> QueueFacts:
    """The first so many jobs of the queue that wait for a server alone, and all that runs.

    `also` are works that are going to be asked for. What needs another job first, and what is pulled by an
    orchestrator, is left out: nobody knows when it may start.
    """
    now = timezone.now()
    running, queue = _read_running(now), _read_queue(limit, now=now)
    works = {one.work for one in running} | {one.work for one in queue} | set(also)
    return QueueFacts(
        now=now,
        fleet=load_fleet() if fleet is None else fleet,
        running=running,
        queue=queue,
        durations=read_durations(works),
        left_out=max(0, BuildJob.objects.ready().count() - limit) if len(queue) >= limit else 0,
    )


_WORK = ("source_repository", "branch", "target_architecture")


def _read_running(now: datetime) -> list[Running]:
    active = Attempt.objects.active().filter(server__isnull=False).order_by()
    rows = active.values_list("job_id", "server_id", "started_at", *(f"job__{name}" for name in _WORK))
    return [
        Running(job_id, server_id, Work(*work), (now - started_at).total_seconds() if started_at else 0.0)
        for job_id, server_id, started_at, *work in rows
    ]


def _read_queue(limit: int, *, now: datetime) -> list[Queued]:
    """Those that are ready, in the dispatcher's order, with those among them that only wait for their next try."""
    ready = ready_jobs(limit=limit)
    rows = BuildJob.objects.ready().exclude(provider=PULLED).values_list("pk", *_WORK)[:limit]
    works = {job_id: Work(*work) for job_id, *work in rows}
    later = BuildJob.objects.queued().filter(not_before__gt=now, dependencies=None).exclude(provider=PULLED)
    for job in later.defer("result", "error_message")[:_MOST_LATER]:
        works[job.pk] = work_of(job)
        ready.insert(_place_by_rank(ready, job.rank_ms), waiting_of(job))
    return [
        Queued(one.id, one.needs, works[one.id], max(0.0, (one.since - now).total_seconds()))
        for one in ready
        if one.id in works  # else it was started meanwhile
    ]


def _place_by_rank(jobs: Sequence[Waiting], rank_ms: int) -> int:
    return next((place for place, one in enumerate(jobs) if one.rank_ms > rank_ms), len(jobs))


def _architectures(fleet: Sequence[ServerFacts]) -> set[str]:
    return {name for server in fleet for name in server.architectures}


def _newcomer(architecture: str) -> Queued:
    work = Work("", "", architecture)
    return Queued(_id_of(architecture), Needs(architecture=architecture), work)


def _id_of(name: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"newcomer:{name}")
