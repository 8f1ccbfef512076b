"""The wish that a server leaves the fleet though builds run there: written here, carried out by `jobs` and its sweep.

From the wish on it drains; it is deleted once no build holds a slot of it. Until then the wish can be taken back. It is
not in charge of ending builds (`servers` knows none), nor of deleting (registry.py).
"""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from buildboard.core.audit import Actor, record_event
from servers.drains import set_draining
from servers.errors import InvalidServer, ServerConflict
from servers.models import BuildServer

DRAINING_REASON = "It is being removed from the fleet."
_MOST = 100  # removals in one pass


def request_removal(server: BuildServer, *, actor: Actor, confirm: str, reason: str = "") -> bool:
    """Have it drained, and deleted when nothing runs there; False when that is wished already.

    Raises InvalidServer unless `confirm` is its name, ServerConflict when others are reached through it.
    """
    if confirm.strip() != server.name:
        message = f"Write the server's name, {server.name}, to confirm: the builds there are ended."
        raise InvalidServer([{"field": "confirm", "message": message}])
    with transaction.atomic():
        refuse_jump_host(server)
        now = timezone.now()
        is_new = not BuildServer.objects.filter(pk=server.pk, removal_requested_at__isnull=False).exists()
        if is_new:
            set_draining(server.pk, enabled=True, actor=actor, reason=DRAINING_REASON)
            BuildServer.objects.filter(pk=server.pk).update(
                removal_requested_at=now,
                removal_requested_by=actor.name,
                removal_reason=reason,
                updated_at=now,
            )
            record_event("server", subject_id=server.pk, kind="removal_requested", actor=actor, reason=reason)
    return is_new


def withdraw_removal(server: BuildServer, *, actor: Actor) -> bool:
    """Keep it after all, and send it builds again; False when nobody wishes it gone. What was cancelled stays so."""
    with transaction.atomic():
        row = BuildServer.objects.filter(pk=server.pk, removal_requested_at__isnull=False)
        if not row.update(
            removal_requested_at=None,
            removal_requested_by="",
            removal_reason="",
            updated_at=timezone.now(),
        ):
            return False
        record_event("server", subject_id=server.pk, kind="removal_withdrawn", actor=actor)
        set_draining(server.pk, enabled=False, actor=actor)
    return True


def wished_removals() -> list[BuildServer]:
    """Servers that are to go, the longest wished first."""
    wished = BuildServer.objects.filter(removal_requested_at__isnull=False)
    return list(wished.defer("facts").order_by("removal_requested_at")[:_MOST])


def find_wished(server_id: UUID) -> BuildServer | None:
    """The server as it is now, if it is still to go."""
    return BuildServer.objects.filter(pk=server_id, removal_requested_at__isnull=False).defer("facts").first()


def refuse_jump_host(server: BuildServer) -> None:
    """Raises ServerConflict while others are reached through it."""
    behind = list(server.jumped_by.order_by("name").values_list("name", flat=True)[:5])
    if behind:
        raise ServerConflict(
            f"{server.name} is the jump host of {', '.join(behind)}: give them another one before you delete it."
        )
