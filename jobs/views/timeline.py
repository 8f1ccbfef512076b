"""Events and phases in words: what happened to a job or a server when, and how far the shown attempt is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from buildboard.core.models import Event
from jobs.models import Attempt
from jobs.states import ATTEMPT_ACTIVE, AttemptStatus, Phase

# kind: (icon, colour class, words). Words may use the event's data.
EVENT_LOOKS = {
    "submitted": ("clock", "", "Queued"),
    "claimed": ("hand", "", "Claimed for {server}, attempt {attempt}"),
    "started": ("play", "", "Started on {server}"),
    "phase": ("chevron-right", "", "Phase: {phase}"),
    "requeued": ("rotate-cw", "run", "Attempt {attempt} ended; queued again"),
    "released": ("clock", "", "Attempt {attempt} given back: nothing had started"),
    "completed": ("check", "ok", "Completed"),
    "failed": ("x", "bad", "Failed"),
    "cancelled": ("ban", "", "Cancelled"),
    "cancel_requested": ("ban", "", "Cancel asked for"),
    "priority_changed": ("chevrons-up", "", "Priority {from} to {to}{passing}"),
    "retry_withheld": ("triangle-alert", "bad", "Not submitted again"),
    "retried": ("rotate-cw", "", "Submitted again as a new job"),
}
_OTHER = ("circle", "", "{kind}")
_UNKNOWN = {
    "server": "a server",
    **dict.fromkeys(("attempt", "phase", "from", "to", "what", "fingerprint", "seen"), "?"),
}
_Look = tuple[str, str, str]
_MOST_WORDS = 500


@dataclass(frozen=True)
class Happening:
    """One line of the timeline."""

    id: int
    at: datetime
    icon: str
    colour: str
    text: str
    reason: str
    actor: str
    retry_id: UUID | None


def happenings(
    events: Iterable[Event],
    *,
    looks: Mapping[str, _Look] = EVENT_LOOKS,
    states: Mapping[str, tuple[str, str]] | None = None,
) -> list[Happening]:
    """The events as lines of a timeline, in their order; `states` gives icon and colour of a new status."""
    return [_happening(event, _look_of(event, looks, states or {})) for event in events]


def _look_of(event: Event, looks: Mapping[str, _Look], states: Mapping[str, tuple[str, str]]) -> _Look:
    if event.kind == "status" and event.to_state in states:
        return (*states[event.to_state], event.to_state.capitalize())
    return looks.get(event.kind, _OTHER)


def _happening(event: Event, look: _Look) -> Happening:
    icon, colour, words = look
    known = {"kind": event.kind.replace("_", " ").capitalize(), **_UNKNOWN}
    told = {key: _text(value)[:_MOST_WORDS] for key, value in event.data.items() if key in known}
    told["passing"] = _passing(event.data)
    return Happening(
        id=event.sequence,
        at=event.at,
        icon=icon,
        colour=colour,
        text=words.format_map({**known, **told}),
        reason=event.reason[:_MOST_WORDS],
        actor=event.actor,
        retry_id=_uuid(event.data.get("retry")),
    )


def _passing(data: Mapping[str, object]) -> str:
    """Whom a change of priority brought it past; nothing of any other event."""
    for key, words in (("overtakes", "past {} {}"), ("lets_pass", "behind {} {}")):
        count = data.get(key)
        if isinstance(count, int):
            return f", {words.format(count, 'other' if count == 1 else 'others')}"
    return ""


def _text(value: object) -> str:
    return ", ".join(str(one).replace("_", " ") for one in value) if isinstance(value, list) else str(value)


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


@dataclass(frozen=True)
class Step:
    """One phase of an attempt: `done`, `current`, `failed`, `cancelled` or `ahead`."""

    phase: str
    state: str
    started_at: datetime | None
    seconds: float | None


def steps_of(attempt: Attempt, *, events: Iterable[Event]) -> list[Step]:
    """The four phases of an attempt with the time that each took, from its rows and events."""
    began: dict[str, datetime] = {Phase.CONNECTING: attempt.created_at}
    if attempt.started_at:
        began[Phase.CHECKOUT] = attempt.started_at
    for event in events:
        if event.kind == "phase" and event.data.get("attempt") == attempt.number:
            began.setdefault(str(event.data.get("phase")), event.at)
    reached = [phase for phase in Phase if phase in began]
    steps = []
    for phase in Phase:
        start = began.get(phase)
        later = [began[other] for other in reached if start and began[other] > start]
        end = min(later, default=attempt.completed_at)
        seconds = (end - start).total_seconds() if start and end else None
        steps.append(Step(phase.label, _step_state(attempt, phase, reached), start, seconds))
    return steps


def _step_state(attempt: Attempt, phase: Phase, reached: list[Phase]) -> str:
    if phase not in reached:
        return "ahead"
    if phase != reached[-1]:
        return "done"
    if attempt.status in ATTEMPT_ACTIVE:
        return "current"
    if attempt.status == AttemptStatus.CANCELLED:
        return "cancelled"
    return "done" if attempt.status == AttemptStatus.COMPLETED else "failed"
