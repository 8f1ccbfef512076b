"""Build servers over HTTP: readers see them without credentials, operators add, change, test and remove them."""

from datetime import datetime
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router
from ninja.responses import Status

from buildboard.core.auth import principal_of
from buildboard.core.models import Event
from buildboard.core.permissions import Right
from buildboard.core.schemas import EventShape
from jobs.api.answers import not_found
from jobs.api.found import find_server, shape_server
from jobs.api.operations import operation
from jobs.api.paging import Keyset, PageQuery, read_page
from jobs.api.server_filters import ServerFilters
from jobs.execution.removal import remove_idle
from servers.checks import check_since, request_check
from servers.given import GivenFingerprint, NewServer, ServerChange
from servers.models import BuildServer, ServerCheck
from servers.registry import accept_host_key, add_server, change_server
from servers.schemas import CapacityShape, ChangedServerShape, CheckShape, ServerShape
from servers.slots import count_held_slots, held_slots

router = Router(tags=["build servers"])
NEWEST_EVENTS = Keyset(("sequence",), descending=True)
NEWEST_CHECKS = Keyset(("requested_at", "id"), descending=True)


@operation(router, "GET", "", right=Right.READ, name="list_build_servers", answers={200: list[ServerShape]})
def list_build_servers(
    request: HttpRequest, response: HttpResponse, filters: Query[ServerFilters]
) -> list[ServerShape]:
    """List the build servers by name, all or those that meet the filters."""
    visible = BuildServer.objects.visible_to(principal_of(request))
    rows = filters.apply(visible).prefetch_related("toolchains")
    page = read_page(rows, keyset=Keyset(("name",)), page=filters, request=request, response=response)
    held = count_held_slots()
    return [ServerShape.of(server, active_build_count=held.get(server.pk, 0)) for server in page]


@operation(
    router,
    "POST",
    "",
    right=Right.OPERATE,
    name="add_build_server",
    answers={201: ChangedServerShape},
    errors=(409,),
)
def add(request: HttpRequest, given: NewServer) -> Status[ChangedServerShape]:
    """Add a server that is reached over SSH.

    Install its `public_key` in the account's `~/.ssh/authorized_keys`. Without `host_key` it stays `unknown` until
    an operator accepts the key that the board saw; `check_id` is the check that looks.
    """
    began = timezone.now()
    server = add_server(given.fields(), actor=principal_of(request).actor)
    return Status(201, _changed(server, began=began))


@operation(
    router, "GET", "/{uuid:server_id}", right=Right.READ, name="get_build_server", answers={200: ServerShape}
)
def get_build_server(request: HttpRequest, server_id: UUID) -> ServerShape:
    """Get one build server."""
    return shape_server(find_server(request, server_id))


@operation(
    router,
    "PATCH",
    "/{uuid:server_id}",
    right=Right.OPERATE,
    name="change_build_server",
    answers={200: ChangedServerShape},
    errors=(409,),
)
def change(request: HttpRequest, server_id: UUID, given: ServerChange) -> ChangedServerShape:
    """Change what is named. Another hostname, port or user drops the pin and the login key."""
    server, began = find_server(request, server_id), timezone.now()
    changed = change_server(server, given.fields(), actor=principal_of(request).actor)
    return _changed(changed, began=began)


@operation(
    router,
    "DELETE",
    "/{uuid:server_id}",
    right=Right.OPERATE,
    name="delete_build_server",
    answers={202: ServerShape, 204: None},
    errors=(409,),
)
def delete(request: HttpRequest, server_id: UUID) -> Status[ServerShape | None]:
    """Remove a server for good; not while builds run there or others are reached through it.

    202 when so much was built there that it is still being removed; it takes no builds any more.
    """
    server = find_server(request, server_id)
    if remove_idle(server, actor=principal_of(request).actor):
        return Status(204, None)
    try:
        server.refresh_from_db()
    except BuildServer.DoesNotExist:  # the sweep was done with it meanwhile
        return Status(204, None)
    return Status(202, shape_server(server))


@operation(
    router,
    "POST",
    "/{uuid:server_id}/probe",
    right=Right.OPERATE,
    name="probe_build_server",
    answers={202: CheckShape},
)
def probe(request: HttpRequest, server_id: UUID) -> Status[CheckShape]:
    """Have a runner test the connection step by step and look at the tools; follow it by the check's id."""
    check = request_check(find_server(request, server_id), actor=principal_of(request).actor)
    return Status(202, CheckShape.of(check))


@operation(
    router,
    "GET",
    "/{uuid:server_id}/checks",
    right=Right.READ,
    name="list_server_checks",
    answers={200: list[CheckShape]},
)
def list_checks(
    request: HttpRequest, response: HttpResponse, server_id: UUID, filters: PageQuery
) -> list[CheckShape]:
    """List the last checks of a server, newest first."""
    rows = ServerCheck.objects.filter(server=find_server(request, server_id))
    page = read_page(rows, keyset=NEWEST_CHECKS, page=filters, request=request, response=response)
    return [CheckShape.of(check) for check in page]


@operation(
    router,
    "GET",
    "/{uuid:server_id}/checks/{uuid:check_id}",
    right=Right.READ,
    name="get_server_check",
    answers={200: CheckShape},
)
def get_check(request: HttpRequest, server_id: UUID, check_id: UUID) -> CheckShape:
    """Get one check with the steps so far."""
    check = ServerCheck.objects.filter(server=find_server(request, server_id), pk=check_id).first()
    if check is None:
        raise not_found("check")
    return CheckShape.of(check)


@operation(
    router,
    "GET",
    "/{uuid:server_id}/events",
    right=Right.READ,
    name="list_server_events",
    answers={200: list[EventShape]},
)
def list_server_events(
    request: HttpRequest, response: HttpResponse, server_id: UUID, filters: PageQuery
) -> list[EventShape]:
    """List what happened to a server, newest first: who or what changed its status, drains, host keys, and why."""
    rows = Event.objects.filter(subject_type="server", subject_id=str(find_server(request, server_id).pk))
    page = read_page(rows, keyset=NEWEST_EVENTS, page=filters, request=request, response=response)
    return [EventShape.of(event) for event in page]


@operation(
    router,
    "POST",
    "/{uuid:server_id}/accept-host-key",
    right=Right.OPERATE,
    name="accept_host_key",
    answers={200: ChangedServerShape},
    errors=(409,),
)
def accept(request: HttpRequest, server_id: UUID, given: GivenFingerprint) -> ChangedServerShape:
    """Pin the key that the board saw, if it is the one of this fingerprint; a check then tries to log in."""
    server, began = find_server(request, server_id), timezone.now()
    actor = principal_of(request).actor
    accepted = accept_host_key(server, fingerprint=given.fingerprint, actor=actor)
    return _changed(accepted, began=began)


@operation(
    router,
    "GET",
    "/{uuid:server_id}/capacity",
    right=Right.READ,
    name="get_server_capacity",
    answers={200: CapacityShape},
)
def capacity(request: HttpRequest, server_id: UUID) -> CapacityShape:
    """Get how many more builds a server can take now, and its load as last measured."""
    server = find_server(request, server_id)
    return CapacityShape.of(server, active_build_count=held_slots(server))


def _changed(server: BuildServer, *, began: datetime) -> ChangedServerShape:
    return ChangedServerShape.after(
        server, active_build_count=held_slots(server), check_id=check_since(server, began=began)
    )
