"""The page of one build server: how it is, what runs there, what was seen of it. Acting is `server_actions.py`'s."""

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_safe

from buildboard.core.auth import principal_of, requires
from buildboard.core.models import Event
from buildboard.core.permissions import Right
from jobs.queue.estimate import Foresight
from jobs.views.affected import affected_among
from jobs.views.enrolment import enrolment_of, what_it_builds
from jobs.views.host_key import host_key_part
from jobs.views.live import ACTIVE_MS, FINISHED_MS, answer_live, version_of
from jobs.views.progress import progress_among
from jobs.views.quarantine import quarantine_shown
from jobs.views.server_health import health_of
from jobs.views.server_looks import (
    Slots,
    awaits_acceptance,
    is_emptying,
    quarantine_now,
    room_words,
    states_of,
)
from jobs.views.server_parts import (
    SERVER_EVENT_LOOKS,
    STATUS_LOOKS,
    CheckShown,
    last_check,
    last_hour_on,
    loads_of,
    recent_on,
    running_on,
    tools_of,
    up_since,
)
from jobs.views.server_past import past_of, statuses_of
from jobs.views.server_rows import free_again_in
from jobs.views.server_setup import install_lines
from jobs.views.still_running import still_running
from jobs.views.timeline import happenings
from servers.models import BuildServer
from servers.slots import held_slots
from servers.states import ServerStatus, TransportKind

_MOST_EVENTS = 60
_NEW = timedelta(days=1)


def visible_server(request: HttpRequest, server_id: UUID) -> BuildServer:
    """The server, if the one who asks may see it. Raises Http404."""
    servers = BuildServer.objects.visible_to(principal_of(request)).select_related("jump_host")
    return get_object_or_404(servers, pk=server_id)


@requires(Right.READ)
@require_safe
def detail(request: HttpRequest, server_id: UUID) -> HttpResponse:
    """A server with its load, builds, tools, keys, last check and events."""
    server = visible_server(request, server_id)
    principal = principal_of(request)
    check = last_check(server)
    running = running_on(server, principal=principal)
    progress = progress_among(running)
    recent = recent_on(server, principal=principal)
    held = held_slots(server)
    newest = Event.objects.filter(subject_type="server", subject_id=str(server.pk)).order_by("-sequence")
    events = list(newest[:_MOST_EVENTS])
    is_open = check is not None and check.is_open and not check.is_late
    context = {
        **_about(server),
        **_arrival(server, check=check, is_unused=not running and not recent["jobs"]),
        "may_operate": principal.may(Right.OPERATE),
        "slots": (slots := Slots(held, server.max_concurrent_builds)),
        "room": room_words(server, slots),
        "loads": loads_of(server),
        "running": running,
        "still": still_running(running, progress=progress) if is_emptying(server) else None,
        "progress": progress,
        "free_in": free_again_in(server, slots=slots, foresight=Foresight()),
        "affected": affected_among(running) if server.status == ServerStatus.OFFLINE else None,
        "last_hour": last_hour_on(server, running=running, principal=principal),
        "recent": recent,
        "check": check,
        "tools": tools_of(server),
        "statuses": statuses_of(server),
        "history": partial(past_of, server, span=request.GET.get("span", "")),
        "events": happenings(events, looks=SERVER_EVENT_LOOKS, states=STATUS_LOOKS),
        "pace": ACTIVE_MS if held or is_open or server.status == ServerStatus.UNKNOWN else FINISHED_MS,
    }
    version = version_of(_marks(server, context), events[0].sequence if events else 0)
    return answer_live(
        request, page="servers/detail.html", fragment="servers/_server.html", version=version, context=context
    )


def _marks(server: BuildServer, shown: dict[str, Any]) -> list[object]:
    """What the page looks different for, beside new events."""
    check, recent = shown["check"], shown["recent"]
    builds = [
        (one.pk, one.status, one.phase, shown["progress"][one.job_id].percent, one.unreachable_since)
        for one in shown["running"]
    ]
    return [
        (server.updated_at, server.last_health_check, server.unreachable_since),
        (states_of(server), quarantine_now(server), shown["slots"].held, shown["room"], builds),
        (recent["marks"], [job.pk for job in recent["jobs"]]),
        (check.check.pk, check.check.steps, check.check.finished_at, check.is_late) if check else None,
    ]


def _arrival(server: BuildServer, *, check: CheckShown | None, is_unused: bool) -> dict[str, Any]:
    """The steps on the way in; for the first day, until it is used, what it can build."""
    if server.transport != TransportKind.SSH:
        return {}
    if server.last_health_check is None:
        return {"enrolment": enrolment_of(server, check=check)}
    is_new = timezone.now() - server.created_at < _NEW
    return {"builds": what_it_builds(server, tools_of(server))} if is_new and is_unused else {}


def _about(server: BuildServer) -> dict[str, Any]:
    """What is known of the server itself."""
    is_ssh = server.transport == TransportKind.SSH
    return {
        "server": server,
        "states": states_of(server),
        "is_ssh": is_ssh,
        "is_set_up": not is_ssh or server.last_health_check is not None,
        "quarantine": quarantine_shown(server),
        "awaits": awaits_acceptance(server),
        "host_key": host_key_part(server),
        "install": install_lines(server) if is_ssh else "",
        "up_since": up_since(server),
        "health": health_of(server),
        "system": server.facts.get("distribution") or server.facts.get("os", ""),
        "kernel": server.facts.get("kernel", ""),
        "work_dir": server.facts.get("work_dir") or server.work_dir or "~/.buildboard",
        "environment": sorted(server.environment.items()),
    }
