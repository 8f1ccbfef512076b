"""Events of the demo board: told in any order, written in the order of their times, as they would have happened."""

from datetime import datetime

from buildboard.core.models import Event
from jobs.models import BuildJob
from servers.models import BuildServer


class Story:
    """What happened to jobs and servers; nothing of it is a row before `write`."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def tell(
        self,
        subject: BuildJob | BuildServer,
        kind: str,
        *,
        at: datetime,
        actor: str = "",
        reason: str = "",
        to_state: str = "",
        **data: object,
    ) -> None:
        """One event; of the board itself without an actor."""
        event = Event(
            at=at,
            subject_type="job" if isinstance(subject, BuildJob) else "server",
            subject_id=str(subject.pk),
            kind=kind,
            actor=actor,
            door="page" if actor else "runner",
            reason=reason,
            to_state=to_state,
            data=data,
        )
        self._events.append(event)

    def write(self) -> None:
        """All that was told."""
        Event.objects.bulk_create(sorted(self._events, key=lambda event: event.at))
