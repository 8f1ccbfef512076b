"""The first jobs of the queue, each with why it waits and when it may start, in few words and few queries.

The same judgement as explain.py's, which tells everything about one job. It decides nothing.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef
from django.utils import timezone

from jobs.models import BuildJob, JobDependency
from jobs.needs import read_needs
from jobs.queue.conditions import Needs
from jobs.queue.estimate import estimate_wait
from jobs.queue.explain import why_stuck
from jobs.queue.order import PULLED, first_in_order
from jobs.queue.remedies import remedy_for
from jobs.queue.verdicts import ServerVerdict, Verdict, judge_fleet
from jobs.states import JobStatus
from servers.fleet import ServerFacts

_STEP_SECONDS = 10
_NOT_SHOWN = ("spec", "secret_spec", "result", "labels", "required_labels", "error_message")


@dataclass(frozen=True)
class Outlook:
    """How one queued job stands. `starts_in` is in seconds; None while nobody can tell."""

    job: BuildJob
    position: int
    told: str
    detail: str
    is_blocked: bool
    starts_in: int | None


def outlook_of_queue(
    fleet: Sequence[ServerFacts], *, limit: int, queued: int, durations: Mapping[str, Sequence[float]]
) -> list[Outlook]:
    """The first so many jobs of the queue, in order; `durations` by architecture, "" for all.

    Three queries, or five when people take turns.
    """
    unmet = JobDependency.objects.filter(job=OuterRef("pk")).exclude(needs__status=JobStatus.COMPLETED)
    ids = first_in_order(limit)
    rows = BuildJob.objects.queued().defer(*_NOT_SHOWN).annotate(is_unmet=Exists(unmet)).in_bulk(ids)
    jobs = [rows[job_id] for job_id in ids if job_id in rows]
    needs, now = read_needs([job.pk for job in jobs]) if jobs else {}, timezone.now()
    ahead: Counter[str] = Counter()
    judged: dict[Needs, list[ServerVerdict]] = {}
    found = []
    for number, job in enumerate(jobs, start=1):
        wanted = needs.get(job.pk)
        if wanted is None:
            continue  # claimed and gone meanwhile
        if wanted not in judged:
            judged[wanted] = judge_fleet(fleet, needs=wanted, now=now)
        wait = _wait(
            judged[wanted],
            ahead=ahead[job.target_architecture],
            queued=queued,
            past=durations.get(job.target_architecture) or durations.get("", []),
        )
        found.append(_outlook(job, number, judged[wanted], needs=wanted, wait=wait, now=now))
        ahead[job.target_architecture] += 1
    return found


def _wait(servers: Sequence[ServerVerdict], *, ahead: int, queued: int, past: Sequence[float]) -> int:
    room = [one.server for one in servers if one.verdict is not Verdict.REFUSED]
    if servers and servers[0].verdict is Verdict.ELIGIBLE and not ahead:
        return 0
    return estimate_wait(
        ahead=ahead,
        queued=queued,
        building=sum(server.held for server in room),
        slots=sum(server.slots for server in room),
        durations=past,
    ).seconds


def _outlook(
    job: BuildJob,
    position: int,
    servers: Sequence[ServerVerdict],
    *,
    needs: Needs,
    wait: int,
    now: datetime,
) -> Outlook:
    def tell(told: str, detail: str, *, starts_in: int | None = None, is_blocked: bool = False) -> Outlook:
        return Outlook(job, position, told, detail, is_blocked, starts_in)

    if job.provider == PULLED:
        return tell("Waiting for an orchestrator", "it is pulled by one, no build server takes it")
    if job.not_before and job.not_before > now:
        # In steps, so that a page which polls has something new to say now and then, not each time.
        seconds = math.ceil((job.not_before - now).total_seconds() / _STEP_SECONDS) * _STEP_SECONDS
        return tell("Waits before its next try", f"due at {job.not_before:%H:%M:%S} UTC", starts_in=seconds)
    if getattr(job, "is_unmet", False):
        return tell("Needs another job", "one that did not complete yet")
    stuck = why_stuck(servers)
    if stuck:
        remedy = remedy_for([(one.server, one.refused) for one in servers], needs=needs)
        return tell(stuck.rstrip("."), f"it starts when {remedy}", is_blocked=True)
    if servers[0].verdict is Verdict.ELIGIBLE:
        told = "Behind others" if wait else "About to start"
        return tell(told, f"{servers[0].server.name} has room now", starts_in=wait)
    return tell("Waiting for a slot", _full(servers), starts_in=wait)


def _full(servers: Sequence[ServerVerdict]) -> str:
    """Which servers it waits for."""
    busy = [one for one in servers if one.verdict is Verdict.BUSY]
    away = sum(one.fits for one in servers) - len(busy)
    which = busy[0].server.name if len(busy) == 1 else f"{len(busy)} servers that fit"
    told = f"{which} {'is' if len(busy) == 1 else 'are'} busy"
    return f"{told}, {away} out of service" if away else told
