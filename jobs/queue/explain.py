"""Why a job waits and what would let it start, judged anew by the pure functions that dispatch uses.

Page, status and `explain` all show one Explanation, so they cannot differ. What stood in the way before is kept
by refusals.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from jobs.models import BuildJob
from jobs.needs import Needs
from jobs.queue.conditions import Condition, Kind, Refused
from jobs.queue.doing import what_it_does
from jobs.queue.estimate import (
    Estimate,
    Foresight,
    QueueState,
    estimate_of_job,
    queue_state,
    told_if_submitted,
)
from jobs.queue.hindrances import Hindrance, hindrance_of
from jobs.queue.lasting import Range
from jobs.queue.order import PULLED, Place, Waiting, place_of, waiting_of
from jobs.queue.placing import judge_for
from jobs.queue.predictions import Told
from jobs.queue.remedies import remedy_for
from jobs.queue.spans import in_about, in_words
from jobs.queue.verdicts import ServerVerdict, Verdict, judge_fleet
from jobs.states import JOB_ACTIVE, JobStatus
from servers.fleet import ServerFacts, load_fleet

MOST_REASONS = 50
_UNFIT = "No build server can take it."
_AWAY = "No build server that fits is in service."
_NONE = "There is no build server yet."


@dataclass(frozen=True)
class Blocker:
    """What holds a job up before any server is asked."""

    told: str
    ends: str


@dataclass(frozen=True)
class Explanation:
    """How a job stands to the fleet now. Place, wait and what would let it start are a queued one's alone.

    `told` is when it should start and end, of a queued or active one; None while nobody can tell. `kind` is what the
    nearest server is: impossible, offline or busy; None when one has room, or it waits for no server. `free_in` is
    when the next slot of a server comes free, by its id, as far as anybody can tell.
    """

    summary: str
    needs: Needs
    servers: list[ServerVerdict]
    checked_at: datetime
    reasons: list[str]
    would_start_if: str | None = None
    estimated_start_at: datetime | None = None
    told: Told | None = None
    wait: Estimate | None = None
    place: Place | None = None
    total_queued: int = 0
    kind: Kind | None = None
    free_in: Mapping[UUID, Range] = field(default_factory=dict)


def explain_job(job: BuildJob) -> Explanation:
    """Everything about a job's waiting. A dozen queries where forecasts are kept, however many servers there are."""
    waiting, now = waiting_of(job), timezone.now()
    fleet = load_fleet()
    servers = _judge(job, waiting=waiting, fleet=fleet, now=now)
    if job.status != JobStatus.QUEUED:
        told = Foresight(fleet=fleet).of([job]).get(job.pk) if job.status in JOB_ACTIVE else None
        return Explanation(what_it_does(job), waiting.needs, servers, now, [], told=told)
    state, place = _queue_with(job), place_of(job)
    told, free_in = _foresee(job, place=place, fleet=fleet)
    wait = estimate_of_job(job, told=told, place=place, total_queued=state.total_queued)
    blocker = _blocker_of(job, now=now)
    at_once = servers and servers[0].verdict is Verdict.ELIGIBLE and not place.rivals_ahead
    starts = max(now + timedelta(seconds=0 if at_once else wait.seconds), job.not_before or now)
    may_be_told = any(one.verdict is not Verdict.REFUSED for one in servers) and (
        blocker is None or job.not_before
    )
    return Explanation(
        summary=blocker.told if blocker else _summary(servers, needs=waiting.needs, place=place, wait=wait),
        needs=waiting.needs,
        servers=servers,
        checked_at=now,
        reasons=[blocker.told] if blocker else _reasons(servers),
        would_start_if=_would_start_if(job, blocker, servers, needs=waiting.needs, place=place),
        estimated_start_at=starts if may_be_told else None,
        told=told if may_be_told else None,
        wait=wait,
        place=place,
        total_queued=state.total_queued,
        kind=None if blocker or job.provider == PULLED else kind_of_all(servers),
        free_in=free_in,
    )


def _judge(
    job: BuildJob, *, waiting: Waiting, fleet: Sequence[ServerFacts], now: datetime
) -> list[ServerVerdict]:
    """Every server: of a job that waits for one as dispatch would judge it now."""
    if job.provider == PULLED:
        other = Refused(Condition.PROVIDER, f"is not asked: the job is for the provider {job.provider}")
        return [ServerVerdict(server, (other,)) for server in fleet]
    if job.status == JobStatus.QUEUED:
        return judge_for(job, waiting=waiting, fleet=fleet, now=now)
    return judge_fleet(fleet, needs=waiting.needs, now=now, waited_seconds=waiting.waited_seconds(now))


def _foresee(
    job: BuildJob, *, place: Place, fleet: Sequence[ServerFacts]
) -> tuple[Told | None, Mapping[UUID, Range]]:
    """When it should start, and when each server has room again; of one that is not stored only the first."""
    if job._state.adding:
        return told_if_submitted(job, position=place.position, fleet=fleet), {}
    foresight = Foresight(fleet=fleet)
    return foresight.of([job]).get(job.pk), foresight.free_in


def explain_submission(fields: Mapping[str, Any]) -> Explanation:
    """The same for what was not submitted yet: the fields of a job as `submission.fields_of` gives them.

    It is judged as if it were submitted now; nothing is written.
    """
    return explain_job(BuildJob(**fields))


def _queue_with(job: BuildJob) -> QueueState:
    """The queue now, this job in it, though it may not be stored yet."""
    state = queue_state()
    if not job._state.adding:
        return state
    return replace(state, total_queued=state.total_queued + 1)


def _blocker_of(job: BuildJob, *, now: datetime) -> Blocker | None:
    count = job.dependencies.exclude(needs__status=JobStatus.COMPLETED).count()
    hindrance = hindrance_of(job, is_unmet=count > 0, now=now)
    if hindrance is Hindrance.NOT_DUE and job.not_before:
        due = f"{job.not_before:%H:%M:%S} UTC"
        return Blocker(f"It is tried again at {due}.", f"its next try is due at {due}")
    if hindrance is Hindrance.NEEDS_ANOTHER:
        jobs = "another job" if count == 1 else f"{count} other jobs"
        ends = "the job that it needs completes" if count == 1 else f"the {count} jobs that it needs complete"
        return Blocker(f"It needs {jobs} that did not complete yet.", ends)
    return None


def why_stuck(servers: Sequence[ServerVerdict]) -> str:
    """What to say when time alone does not help; empty when it does."""
    if not servers:
        return _NONE
    if not any(one.fits for one in servers):
        return _UNFIT
    return _AWAY if all(one.verdict is Verdict.REFUSED for one in servers) else ""


def kind_of_all(servers: Sequence[ServerVerdict]) -> Kind | None:
    """What the nearest of all servers is to a job; None when one can take it now."""
    if not any(one.fits for one in servers):
        return Kind.IMPOSSIBLE
    if any(one.verdict is Verdict.ELIGIBLE for one in servers):
        return None
    return Kind.BUSY if any(one.verdict is Verdict.BUSY for one in servers) else Kind.OFFLINE


def _summary(servers: Sequence[ServerVerdict], *, needs: Needs, place: Place, wait: Estimate) -> str:
    stuck = why_stuck(servers)
    if stuck:
        return stuck
    turn = (
        "It is first in the queue" if place.position == 1 else f"It is number {place.position} in the queue"
    )
    able = [one for one in servers if one.verdict is Verdict.ELIGIBLE]
    if able:
        return f"{able[0].server.name} has room for it now{_instead(servers, needs=needs)}. {turn}."
    busy = [one for one in servers if one.verdict is Verdict.BUSY]
    away = sum(one.fits for one in servers) - len(busy)
    which = f"All {len(busy)} build servers that fit are busy"
    if len(busy) == 1:
        which = f"{busy[0].server.name}, the only build server that fits, is busy"
    if away:
        which = f"Of {len(busy) + away} build servers that fit {len(busy)} {_are(len(busy))} busy"
        which += f" and {away} {_are(away)} out of service"
    return f"{which}. {turn} and should start {_when(wait)}."


def _instead(servers: Sequence[ServerVerdict], *, needs: Needs) -> str:
    """Why another server takes it than the one that it asks for; empty where that is not so."""
    if not needs.fallback or needs.names(servers[0].server):
        return ""
    asked = next((one for one in servers if needs.names(one.server)), None)
    if asked is None:
        return f" instead of {needs.server}, which is gone"
    return f" instead of {asked.server.name}, which {asked.refused[0].detail}"


def _would_start_if(
    job: BuildJob, blocker: Blocker | None, servers: Sequence[ServerVerdict], *, needs: Needs, place: Place
) -> str:
    parts = [blocker.ends] if blocker else []
    able = [one.server.name for one in servers if one.verdict is Verdict.ELIGIBLE]
    ahead = place.rivals_ahead
    others = "the job ahead of it has" if ahead == 1 else f"the {ahead} jobs ahead of it have"
    if job.provider == PULLED:
        parts.append(f"the provider {job.provider} takes it")
    elif not able:
        refused = [(one.server, one.refused) for one in servers]
        after = f", and {others} started" if ahead and not why_stuck(servers) else ""
        parts.append(f"{remedy_for(refused, needs=needs)}{after}")
    elif not blocker and ahead:
        parts.append(f"{others} started; {able[0]} has room now")
    elif not blocker:
        parts.append(f"the runner looks at the queue again, within a second or two: {able[0]} has room now")
    return " and ".join(parts)


def _reasons(servers: Sequence[ServerVerdict]) -> list[str]:
    """A sentence a server, those that come nearest first."""
    if not servers:
        return ["There is no build server yet; an operator adds one."]
    return [one.told for one in servers[:MOST_REASONS]]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _when(wait: Estimate) -> str:
    return in_words(wait.range) if wait.range else in_about(wait.seconds)
