"""What taking a server out does, shown before it is done: what still runs there, and which jobs it alone can build."""

from typing import Any

from buildboard.core.auth import Principal
from jobs.queue.sole import jobs_only_for
from jobs.views.server_parts import running_on
from jobs.views.still_running import still_running
from servers.fleet import load_fleet
from servers.models import BuildServer
from servers.slots import held_slots


def leaving_of(server: BuildServer, *, principal: Principal) -> dict[str, Any]:
    """For the questions before a drain, maintenance, disabling and removal. Some ten queries."""
    return {
        "server": server,
        "still": still_running(running_on(server, principal=principal)),
        "stranded": jobs_only_for(server.pk, fleet=load_fleet()),
        "held": held_slots(server),
        "behind": list(server.jumped_by.order_by("name").values_list("name", flat=True)[:5]),
    }
