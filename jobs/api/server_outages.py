"""Taking build servers out of service and back over HTTP: maintenance, drains, removal though builds run there."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.http import HttpRequest
from ninja import Router
from ninja.responses import Status

from buildboard.core.auth import principal_of
from buildboard.core.permissions import Right
from jobs.api.found import find_server, shape_server
from jobs.api.operations import operation
from jobs.execution.removal import remove_by_force
from jobs.queue.sole import jobs_only_for
from servers.drains import set_draining, set_maintenance
from servers.fields import check_outage
from servers.fleet import load_fleet
from servers.given import GivenOutage, GivenRemoval
from servers.quarantine import set_quarantine
from servers.removals import withdraw_removal
from servers.schemas import RemovalShape, ServerShape
from servers.slots import held_slots

router = Router(tags=["build servers"])


@operation(
    router,
    "POST",
    "/{uuid:server_id}/maintenance",
    right=Right.OPERATE,
    name="set_server_maintenance",
    answers={200: ServerShape},
)
def maintain(request: HttpRequest, server_id: UUID, given: GivenOutage) -> ServerShape:
    """Take a server out for maintenance (running builds go on), or back through a probe.

    Asked again meanwhile it changes the reason and the end, those that are named; who began it stays.
    """
    return _take_out(request, server_id, given, set_out=partial(set_maintenance, kept=given.left_out()))


@operation(
    router,
    "POST",
    "/{uuid:server_id}/drain",
    right=Right.OPERATE,
    name="set_server_draining",
    answers={200: ServerShape},
    errors=(409,),
)
def drain(request: HttpRequest, server_id: UUID, given: GivenOutage) -> ServerShape:
    """Send a server no new builds (running ones go on), or send them again at once.

    Asked again meanwhile it changes the reason and the end, those that are named; who began it stays.
    """
    return _take_out(request, server_id, given, set_out=partial(set_draining, kept=given.left_out()))


@operation(
    router,
    "POST",
    "/{uuid:server_id}/quarantine",
    right=Right.OPERATE,
    name="set_server_quarantine",
    answers={200: ServerShape},
    errors=(409,),
)
def quarantine(request: HttpRequest, server_id: UUID, given: GivenOutage) -> ServerShape:
    """Put a server in quarantine until it is ended (with `until`: until then, and one build), or end any at once.

    Asked again while a person keeps it there it changes the reason and the end, those that are named.
    409 for one that shows another host key than the pinned one: accept that key instead.
    """
    return _take_out(request, server_id, given, set_out=partial(set_quarantine, kept=given.left_out()))


@operation(
    router,
    "GET",
    "/{uuid:server_id}/removal",
    right=Right.OPERATE,
    name="preview_server_removal",
    answers={200: RemovalShape},
)
def preview_removal(request: HttpRequest, server_id: UUID) -> RemovalShape:
    """Get what removing a server does: the builds there, the queued jobs that it alone can build, and more."""
    server = find_server(request, server_id)
    stranded = jobs_only_for(server.pk, fleet=load_fleet())
    return RemovalShape(
        active_build_count=held_slots(server),
        stranded_job_count=stranded.count,
        stranded_jobs=[job.pk for job in stranded.jobs],
        reached_through_it=list(server.jumped_by.order_by("name").values_list("name", flat=True)),
    )


@operation(
    router,
    "POST",
    "/{uuid:server_id}/removal",
    right=Right.OPERATE,
    name="remove_build_server",
    answers={202: ServerShape},
    errors=(409,),
)
def remove(request: HttpRequest, server_id: UUID, given: GivenRemoval) -> Status[ServerShape]:
    """Remove a server though builds run there: it drains, they are cancelled, and when they are gone it is deleted.

    `confirm` is its name. A server that stays out of reach for a minute is deleted without its word: its builds then
    end as lost.
    """
    server = find_server(request, server_id)
    reason, _ = check_outage(reason=given.reason, until=None)
    actor = principal_of(request).actor
    remove_by_force(server, actor=actor, confirm=given.confirm, reason=reason)
    return Status(202, shape_server(find_server(request, server_id)))


@operation(
    router,
    "DELETE",
    "/{uuid:server_id}/removal",
    right=Right.OPERATE,
    name="keep_build_server",
    answers={200: ServerShape},
)
def keep(request: HttpRequest, server_id: UUID) -> ServerShape:
    """Take a removal back while the server is still there; what was cancelled stays cancelled."""
    withdraw_removal(find_server(request, server_id), actor=principal_of(request).actor)
    return shape_server(find_server(request, server_id))


def _take_out(
    request: HttpRequest, server_id: UUID, given: GivenOutage, *, set_out: Callable[..., bool]
) -> ServerShape:
    server = find_server(request, server_id)
    reason, until = check_outage(reason=given.reason, until=given.until)
    actor = principal_of(request).actor
    set_out(server.pk, enabled=given.enabled, actor=actor, reason=reason, until=until)
    return shape_server(find_server(request, server_id))
