"""What happened lately on the whole board, in words: how jobs ended, what became of servers. Four queries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.urls import reverse

from buildboard.core.models import Event
from jobs.models import Attempt, BuildJob
from jobs.views.server_looks import state_in_a_sentence
from jobs.views.server_parts import SERVER_EVENT_LOOKS, STATUS_LOOKS

_SHOWN = 8
_LOOKED_AT = 200
_MOST_CHARACTERS = 160
_SECOND_LINE = 80
_AT_ONCE = timedelta(seconds=1)
_COLUMNS = (
    "source_repository",
    "branch",
    "server_name",
    "max_attempts",
    "started_at",
    "completed_at",
)
# kind: (icon, class of colour, words). What was wrong follows those that end in a colon.
_JOB_LOOKS = {
    "completed": ("check", "ok", "completed"),
    "failed": ("x", "bad", "failed:"),
    "cancelled": ("ban", "muted", "cancelled"),
    "requeued": ("rotate-cw", "run", "queued again:"),
    "retried": ("rotate-cw", "muted", "submitted again"),
}
_SERVER_KINDS = (
    "server_added",
    "host_key_accepted",
    "host_key_changed",
    "host_key_replaced",
    "host_key_back",
    "rebooted",
    "removal_requested",
    "quarantined",
    "quarantine_ended",
    "quarantine_withheld",
)


@dataclass(frozen=True)
class Activity:
    """One line of the feed: what it is about (and where that is), what happened, whose words say why."""

    id: int
    at: datetime
    icon: str
    colour: str
    name: str
    address: str
    words: str
    quoted: str
    seconds: float | None
    detail: str


def recent_activity(servers: Mapping[UUID, str]) -> list[Activity]:
    """The latest that mattered, newest first; `servers` are the names of those that there are."""
    # By their number alone: by what they are about, an index would be read to its end and sorted.
    latest = Event.objects.order_by("-sequence")
    wanted = _without_echoes([event for event in latest[:_LOOKED_AT] if _matters(event)])[:_SHOWN]
    of_jobs = [event for event in wanted if event.subject_type == "job"]
    rows = BuildJob.objects.filter(pk__in={event.subject_id for event in of_jobs}).only(*_COLUMNS)
    jobs = {str(job.pk): job for job in rows} if of_jobs else {}
    places = _places(of_jobs)
    names = {str(server_id): name for server_id, name in servers.items()}
    found = []
    for event in wanted:
        if event.subject_type == "server":
            found.append(_of_server(event, name=names.get(event.subject_id, "")))
        elif event.subject_id in jobs:
            job = jobs[event.subject_id]
            place = places.get((event.subject_id, event.data.get("attempt")), job.server_name)
            found.append(_of_job(event, job, place=place))
    return found


def _places(events: Iterable[Event]) -> dict[tuple[str, object], str]:
    """The names of the servers of the attempts that events tell of, by job and number: a job may have had several."""
    told = {(event.subject_id, event.data["attempt"]) for event in events if event.data.get("attempt")}
    if not told:
        return {}
    jobs, numbers = zip(*told, strict=True)
    rows = Attempt.objects.filter(job__in=set(jobs), number__in=set(numbers))
    return {
        (str(job), number): name for job, number, name in rows.values_list("job", "number", "server_name")
    }


def _matters(event: Event) -> bool:
    if event.subject_type == "job":
        return event.kind in _JOB_LOOKS
    is_of_server = event.subject_type == "server"
    return is_of_server and (event.kind == "status" or event.kind in _SERVER_KINDS)


def _without_echoes(events: list[Event]) -> list[Event]:
    """All but what another host key brings with it: that the server is offline then, and in quarantine."""
    alarms = [(event.subject_id, event.at) for event in events if event.kind == "host_key_changed"]
    return [
        event
        for event in events
        if event.kind not in {"status", "quarantined"}
        or not any(event.subject_id == of and abs(event.at - at) < _AT_ONCE for of, at in alarms)
    ]


def _reason(event: Event) -> str:
    """Why; of another host key only which one, since the rest is on the server's page."""
    return str(event.data.get("seen", "")) if event.kind == "host_key_changed" else event.reason


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _of_job(event: Event, job: BuildJob, *, place: str) -> Activity:
    icon, colour, words = _JOB_LOOKS[event.kind]
    reason = next(iter(event.reason.strip().splitlines()), "")
    quoted = _cut(reason, _MOST_CHARACTERS) if words.endswith(":") else ""
    by = f" by {event.actor}" if event.actor and event.kind in ("cancelled", "retried") else ""
    number = event.data.get("attempt")
    told = [place, f"attempt {number} of {job.max_attempts}" if number else ""]
    return Activity(
        id=event.sequence,
        at=event.at,
        icon=icon,
        colour=colour,
        name=job.repository_name,
        address=reverse("jobs:detail", args=[job.pk]),
        words=f"{job.branch} {words if quoted else words.rstrip(':')}{by}",
        quoted=quoted,
        seconds=job.duration_seconds if event.kind == "completed" else None,
        detail=" · ".join(part for part in told if part),
    )


def _of_server(event: Event, *, name: str) -> Activity:
    if event.kind == "status":
        icon, colour = STATUS_LOOKS.get(event.to_state, ("circle", ""))
        words = f"is {state_in_a_sentence(event.to_state)}"
    else:
        icon, colour, told = SERVER_EVENT_LOOKS[event.kind]
        words = told.partition(":")[0].lower().removeprefix("it ")
    return Activity(
        id=event.sequence,
        at=event.at,
        icon=icon,
        colour=colour or "muted",
        name=name or "A server that is gone",
        address=reverse("jobs:server", args=[event.subject_id]) if name else "",
        words=words,
        quoted="",
        seconds=None,
        detail=_cut(_reason(event), _SECOND_LINE) or event.actor,
    )
