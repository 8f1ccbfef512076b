"""Which runner follows which server: leases of 15 seconds with a fence. Nobody else writes `ServerLease`.

Only the database's clock is used, so the clocks of several machines need not agree.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from servers.models import BuildServer, ServerLease
from servers.states import TransportKind

LEASE_SECONDS = 15
RENEW_SECONDS = 4


@dataclass(frozen=True)
class HeldLease:
    """A lease that a runner got; the fence tells it from a later holder's."""

    server_id: UUID
    fence: int


def acquire_leases(runner: str, *, machine: str, limit: int = 1000) -> list[HeldLease]:
    """Take the leases that are free or ran out, of servers that this machine can reach.

    A `local` server is only for the machine that it is.
    """
    reachable = BuildServer.objects.filter(
        Q(transport=TransportKind.SSH) | Q(transport=TransportKind.LOCAL, machine_id=machine)
    )
    free = reachable.filter(Q(lease__isnull=True) | Q(lease__until__isnull=True) | Q(lease__until__lt=Now()))
    taken = (
        acquire_lease(server_id, runner=runner) for server_id in free.values_list("pk", flat=True)[:limit]
    )
    return [lease for lease in taken if lease is not None]


def acquire_lease(server_id: UUID, *, runner: str) -> HeldLease | None:
    """Take one lease if it is free or ran out; None when another runner holds it."""
    if not ServerLease.objects.filter(pk=server_id).exists():
        try:
            with transaction.atomic():
                ServerLease.objects.create(pk=server_id)
        except IntegrityError:  # another runner made the row, or the server is gone
            if not ServerLease.objects.filter(pk=server_id).exists():
                return None
    with transaction.atomic():
        taken = ServerLease.objects.filter(Q(until__isnull=True) | Q(until__lt=Now()), pk=server_id).update(
            runner=runner, fence=F("fence") + 1, until=Now() + timedelta(seconds=LEASE_SECONDS)
        )
        if not taken:
            return None
        return HeldLease(server_id, ServerLease.objects.values_list("fence", flat=True).get(pk=server_id))


def renew_lease(lease: HeldLease, *, runner: str) -> bool:
    """Extend a lease; False when it was released or lost to another runner: then stop following that server."""
    return bool(
        ServerLease.objects.filter(
            pk=lease.server_id, runner=runner, fence=lease.fence, until__isnull=False
        ).update(until=Now() + timedelta(seconds=LEASE_SECONDS))
    )


def release_leases(runner: str) -> int:
    """Give up every lease of a runner, so that another may take over at once; how many it held."""
    return ServerLease.objects.filter(runner=runner).update(until=None)
