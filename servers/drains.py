"""Takes servers out of service for a while and back: maintenance and drains, each with its reason and its end.

Either lets running builds go on and sends no new ones. In maintenance what the board sees of a server does not change
its status; a draining one is watched as ever. An end that was set comes by the sweep of any runner, once a probe has
been asked for. It is not in charge of the other causes of a status (health.py).
"""

from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from buildboard.core.audit import BOARD, Actor, record_event
from buildboard.core.doorbell import ring_on_commit
from buildboard.core.schemas import utc_text
from servers.errors import ServerConflict
from servers.health import set_status
from servers.models import BuildServer
from servers.states import ServerStatus

_AT_ONCE = 1000  # servers put back in one pass


def set_maintenance(
    server_id: UUID, *, enabled: bool, actor: Actor, reason: str = "", until: datetime | None = None
) -> bool:
    """Take a server out for maintenance, or back (it is `unknown` until the next probe, soon).

    False when it is so already; another end is taken in all the same.
    """
    if enabled:
        data = {"until": utc_text(until)} if until else None
        with transaction.atomic():
            begun = set_status(
                server_id, status=ServerStatus.MAINTENANCE, reason=reason, actor=actor, data=data
            )
            if begun or until is not None:
                _under_maintenance(server_id).update(maintenance_until=until, updated_at=timezone.now())
        return begun
    with transaction.atomic():
        if not _under_maintenance(server_id).update(maintenance_until=None):
            return False
        ended = set_status(server_id, status=ServerStatus.UNKNOWN, reason=reason, actor=actor)
        ring_on_commit(f"probe:{server_id}")
    return ended


def _under_maintenance(server_id: UUID) -> Any:
    return BuildServer.objects.filter(pk=server_id, status=ServerStatus.MAINTENANCE)


def set_draining(
    server_id: UUID, *, enabled: bool, actor: Actor, reason: str = "", until: datetime | None = None
) -> bool:
    """Send a server no new builds, or send them again; False when nothing changes.

    Asked again while it drains, it has the reason and the end of now, and drains since when it did. Raises
    ServerConflict while it is being removed.
    """
    now = timezone.now()
    with transaction.atomic():
        row = BuildServer.objects.select_for_update(of=("self",), no_key=True).filter(pk=server_id).first()
        if row is None or (not enabled and not row.draining):
            return False
        if row.draining and row.removal_requested_at is not None:
            raise ServerConflict(f"{row.name} is being removed from the fleet: take that back first.")
        if enabled and row.draining and (row.draining_reason, row.draining_until) == (reason, until):
            return False
        columns: dict[str, Any] = {
            "draining": enabled,
            "draining_reason": reason if enabled else "",
            "draining_until": until if enabled else None,
            "draining_by": actor.name if enabled else "",
            "draining_since": (row.draining_since or now) if enabled else None,
        }
        BuildServer.objects.filter(pk=server_id).update(**columns, updated_at=now)
        kind = ("drain_changed" if row.draining else "drain_started") if enabled else "drain_ended"
        data = {"until": utc_text(until)} if until and enabled else {}
        record_event("server", subject_id=server_id, kind=kind, actor=actor, reason=reason, data=data)
        ring_on_commit("jobs")
        ring_on_commit("queue")
        if not enabled:
            ring_on_commit(f"probe:{server_id}")
    return True


def end_what_is_over() -> int:
    """Put servers back whose drain or maintenance was to end by now; how many. Harmless when two do it."""
    now = timezone.now()
    ended = 0
    drained = BuildServer.objects.filter(
        draining=True, draining_until__lte=now, removal_requested_at__isnull=True
    )
    for server_id, until in drained.values_list("pk", "draining_until")[:_AT_ONCE]:
        with suppress(ServerConflict):  # it is to go since
            ended += set_draining(server_id, enabled=False, actor=BOARD, reason=_was_to_end(until))
    mended = BuildServer.objects.filter(status=ServerStatus.MAINTENANCE, maintenance_until__lte=now)
    for server_id, until in mended.values_list("pk", "maintenance_until")[:_AT_ONCE]:
        reason = f"{_was_to_end(until)} A probe brings it back in."
        ended += set_maintenance(server_id, enabled=False, actor=BOARD, reason=reason)
    return ended


def _was_to_end(until: datetime | None) -> str:
    return f"It was to end at {until:%Y-%m-%d %H:%M} UTC." if until else ""
