"""Slots: how many builds a server runs at once, and who holds each. Nobody else writes `Slot`.

Holders are opaque ids (attempts): this module knows nothing of jobs.
"""

import uuid

from django.db import transaction
from django.db.models import Count, Q
from django.db.models.functions import Now

from servers.models import BuildServer, Slot


def fit_slots(server: BuildServer) -> None:
    """Make slots 1..max_concurrent_builds exist; free ones over the limit go, held ones run out."""
    numbers = range(1, server.max_concurrent_builds + 1)
    Slot.objects.bulk_create(
        [Slot(server=server, number=number) for number in numbers], ignore_conflicts=True
    )
    Slot.objects.filter(server=server, number__gt=server.max_concurrent_builds, holder__isnull=True).delete()


def take_slot(server: BuildServer, *, holder: uuid.UUID) -> int | None:
    """Take a free slot within the limit for `holder` and give its number; None when the server is full.

    One guarded update a try: of two takers one sees no row changed and goes on to the next slot. Call it
    inside the transaction of the claim.
    """
    over = Slot.objects.filter(server=server, holder__isnull=False, number__gt=server.max_concurrent_builds)
    if over.exists() and lock_slots(server) >= server.max_concurrent_builds:
        return None  # the limit was lowered, and what runs over it counts, too
    free = Slot.objects.filter(
        server=server, holder__isnull=True, number__lte=server.max_concurrent_builds
    ).order_by("number")
    for slot_id, number in free.values_list("pk", "number"):
        if Slot.objects.filter(pk=slot_id, holder__isnull=True).update(holder=holder, taken_at=Now()):
            return int(number)
    return None


def free_slot(holder: uuid.UUID) -> bool:
    """Free the slot of `holder`; False when it held none. A slot over a lowered limit goes with it."""
    with transaction.atomic():
        slot = Slot.objects.filter(holder=holder).select_related("server").first()
        if slot is None or not Slot.objects.filter(pk=slot.pk, holder=holder).update(
            holder=None, taken_at=None
        ):
            return False
        if slot.number > slot.server.max_concurrent_builds:
            Slot.objects.filter(pk=slot.pk, holder__isnull=True).delete()
        return True


def lock_slots(server: BuildServer) -> int:
    """Builds that hold a slot now; until the caller's transaction ends nobody takes one."""
    rows = Slot.objects.select_for_update().filter(server=server).order_by("pk")
    return sum(holder is not None for holder in rows.values_list("holder", flat=True))


def has_free_slot() -> bool:
    """Whether any server that may take jobs has room at all; one short query."""
    return Slot.objects.filter(holder__isnull=True, server__enabled=True, server__draining=False).exists()


def held_slots(server: BuildServer) -> int:
    """Builds that hold a slot of this server now (`active_build_count`)."""
    return Slot.objects.filter(server=server, holder__isnull=False).count()


def count_held_slots() -> dict[uuid.UUID, int]:
    """Held slots of every server that has slots, by server id; one query."""
    rows = Slot.objects.values("server").annotate(held=Count("pk", filter=Q(holder__isnull=False)))
    return {row["server"]: row["held"] for row in rows.order_by()}
