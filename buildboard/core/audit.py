"""Writes events: the audit log and every timeline. Rows are only ever added, in the caller's transaction."""

from dataclasses import dataclass
from typing import Any

from buildboard.core.models import Event


@dataclass(frozen=True)
class Actor:
    """Who does something, and through which door (api, page, admin, command, runner)."""

    name: str = ""
    door: str = ""


BOARD = Actor(name="", door="runner")


def record_event(
    subject_type: str,
    *,
    subject_id: object,
    kind: str,
    actor: Actor = BOARD,
    from_state: str = "",
    to_state: str = "",
    reason: str = "",
    data: dict[str, Any] | None = None,
) -> Event:
    """Add one event. Call it inside the transaction of the change that it speaks of."""
    return Event.objects.create(
        subject_type=subject_type,
        subject_id=str(subject_id),
        kind=kind,
        from_state=from_state,
        to_state=to_state,
        actor=actor.name,
        door=actor.door,
        reason=reason,
        data=data or {},
    )
