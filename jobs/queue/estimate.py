"""When a queued job should start and end, and how long one would wait that came now: what pages and the API tell.

It is what was kept a few seconds ago (predictions.py); where nobody keeps it, or of a job that is newer, the queue is
played on the spot (forecast.py). Where that cannot tell, because no server in service fits, past durations are a
guess, and while no build has completed, a default. An estimate is a help, not a promise.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from uuid import UUID

from django.db.models import Count, Q
from django.utils import timezone

from jobs.models import BuildJob, KeptForecast
from jobs.queue.accuracy import TrackRecord
from jobs.queue.durations import Work
from jobs.queue.forecast import Foreseen, facts_with, foresee
from jobs.queue.lasting import Range
from jobs.queue.order import Place
from jobs.queue.past_builds import read_durations, work_of
from jobs.queue.predictions import Told, current_of, is_fresh, last_forecast
from jobs.queue.simulation import simulate
from jobs.states import JOB_ACTIVE, JobStatus
from servers.fleet import ServerFacts

DEFAULT_SECONDS = 300
GUESS = "a guess: no build has completed yet"  # what is said of it


@dataclass(frozen=True)
class Estimate:
    """A wait in whole seconds, and what it is computed from. `told` and the range are None of a mere guess."""

    seconds: int
    basis: Literal["history", "default"]
    range: Range | None = None
    told: Told | None = None


@dataclass(frozen=True)
class QueueState:
    """The counts of the queue now."""

    total_queued: int
    total_building: int
    jobs_by_architecture: dict[str, int]
    building_by_architecture: dict[str, int]


def queue_state() -> QueueState:
    """How many jobs wait, and how many are claimed or running, by architecture. One query."""
    rows = (
        BuildJob.objects.unfinished()
        .values("target_architecture")
        .annotate(
            queued=Count("pk", filter=Q(status=JobStatus.QUEUED)),
            building=Count("pk", filter=Q(status__in=JOB_ACTIVE)),
        )
        .order_by("target_architecture")
    )
    return QueueState(
        total_queued=sum(row["queued"] for row in rows),
        total_building=sum(row["building"] for row in rows),
        jobs_by_architecture={row["target_architecture"]: row["queued"] for row in rows if row["queued"]},
        building_by_architecture={
            row["target_architecture"]: row["building"] for row in rows if row["building"]
        },
    )


class Foresight:
    """What can be told now, for one who asks several things: it is read or played once, whatever comes first.

    `fleet`, if given, is the one that was read a moment ago.
    """

    def __init__(self, *, fleet: Sequence[ServerFacts] | None = None) -> None:
        self._fleet = fleet

    @cached_property
    def waits(self) -> dict[str, Range]:
        """How long a job would wait that came now, by architecture; none of what no server in service builds."""
        if self._fresh is None:
            return dict(self._played.waits)
        return {name: Range(*found) for name, found in self._fresh.waits.items()}

    @cached_property
    def free_in(self) -> dict[UUID, Range]:
        """In how many seconds the next slot of each server comes free; 0 where one is free."""
        if self._fresh is None or self._fresh.made_at is None:
            return dict(self._played.forecast.free_in)
        age = (timezone.now() - self._fresh.made_at).total_seconds()
        return {
            UUID(server_id): Range(*(max(0.0, one - age) for one in found))
            for server_id, found in self._fresh.free_in.items()
        }

    @property
    def track_record(self) -> TrackRecord:
        """How good estimates have been."""
        return TrackRecord.of(self._kept.track_record if self._kept else {})

    def of(self, jobs: Collection[BuildJob]) -> dict[UUID, Told]:
        """Of queued and active jobs, as one who looks now should read it. Two queries where forecasts are kept."""
        if not jobs:
            return {}
        at = self._fresh.made_at if self._fresh else None
        if at is None or any(job.created_at > at for job in jobs):
            expected = self._played.forecast.jobs
            return {
                job.pk: Told.of(expected[job.pk], at=self._played.at) for job in jobs if job.pk in expected
            }
        now = timezone.now()
        return {job_id: told.as_of(now) for job_id, told in current_of([job.pk for job in jobs]).items()}

    @cached_property
    def _kept(self) -> KeptForecast | None:
        return last_forecast()

    @property
    def _fresh(self) -> KeptForecast | None:
        return self._kept if self._kept and is_fresh(self._kept, now=timezone.now()) else None

    @cached_property
    def _played(self) -> Foreseen:
        return foresee(fleet=self._fleet)


def estimate_of_queue(state: QueueState, *, waits: Mapping[str, Range]) -> Estimate:
    """The wait of a job that would be submitted now: the longest among the architectures that are built or wait.

    Where no server in service builds any of them it is as if one slot came for all that waits; while no build has
    completed it is 300 s for each of them. `waits` are Foresight's.
    """
    busy = {**state.building_by_architecture, **state.jobs_by_architecture}
    told = [waits[name] for name in busy if name in waits]
    longest = max(told, key=lambda one: one.likely, default=None)
    if longest is not None:
        return Estimate(math.ceil(longest.likely), "history", longest)
    typical = _typical([Work("", "", name) for name in busy or [""]])
    if typical is None:
        return Estimate(DEFAULT_SECONDS * state.total_queued, "default")
    return Estimate(math.ceil(typical * state.total_queued), "history")


def told_if_submitted(
    job: BuildJob, *, position: int, fleet: Sequence[ServerFacts] | None = None
) -> Told | None:
    """What could be told of a job that is not stored if it stood at that place of the queue, from 1."""
    facts, job_id = facts_with(job, position=position, fleet=fleet)
    expected = simulate(facts).jobs.get(job_id)
    return Told.of(expected, at=facts.now) if expected else None


def estimate_of_job(job: BuildJob, *, told: Told | None, place: Place, total_queued: int) -> Estimate:
    """A queued job's wait as it was told; else as if one slot came for those of its architecture before it."""
    if told is not None and told.start is not None:
        wait = told.start.seconds_from(timezone.now())
        return Estimate(math.ceil(wait.likely), "history", wait, told)
    typical = _typical([work_of(job)])
    if typical is None:
        return Estimate(DEFAULT_SECONDS * total_queued, "default")
    return Estimate(math.ceil(typical * (place.rivals_ahead + 1)), "history")


def _typical(works: Sequence[Work]) -> float | None:
    """The longest that one of these likely takes; None while no build has completed. Two queries."""
    durations = read_durations(works)
    learnt = [found for work in works if (found := durations.of(work)) is not None]
    return max((one.likely for one in learnt), default=None)
