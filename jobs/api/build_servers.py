"""Build servers over HTTP, to look at. They are managed in the admin site for now."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Router

from buildboard.core.auth import principal_of
from buildboard.core.permissions import Right
from jobs.api.answers import not_found
from jobs.api.operations import operation
from jobs.api.paging import Keyset, PageQuery, read_page
from servers.models import BuildServer
from servers.schemas import ServerShape
from servers.slots import count_held_slots, held_slots

router = Router(tags=["build servers"])


@operation(router, "GET", "", right=Right.READ, name="list_build_servers", answers={200: list[ServerShape]})
def list_build_servers(request: HttpRequest, response: HttpResponse, filters: PageQuery) -> list[ServerShape]:
    """List the build servers by name."""
    rows = BuildServer.objects.visible_to(principal_of(request)).prefetch_related("toolchains")
    page = read_page(rows, keyset=Keyset(("name",)), page=filters, request=request, response=response)
    held = count_held_slots()
    return [ServerShape.of(server, active_build_count=held.get(server.pk, 0)) for server in page]


@operation(
    router, "GET", "/{uuid:server_id}", right=Right.READ, name="get_build_server", answers={200: ServerShape}
)
def get_build_server(request: HttpRequest, server_id: UUID) -> ServerShape:
    """Get one build server."""
    rows = BuildServer.objects.visible_to(principal_of(request)).prefetch_related("toolchains")
    server = rows.filter(pk=server_id).first()
    if server is None:
        raise not_found("build server")
    return ServerShape.of(server, active_build_count=held_slots(server))
