"""Removes a server from the fleet by force: its builds are cancelled, and it is deleted once nothing of them runs.

The wish is kept by servers/removals.py; every pass of the sweep carries it on, whoever began it. A cancelled build is
not queued again by itself: whoever wants it elsewhere retries it. Of a server that is away nobody can confirm that a
build ended: past a minute it is given up as lost, and may go on there unseen. One that answers is waited for, even if
it cannot work.
"""

import contextlib
import logging
import time
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from buildboard.core.audit import Actor
from jobs import lifecycle
from jobs.errors import IllegalTransition, StaleLease
from jobs.execution.outcome import judge_lost
from jobs.execution.parting import has_long_history, part_from
from jobs.models import Attempt
from servers.errors import ServerConflict
from servers.models import BuildServer
from servers.registry import delete_server, refuse_while_building
from servers.removals import find_wished, request_removal, wished_removals
from servers.slots import held_slots
from servers.states import ServerStatus

logger = logging.getLogger(__name__)

DOOR = "sweep"
AWAY_SECONDS = 60.0  # so long it may be out of reach before its builds are given up
CLEARING_SECONDS = 60.0  # so long a follower may take to remove what ended builds left there
PARTING_SECONDS = 0.5  # of one pass, for all servers: meanwhile the runner gives out no jobs


def remove_by_force(server: BuildServer, *, actor: Actor, confirm: str, reason: str = "") -> int:
    """Drain it, cancel its builds and have it deleted when they are gone; how many builds that ends.

    Raises InvalidServer unless `confirm` is its name, ServerConflict when others are reached through it.
    """
    request_removal(server, actor=actor, confirm=confirm, reason=reason)
    return cancel_builds_on(server, actor=actor)


def remove_idle(server: BuildServer, *, actor: Actor) -> bool:
    """Delete a server on which nothing runs; False when so much was built there that the sweep finishes it.

    Raises ServerConflict while builds run there or others are reached through it.
    """
    if not has_long_history(server):
        delete_server(server, actor=actor)
        return True
    with transaction.atomic():
        refuse_while_building(server)
        # From here on it takes no builds: what has not ended could not be told from what has.
        request_removal(server, actor=actor, confirm=server.name)
    return _carry_on(server.pk, until=time.monotonic() + PARTING_SECONDS)


def cancel_builds_on(server: BuildServer, *, actor: Actor) -> int:
    """Ask for the end of every build there, with the reason; how many there are."""
    told = f"Its build server {server.name} is removed from the fleet."
    attempts = list(Attempt.objects.active().filter(server=server).select_related("job"))
    for attempt in attempts:
        if attempt.job.cancel_requested_at is None:
            with contextlib.suppress(IllegalTransition):  # it has just ended
                lifecycle.request_cancel(attempt.job, actor=actor, reason=told)
    return len(attempts)


def finish_removals() -> int:
    """Carry every wished removal on, for a while; how many servers are deleted. Harmless when two do it."""
    until = time.monotonic() + PARTING_SECONDS
    return sum(_carry_on(server.pk, until=until) for server in wished_removals())


def _carry_on(server_id: UUID, *, until: float) -> bool:
    server = find_wished(server_id)
    if server is None:  # taken back, or gone, while the others before it were seen to
        return False
    actor = Actor(server.removal_requested_by, DOOR)
    cancel_builds_on(server, actor=actor)  # also what was claimed just before the wish
    if held_slots(server):
        if _is_away(server):
            _give_up_builds_on(server)
        return False
    if not _is_away(server) and _is_being_cleared(server.pk):
        return False
    if not part_from(server, until=until):
        return False  # the next pass goes on
    try:
        delete_server(server, actor=actor, only_if_wished=True)
    except ServerConflict as refused:
        logger.info("%s is not removed yet: %s", server.name, refused, extra={"action": "removal"})
        return False
    return True


def _is_away(server: BuildServer) -> bool:
    """Whether it was out of reach for so long, since the wish too, that nobody waits for its word any more.

    So is one that shows another host key than the pinned one: nobody asks it.
    """
    before = timezone.now() - timedelta(seconds=AWAY_SECONDS)
    if server.removal_requested_at is None or server.removal_requested_at > before:
        return False
    is_silent = server.unreachable_since is not None and server.unreachable_since < before
    is_stranger = server.status == ServerStatus.OFFLINE and not server.is_trusted
    return is_silent or (is_stranger and server.status_changed_at < before)


def _give_up_builds_on(server: BuildServer) -> None:
    message = f"{server.name} was removed from the fleet while it could not be reached; presumed lost."
    for attempt in Attempt.objects.active().filter(server=server):
        with contextlib.suppress(IllegalTransition, StaleLease):  # its follower was faster
            lifecycle.finish_attempt(attempt, outcome=judge_lost(phase=attempt.phase, message=message))


def _is_being_cleared(server_id: UUID) -> bool:
    since = timezone.now() - timedelta(seconds=CLEARING_SECONDS)
    left = Attempt.objects.filter(server_id=server_id, cleaned_at__isnull=True, completed_at__gte=since)
    return left.exists()
