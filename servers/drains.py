"""Takes servers out of service for a while and back: maintenance and drains, each with its reason and its end.

Either lets running builds go on and sends no new ones. In maintenance what the board sees of a server does not change
its status, and a probe brings it back; a draining one is watched as ever, and takes builds again at once. An end that
was set comes by the sweep of any runner. It is not in charge of the other causes of a status (health.py).
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from buildboard.core.audit import BOARD, Actor, record_event
from buildboard.core.doorbell import ring_on_commit
from buildboard.core.instants import utc_text
from servers.errors import ServerConflict
from servers.health import set_status
from servers.models import BuildServer
from servers.states import ServerStatus

_AT_ONCE = 1000  # servers put back in one pass


def set_maintenance(
    server_id: UUID,
    *,
    enabled: bool,
    actor: Actor,
    reason: str = "",
    until: datetime | None = None,
    kept: Collection[str] = (),
) -> bool:
    """Take a server out for maintenance, or back (it is `unknown` until the next probe, soon); False: nothing changes.

    Asked again meanwhile, it has the reason and the end of now, but for those of `reason` and `until` that are `kept`,
    and is out since when and by whom it was.
    """
    with transaction.atomic():
        row = _locked(server_id)
        if row is None or (not enabled and row.status != ServerStatus.MAINTENANCE):
            return False
        if not enabled:
            return _end_maintenance(row, actor=actor, reason=reason)
        if row.status != ServerStatus.MAINTENANCE:
            data = _data(until)
            begun = set_status(
                server_id, status=ServerStatus.MAINTENANCE, reason=reason, actor=actor, data=data
            )
            BuildServer.objects.filter(pk=server_id).update(maintenance_until=until)
            return begun
        known = (row.status_reason, row.maintenance_until)
        reason, until = _with_kept(kept, known, reason=reason, until=until)
        if known == (reason, until):
            return False
        BuildServer.objects.filter(pk=server_id).update(
            status_reason=reason, maintenance_until=until, updated_at=timezone.now()
        )
        _tell(server_id, "maintenance_changed", actor=actor, reason=reason, until=until)
    return True


def _end_maintenance(row: BuildServer, *, actor: Actor, reason: str) -> bool:
    BuildServer.objects.filter(pk=row.pk).update(maintenance_until=None)
    ended = set_status(row.pk, status=ServerStatus.UNKNOWN, reason=reason, actor=actor)
    ring_on_commit(f"probe:{row.pk}")
    return ended


def set_draining(
    server_id: UUID,
    *,
    enabled: bool,
    actor: Actor,
    reason: str = "",
    until: datetime | None = None,
    kept: Collection[str] = (),
) -> bool:
    """Send a server no new builds, or send them again; False when nothing changes.

    Asked again while it drains, it has the reason and the end of now, but for those of `reason` and `until` that are
    `kept`, and drains since when and by whom it did. Raises ServerConflict while it is being removed.
    """
    with transaction.atomic():
        row = _locked(server_id)
        if row is None or (not enabled and not row.draining):
            return False
        if row.draining and row.removal_requested_at is not None:
            raise ServerConflict(f"{row.name} is being removed from the fleet: take that back first.")
        if not enabled:
            return _end_drain(row, actor=actor, reason=reason)
        columns: dict[str, Any] = {"updated_at": timezone.now()}
        if row.draining:
            known = (row.draining_reason, row.draining_until)
            reason, until = _with_kept(kept, known, reason=reason, until=until)
            if known == (reason, until):
                return False
        else:
            columns |= {"draining": True, "draining_by": actor.name, "draining_since": timezone.now()}
        columns |= {"draining_reason": reason, "draining_until": until}
        BuildServer.objects.filter(pk=server_id).update(**columns)
        kind = "drain_changed" if row.draining else "drain_started"
        _tell(server_id, kind, actor=actor, reason=reason, until=until)
    return True


def _end_drain(row: BuildServer, *, actor: Actor, reason: str) -> bool:
    BuildServer.objects.filter(pk=row.pk).update(
        draining=False,
        draining_reason="",
        draining_until=None,
        draining_by="",
        draining_since=None,
        updated_at=timezone.now(),
    )
    _tell(row.pk, "drain_ended", actor=actor, reason=reason)
    ring_on_commit(f"probe:{row.pk}")
    return True


def _locked(server_id: UUID, **expected: Any) -> BuildServer | None:
    """The row, nobody else's until the caller's transaction ends; None when it is not as expected (any more)."""
    rows = BuildServer.objects.select_for_update(of=("self",), no_key=True)
    return rows.filter(pk=server_id, **expected).first()


def _with_kept(
    kept: Collection[str], known: tuple[str, datetime | None], *, reason: str, until: datetime | None
) -> tuple[str, datetime | None]:
    return known[0] if "reason" in kept else reason, known[1] if "until" in kept else until


def _data(until: datetime | None) -> dict[str, Any]:
    return {"until": utc_text(until)} if until else {}


def _tell(server_id: UUID, kind: str, *, actor: Actor, reason: str, until: datetime | None = None) -> None:
    """The event, and the doorbells of those who show or use it."""
    record_event("server", subject_id=server_id, kind=kind, actor=actor, reason=reason, data=_data(until))
    ring_on_commit("jobs")
    ring_on_commit("queue")


def end_what_is_over() -> int:
    """Put servers back whose drain or maintenance was to end by now; how many. Harmless when two do it.

    An end that is put off at this moment holds: each is ended only while its end is the one that was found.
    """
    now = timezone.now()
    ended = 0
    drained = BuildServer.objects.filter(
        draining=True, draining_until__lte=now, removal_requested_at__isnull=True
    )
    for server_id, until in drained.values_list("pk", "draining_until")[:_AT_ONCE]:
        reason = _was_to_end(until)
        with transaction.atomic():
            row = _locked(server_id, draining=True, draining_until=until, removal_requested_at=None)
            ended += row is not None and _end_drain(row, actor=BOARD, reason=reason)
    mended = BuildServer.objects.filter(status=ServerStatus.MAINTENANCE, maintenance_until__lte=now)
    for server_id, until in mended.values_list("pk", "maintenance_until")[:_AT_ONCE]:
        reason = f"{_was_to_end(until)} A probe brings it back in."
        with transaction.atomic():
            row = _locked(server_id, status=ServerStatus.MAINTENANCE, maintenance_until=until)
            ended += row is not None and _end_maintenance(row, actor=BOARD, reason=reason)
    return ended


def _was_to_end(until: datetime | None) -> str:
    return f"It was to end at {until:%Y-%m-%d %H:%M} UTC." if until else ""
