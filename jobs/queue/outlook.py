"""The first jobs of the queue, each with why it waits and when it may start, in few words and few queries.

The same judgement as explain.py's, which tells everything about one job. It decides nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from jobs.models import BuildJob
from jobs.needs import Needs, read_needs
from jobs.queue.conditions import Kind
from jobs.queue.estimate import Foresight
from jobs.queue.explain import kind_of_all, why_stuck
from jobs.queue.hindrances import Hindrance, hindrance_of_read, with_unmet
from jobs.queue.lasting import Range
from jobs.queue.order import first_in_order, startable_since
from jobs.queue.remedies import remedy_for
from jobs.queue.verdicts import ServerVerdict, Verdict, Verdicts
from servers.fleet import ServerFacts, load_fleet

_STEP_SECONDS = 10
_SOON_SECONDS = 5
_NOT_SHOWN = ("spec", "secret_spec", "result", "labels", "required_labels", "error_message")


@dataclass(frozen=True)
class Outlook:
    """How one queued job stands. `starts_in` is in seconds; None while nobody can tell.

    `kind` is what the nearest server is to it; None when one has room, or it waits for no server. `position` is its
    place in the queue, 0 where it was not asked for.
    """

    job: BuildJob
    position: int
    told: str
    detail: str
    kind: Kind | None
    starts_in: Range | None

    @property
    def is_blocked(self) -> bool:
        """Whether time alone does not help."""
        return self.kind in (Kind.IMPOSSIBLE, Kind.OFFLINE)


def outlook_of_queue(
    fleet: Sequence[ServerFacts], *, limit: int, foresight: Foresight | None = None
) -> list[Outlook]:
    """The first so many jobs of the queue, in order. Five queries where forecasts are kept; two more for fair turns."""
    ids = first_in_order(limit)
    return _look_at(ids, fleet=fleet, foresight=foresight, counts=True)


def outlooks_among(
    job_ids: Sequence[UUID], *, fleet: Sequence[ServerFacts] | None = None
) -> dict[UUID, Outlook]:
    """The same of these jobs, for up to 200, without their places; of those that wait no more there is none.

    Seven queries where forecasts are kept; none for none.
    """
    if not job_ids:
        return {}
    fleet = load_fleet() if fleet is None else fleet
    return {one.job.pk: one for one in _look_at(job_ids, fleet=fleet)}


def _look_at(
    ids: Sequence[UUID],
    *,
    fleet: Sequence[ServerFacts],
    foresight: Foresight | None = None,
    counts: bool = False,
) -> list[Outlook]:
    rows = with_unmet(BuildJob.objects.queued().defer(*_NOT_SHOWN)).in_bulk(ids)
    jobs = [rows[job_id] for job_id in ids if job_id in rows]
    needs, now = read_needs([job.pk for job in jobs]) if jobs else {}, timezone.now()
    told = (foresight or Foresight(fleet=fleet)).of(jobs)
    verdicts, found = Verdicts(fleet, now=now), []
    for number, job in enumerate(jobs, start=1):
        wanted = needs.get(job.pk)
        if wanted is None:
            continue  # claimed and gone meanwhile
        servers = verdicts.of(wanted, since=startable_since(job))
        start = told[job.pk].start if job.pk in told else None
        wait = start.seconds_from(now) if start else None
        place = number if counts else 0
        found.append(_outlook(job, place, servers, needs=wanted, wait=wait, now=now))
    return found


def _outlook(
    job: BuildJob,
    position: int,
    servers: Sequence[ServerVerdict],
    *,
    needs: Needs,
    wait: Range | None,
    now: datetime,
) -> Outlook:
    def tell(told: str, detail: str, *, starts_in: Range | None = None, kind: Kind | None = None) -> Outlook:
        return Outlook(job, position, told, detail, kind, starts_in)

    hindrance = hindrance_of_read(job, now=now)
    if hindrance is Hindrance.IS_PULLED:
        return tell("Waiting for an orchestrator", "it is pulled by one, no build server takes it")
    if hindrance is Hindrance.NOT_DUE and job.not_before:
        # In steps, so that a page which polls has something new to say now and then, not each time.
        seconds = math.ceil((job.not_before - now).total_seconds() / _STEP_SECONDS) * _STEP_SECONDS
        due = f"due at {job.not_before:%H:%M:%S} UTC"
        return tell("Waits before its next try", due, starts_in=wait or Range(seconds, seconds, seconds))
    if hindrance is Hindrance.NEEDS_ANOTHER:
        return tell("Needs another job", "one that did not complete yet")
    stuck = why_stuck(servers)
    if stuck:
        remedy = remedy_for([(one.server, one.refused) for one in servers], needs=needs)
        return tell(stuck.rstrip("."), f"it starts when {remedy}", kind=kind_of_all(servers))
    if servers[0].verdict is Verdict.ELIGIBLE:
        told = "Behind others" if wait and wait.likely > _SOON_SECONDS else "About to start"
        return tell(told, _roomy(servers), starts_in=wait)
    return tell("Waiting for a slot", _full(servers), starts_in=wait, kind=Kind.BUSY)


def _roomy(servers: Sequence[ServerVerdict]) -> str:
    """Which server has room; of several only how many, for which of them takes the job is not judged here."""
    able = [one for one in servers if one.verdict is Verdict.ELIGIBLE]
    return f"{able[0].server.name} has room now" if len(able) == 1 else f"{len(able)} servers have room now"


def _full(servers: Sequence[ServerVerdict]) -> str:
    """Which servers it waits for."""
    busy = [one for one in servers if one.verdict is Verdict.BUSY]
    away = sum(one.fits for one in servers) - len(busy)
    which = busy[0].server.name if len(busy) == 1 else f"{len(busy)} servers that fit"
    told = f"{which} {'is' if len(busy) == 1 else 'are'} busy"
    return f"{told}, {away} out of service" if away else told
