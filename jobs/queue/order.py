"""The order in which queued jobs are looked at: by rank, which is priority and age together, and in fair turns.

The rank itself is the database's (`models/rank.py`), whose turn it is within one class of need fairness.py's. Dispatch,
pages and estimates all get the order from here.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Q
from django.utils import timezone

from jobs.models import BuildJob
from jobs.models.job import QUEUE_ORDER
from jobs.models.rank import rank_of
from jobs.needs import Needs, key_of, needs_of, read_needs
from jobs.queue.fairness import NOBODY, J, contested, in_turn
from jobs.queue.shares import read_shares

PULLED = "orchestrator"  # the provider whose jobs are pulled: no build server is chosen for them
_PAGE = 1000
_LOOKED_THROUGH = 2000  # jobs among which turns are taken where only the first few of the queue are shown
_ROW = ("pk", "rank_ms", "created_at", "needs_key", "created_by", "not_before", "impossible_since")
Seat = tuple[int, datetime, UUID]  # the columns of QUEUE_ORDER


@dataclass(frozen=True, slots=True)
class Ranked:
    """A queued job's place by rank, who submitted it, and the key of its class; empty: not computed."""

    id: UUID
    key: str
    submitter: UUID
    rank_ms: int


@dataclass(frozen=True, slots=True)
class Waiting(Ranked):
    """A queued job as the dispatcher reads it; `impossible_since` as it is kept, for what comes of it deadlines.py."""

    needs: Needs
    since: datetime
    impossible_since: datetime | None = None

    def waited_seconds(self, now: datetime) -> float:
        """How long it could have been started, a retry not before its time."""
        return max(0.0, (now - self.since).total_seconds())


@dataclass(frozen=True)
class Place:
    """Where a job stands in the queue, from 1, and how many before it are for its architecture."""

    position: int
    rivals_ahead: int


def waiting_of(job: BuildJob) -> Waiting:
    """A job's row as the dispatcher would read it; it may not be stored yet."""
    needs = needs_of(job)
    submitter = job.created_by_id or NOBODY
    return Waiting(
        job.pk, job.needs_key or key_of(needs), submitter, _rank_of(job), needs, startable_since(job)
    )


def startable_since(job: BuildJob) -> datetime:
    """From when on it could have been started, a retry not before its time."""
    return job.not_before or job.created_at


def ready_jobs(
    known: dict[str, Needs] | None = None,
    *,
    among: Q | None = None,
    limit: int = 100_000,
    also: Collection[UUID] = (),
) -> list[Waiting]:
    """Queued jobs that may start, in the order in which they are looked at; of those `among` the first `limit` by rank.

    And `also` these of them, which may stand behind: it may be their submitter's turn, or their class that has room.
    `known` are the needs of classes that were read before; new ones are added. A query for each 1,000 jobs, one for
    each 200 classes that are not known or name a server (what that is may change with the fleet), and two when
    several people wait for the same.
    """
    jobs = list(ranked_jobs(known, among=among, limit=limit))
    behind = set(also).difference(job.id for job in jobs) if len(jobs) >= limit else ()
    if behind:
        jobs += ranked_jobs(known, among=(among or Q()) & Q(pk__in=behind), limit=len(behind))
    return _take_turns(jobs)


def ranked_jobs(
    known: dict[str, Needs] | None = None, *, among: Q | None = None, limit: int = 100_000
) -> Iterator[Waiting]:
    """The same as they come by rank alone, read page by page."""
    known = {} if known is None else known
    rows = BuildJob.objects.ready().filter(among or Q()).exclude(provider=PULLED)
    seen, behind, asked = 0, Q(), set[str]()
    while seen < limit:
        size = min(_PAGE, limit - seen)
        page = list(rows.filter(behind).values_list(*_ROW)[:size])
        _learn(page, known, asked=asked)
        for job_id, rank_ms, created_at, key, submitter, not_before, impossible_since in page:
            needs = known.get(key or job_id.hex)
            if needs is not None:
                found = key or key_of(needs), submitter or NOBODY, rank_ms
                yield Waiting(job_id, *found, needs, not_before or created_at, impossible_since)
        if len(page) < size:
            return
        # Behind the last one rather than after so many: those that were claimed meanwhile are in no page any more.
        behind = _after(page[-1][0], rank_ms=page[-1][1], created_at=page[-1][2])
        seen += len(page)


def _learn(page: Sequence[tuple[Any, ...]], known: dict[str, Needs], *, asked: set[str]) -> None:
    """Read what those of the page ask for whose class is not known: one job of each, and each without a key."""
    one_each = {row[3] or row[0].hex: row[0] for row in page}
    unsure = {
        job_id: key
        for key, job_id in one_each.items()
        if key not in asked and (key not in known or known[key].server)
    }
    asked.update(unsure.values())
    known.update({unsure[job_id]: needs for job_id, needs in read_needs(unsure).items()})


def _take_turns(jobs: list[J]) -> list[J]:
    """Jobs by rank, in turns. Two queries, or none when no two people wait for the same."""
    rivals = contested(jobs)
    if not rivals:
        return jobs
    return in_turn(
        jobs,
        shares=read_shares(rivals),
        now_ms=int(timezone.now().timestamp() * 1000),
        level_ms=settings.AGEING_SECONDS * 1000,
    )


def _after(job_id: UUID, *, rank_ms: int, created_at: datetime) -> Q:
    same = Q(rank_ms=rank_ms)
    return (
        Q(rank_ms__gt=rank_ms)
        | (same & Q(created_at__gt=created_at))
        | (same & Q(created_at=created_at, pk__gt=job_id))
    )


def first_in_order(limit: int) -> list[UUID]:
    """The first jobs of the whole queue, also those that are not ready. One query, three when people take turns."""
    rows = BuildJob.objects.queued().values_list("pk", "needs_key", "created_by", "rank_ms")
    looked_through = max(limit, _LOOKED_THROUGH)
    jobs = [
        Ranked(job_id, key or job_id.hex, submitter or NOBODY, rank_ms)
        for job_id, key, submitter, rank_ms in rows[:looked_through]
    ]
    return [job.id for job in _take_turns(jobs)[:limit]]


def place_of(job: BuildJob) -> Place:
    """The job's place in the queue; it may not be stored yet. Two queries, four when people take turns."""
    rank_ms, created_at, job_id = seat = _seat_of(job)
    rows = BuildJob.objects.queued().order_by()
    before = rows.exclude(pk=job_id).exclude(_after(job_id, rank_ms=rank_ms, created_at=created_at))
    rivals = Q(target_architecture=job.target_architecture)
    found = before.aggregate(ahead=Count("pk"), rivals=Count("pk", filter=rivals))
    # One that is not stored has a place by rank, too, which another one of its class takes if it does not.
    own = 1 if job._state.adding and seat > _own_seat(job) else 0
    return Place(position=found["ahead"] + own + 1, rivals_ahead=found["rivals"] + own)


def _seat_of(job: BuildJob) -> Seat:
    """Where it comes to stand: at its own place by rank, or at that of another one of its class."""
    own = _own_seat(job)
    if not job.needs_key:
        return own
    rows = BuildJob.objects.queued().filter(needs_key=job.needs_key).exclude(pk=job.pk)
    seats = {own: job.created_by_id}
    for rank_ms, created_at, job_id, submitter in rows.values_list(*QUEUE_ORDER, "created_by"):
        seats[rank_ms, created_at, job_id] = submitter
    in_rank = sorted(seats)
    group = [Ranked(one[2], job.needs_key, seats[one] or NOBODY, one[0]) for one in in_rank]
    return in_rank[[one.id for one in _take_turns(group)].index(job.pk)]


def _own_seat(job: BuildJob) -> Seat:
    return _rank_of(job), job.created_at, job.pk


def _rank_of(job: BuildJob) -> int:
    if job._state.adding:
        return rank_of(job.created_at, priority=job.priority, ageing=job.ageing_seconds)
    return int(job.rank_ms)


def overtaken_by(job: BuildJob, *, priority: int) -> Q:
    """Those of the queue that a job would come to stand before with this priority, or behind with a lower one."""
    there = rank_of(job.created_at, priority=priority, ageing=job.ageing_seconds)
    here = _rank_of(job)
    return Q(rank_ms__gte=min(here, there), rank_ms__lt=max(here, there)) & ~Q(pk=job.pk)
