"""What taking a server out does, shown before it is done: to what runs there, and to those who wait."""

from typing import Any

from buildboard.core.auth import Principal
from jobs.queue.drain_impact import read_impact
from jobs.queue.sole import jobs_only_for
from jobs.views.progress import progress_among
from jobs.views.server_parts import running_on
from jobs.views.still_running import still_running
from servers.fleet import load_fleet
from servers.models import BuildServer
from servers.slots import held_slots


def leaving_of(server: BuildServer, *, principal: Principal) -> dict[str, Any]:
    """For the questions before a drain, maintenance, disabling and removal. Some twenty queries."""
    running = running_on(server, principal=principal)
    return {
        "server": server,
        "still": still_running(running, progress=progress_among(running)),
        "stranded": jobs_only_for(server.pk, fleet=load_fleet()),
        "impact": read_impact(server.pk),
        "held": held_slots(server),
        "behind": list(server.jumped_by.order_by("name").values_list("name", flat=True)[:5]),
    }
