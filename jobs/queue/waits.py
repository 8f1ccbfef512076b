"""Reads when a job was queued and what refused it then, for history.py, which tells what that comes to; and since when
what refuses it now has stood.

A job behind the first of its class has no refusals of its own for that time: those of the first ones hold for it, since
they ask for the same. It writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet, Subquery
from django.utils import timezone

from jobs.models import Attempt, BuildJob, JobDependency, Refusal
from jobs.queue.history import ANOTHER_JOB, NOT_KEPT, RETRY_DELAY, Spell, Stood, Wait, spells_of, told_of
from jobs.states import JobStatus

MOST_ROWS = 1000
"""So many refusals are read of a job, the latest, and of its class."""
_CLOSED_LATER = timedelta(
    hours=1
)  # rows of the class that stood longer after the job had been placed are left out
_SHOWN = 12
_SOON = timedelta(seconds=10)  # from being queued to the first look

Since = Mapping[tuple[UUID, str], datetime]
"""From when on a server, by its id, has not met a condition for a job."""


@dataclass(frozen=True)
class History:
    """What a job waited for, oldest first, and the same in one phrase; it is empty when it did not wait."""

    spells: Sequence[Spell] = ()
    told: str = ""

    @property
    def latest(self) -> Sequence[Spell]:
        """The last spells, newest first, as many as are read at once."""
        return self.spells[: -_SHOWN - 1 : -1]


def history_of(job: BuildJob) -> History:
    """What this job has waited for so far. At most five queries."""
    attempts = list(Attempt.objects.filter(job=job).order_by("number").only("created_at", "completed_at"))
    waits = waits_of(job, attempts=attempts, now=timezone.now())
    if not waits:
        return History()
    spells = spells_of([*_read_refusals(job, waits), *_held_up(job, waits)], waits=waits)
    told = told_of(spells)
    return History(spells, told) if told else History()


def waits_of(job: BuildJob, *, attempts: Sequence[Attempt], now: datetime) -> list[Wait]:
    """The times in which it was queued: before each attempt, and since the last one or until it ended without."""
    found: list[Wait] = []
    since: datetime | None = job.created_at
    for attempt in attempts:
        if since is not None and attempt.created_at > since:
            found.append(Wait(since, attempt.created_at, is_again=bool(found)))
        since = attempt.completed_at
    until = now if job.status == JobStatus.QUEUED else None if attempts else job.completed_at
    if since is not None and until is not None and until > since:
        found.append(Wait(since, until, is_again=bool(found)))
    return found


def _held_up(job: BuildJob, waits: Sequence[Wait]) -> list[Stood]:
    """What held it up before any server was asked. One query."""
    last = waits[-1]
    found = []
    if job.not_before and job.status == JobStatus.QUEUED and job.not_before > last.since:
        found.append(Stood(None, RETRY_DELAY, last.since, job.not_before))
    needed = JobDependency.objects.filter(job=job).values_list("needs__status", "needs__completed_at")
    ends = [at if status == JobStatus.COMPLETED else None for status, at in needed]
    if ends:
        done = [at for at in ends if at is not None]
        until = max(done) if len(done) == len(ends) else None
        found.append(Stood(None, ANOTHER_JOB, job.created_at, until))
    return found


def _read_refusals(job: BuildJob, waits: Sequence[Wait]) -> list[Stood]:
    """The rows of the job, and of its class for as long as it had none itself. One query or three."""
    since, until = waits[0].since, waits[-1].until
    own = _stood(Refusal.objects.filter(job=job))
    own_since = min((one.since for one in own), default=until)
    if not job.needs_key or own_since <= since + _SOON:
        return _with_what_is_not_kept(own, since)
    still, over = refusals_of_class(job.needs_key, since=since, until=own_since)
    others = _with_what_is_not_kept(_stood(still.exclude(job=job)) + _stood(over.exclude(job=job)), since)
    return own + [
        Stood(one.server, one.reason, one.since, min(one.until or own_since, own_since)) for one in others
    ]


def refusals_of_class(
    needs_key: str, *, since: datetime, until: datetime
) -> tuple[QuerySet[Refusal], QuerySet[Refusal]]:
    """What stood in the way of the first jobs of a class at some time between: what still does, and what is over.

    Apart, since together SQLite would look at all rows of the class, however old.
    """
    rows = Refusal.objects.filter(needs_key=needs_key, since__lt=until)
    return rows.filter(until__isnull=True), rows.filter(until__gt=since, until__lte=until + _CLOSED_LATER)


def since_when(job: BuildJob) -> Since:
    """Since when what stands in the way of a queued job does: by its own rows, and by those of the first of its class.

    Never before it was queued, or queued again. A server has nothing there until a look was kept, nor when it is not
    among the nearest. One query; none of a job that is not queued, or not stored.
    """
    if job._state.adding or job.status != JobStatus.QUEUED:
        return {}
    rows = Refusal.objects.filter(until__isnull=True, server__isnull=False)
    rows = rows.filter(needs_key=job.needs_key) if job.needs_key else rows.filter(job=job)
    latest = Attempt.objects.filter(job=job).order_by("-number").values("completed_at")[:1]
    found: dict[tuple[UUID, str], datetime] = {}
    for server_id, condition, since, queued_again in rows.order_by("since").values_list(
        "server_id", "condition", "since", Subquery(latest)
    ):
        began = max(since, job.created_at, queued_again or job.created_at)
        found.setdefault((server_id, condition), began)
    return found


def _stood(rows: QuerySet[Refusal]) -> list[Stood]:
    latest = rows.order_by("-since", "-pk").values_list(
        "server_id", "server_name", "condition", "since", "until"
    )
    # One that was removed is known by its name alone; without both it was the board itself.
    return [
        Stood(server_id or name or None, condition, since, until)
        for server_id, name, condition, since, until in latest[:MOST_ROWS]
    ]


def _with_what_is_not_kept(rows: list[Stood], since: datetime) -> list[Stood]:
    """When there were more than are read, nothing is said of the time before."""
    if len(rows) < MOST_ROWS:
        return rows
    return [*rows, Stood(None, NOT_KEPT, since, min(one.since for one in rows))]
