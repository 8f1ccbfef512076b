"""Checks of a server that a person asked for: asked for in any process, done by a runner, since only it connects.

Owns the rows: who does a check is a guarded claim, and a claimer that shows no sign of life for two minutes
is replaced. What is tried is check_steps.py's.
"""

import logging
import uuid
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from buildboard.core.audit import Actor, record_event
from buildboard.core.doorbell import ring_on_commit
from servers.check_notes import Notes, Superseded
from servers.models import BuildServer, ServerCheck
from servers.states import TransportKind

logger = logging.getLogger(__name__)

DEAD_SECONDS = 120  # longer than any step may take: one that puts the helper there takes 80
KEPT_PER_SERVER = 20
BELL = "checks"


def request_check(server: BuildServer, *, actor: Actor) -> ServerCheck:
    """Ask a runner to try the way to this server, step by step. One that waits to be begun is given again."""
    with transaction.atomic():
        waiting = ServerCheck.objects.filter(server=server, claim__isnull=True, finished_at__isnull=True)
        check = waiting.order_by("requested_at").first()
        if check is None:
            check = ServerCheck.objects.create(server=server, requested_by=actor.name)
            record_event("server", subject_id=server.pk, kind="check_requested", actor=actor)
            _prune(server)
        ring_on_commit(BELL)
    return check


def check_since(server: BuildServer, *, began: datetime) -> uuid.UUID | None:
    """The newest check that was asked for since then, or that is still to end: what a change of now has led to."""
    rows = ServerCheck.objects.filter(Q(requested_at__gte=began) | Q(finished_at__isnull=True), server=server)
    return rows.order_by("-requested_at").values_list("pk", flat=True).first()


def open_checks(*, machine: str, limit: int) -> list[uuid.UUID]:
    """Checks that this machine can do and that nobody does, the oldest first."""
    reachable = Q(server__transport=TransportKind.SSH) | Q(
        server__transport=TransportKind.LOCAL, server__machine_id=machine
    )
    rows = _unclaimed().filter(reachable).order_by("requested_at")
    return list(rows.values_list("pk", flat=True)[:limit])


def claim_check(check_id: uuid.UUID) -> uuid.UUID | None:
    """The claim under which the caller may do this check; None when another does it or has done it."""
    claim = uuid.uuid4()
    taken = (
        _unclaimed()
        .filter(pk=check_id)
        .update(claim=claim, beat_at=Now(), steps=[], started_at=timezone.now())
    )
    return claim if taken else None


def run_check(check_id: uuid.UUID) -> bool:
    """Do a check to its end, in the caller's thread; False when it is another's. It ends in a minute or so."""
    claim = claim_check(check_id)
    if claim is None:
        return False
    from servers.check_steps import try_way  # noqa: PLC0415  # with it all of SSH is loaded; who only asks never needs it

    server = BuildServer.objects.select_related("jump_host").filter(checks=check_id).first()
    if server is None:
        return False  # deleted just now, and its checks with it
    notes = Notes(partial(_write_steps, check_id, claim=claim))
    try:
        try_way(server, notes=notes)
    except Superseded:
        return False
    except Exception as error:  # the outermost frame of a check: it is to end, not to be tried for ever
        logger.exception("A check failed", extra={"action": "check", "server": str(server.pk)})
        seen = f"The board failed here: {type(error).__name__}."
        advice = "The log of the board's runner says more; please report it."
        notes.imply(notes.current, ok=False, seen=seen, advice=advice)
    return _write_steps(check_id, notes.rows, claim=claim, finished=True)


def _write_steps(
    check_id: uuid.UUID, steps: list[dict[str, object]], *, claim: uuid.UUID, finished: bool = False
) -> bool:
    """Show what was seen so far; False when the claim was lost: then stop."""
    end = timezone.now() if finished else None
    mine = ServerCheck.objects.filter(pk=check_id, claim=claim, finished_at__isnull=True)
    return bool(mine.update(steps=steps, beat_at=Now(), finished_at=end))


def _unclaimed() -> QuerySet[ServerCheck]:
    silent = Q(beat_at__lt=Now() - timedelta(seconds=DEAD_SECONDS))
    return ServerCheck.objects.filter(Q(claim__isnull=True) | silent, finished_at__isnull=True)


def _prune(server: BuildServer) -> None:
    """Keep the last ones."""
    kept = ServerCheck.objects.filter(server=server).order_by("-requested_at").values_list("pk", flat=True)
    ServerCheck.objects.filter(server=server).exclude(pk__in=list(kept[:KEPT_PER_SERVER])).delete()
