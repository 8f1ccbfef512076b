"""The list of build servers. One server is in `server.py`, adding and changing in `server_editing.py`."""

from collections import Counter
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from buildboard.core.auth import Principal, principal_of, requires
from buildboard.core.permissions import Right
from jobs.views.affected import affected_on
from jobs.views.live import ACTIVE_MS, FINISHED_MS, answer_live, version_of
from jobs.views.server_looks import (
    awaits_acceptance,
    foremost_state,
    has_changed_key,
    is_quarantined,
    needs_attention,
    quarantine_now,
)
from jobs.views.server_rows import MOST_SHOWN, TABS, FleetSelection, make_rows, read_tools
from servers.models import BuildServer
from servers.slots import count_held_slots
from servers.states import ServerStatus

_NOT_IN_A_ROW = ("facts", "private_key", "public_key", "environment")
_MOST_ALARMS = 3
_BEATS_SECONDS = 120
_QUARANTINED = 2  # in the order of alarms; what runs there goes on


@requires(Right.READ)
@require_safe
def server_list(request: HttpRequest) -> HttpResponse:
    """Every server by name; the filters are in the address, the live part polls it."""
    selection = FleetSelection.of(request.GET)
    fleet = list(BuildServer.objects.visible_to(principal_of(request)).defer(*_NOT_IN_A_ROW).order_by("name"))
    tools, held = read_tools(), count_held_slots()
    fitting = [server for server in fleet if selection.fits(server, tools=tools.get(server.pk, []))]
    shown = fitting[:MOST_SHOWN]
    alarms = _alarms(fleet, principal=principal_of(request))
    is_active = any(held.get(server.pk) or server.status == ServerStatus.UNKNOWN for server in fleet)
    context = {
        "selection": selection,
        "is_first_use": not fleet,
        "rows": partial(make_rows, shown, tools=tools, held=held),
        "left_out": len(fitting) - len(shown),
        "tabs": _tabs(selection, fleet),
        "architectures": sorted({name for server in fleet for name in server.architectures}),
        "groups": sorted({server.group for server in fleet if server.group}),
        "labels": sorted({f"{key}={value}" for server in fleet for key, value in server.labels.items()}),
        "alarms": alarms,
        "summary": _summary(fleet, held=sum(held.values())),
        "pace": ACTIVE_MS if is_active else FINISHED_MS,
    }
    looks = [(one.pk, one.updated_at, one.unreachable_since, held.get(one.pk, 0)) for one in fleet]
    beat = int(timezone.now().timestamp()) // _BEATS_SECONDS
    named = [
        (one["affected"].count, [job.pk for job in one["affected"].jobs]) for one in alarms if one["affected"]
    ]
    out = [(one.pk, quarantine_now(one)) for one in fleet if is_quarantined(one)]
    version = version_of(looks, tools, beat, named, out)
    return answer_live(
        request, page="servers/list.html", fragment="servers/_servers.html", version=version, context=context
    )


def _tabs(selection: FleetSelection, fleet: list[BuildServer]) -> list[dict[str, object]]:
    everything = {"word": "All", "query": selection.query(status=""), "current": not selection.status}
    tabs: list[dict[str, object]] = [{**everything, "count": len(fleet)}]
    for name, (word, holds) in TABS.items():
        tabs.append(
            {
                "word": word,
                "query": selection.query(status=name),
                "current": selection.status == name,
                "count": sum(holds(server) for server in fleet),
            }
        )
    return tabs


def _alarms(fleet: list[BuildServer], *, principal: Principal) -> list[dict[str, Any]]:
    """What somebody should look at first: changed host keys, who is away, quarantines, then keys to be accepted.

    Each names the jobs that it holds up; one query when there is any.
    """
    found = [(_rank(server), server) for server in fleet if needs_attention(server)]
    worst = sorted((one for one in found if one[0] is not None), key=lambda one: (one[0], one[1].name))
    shown = worst[:_MOST_ALARMS]
    away = [server for rank, server in shown if rank != _QUARANTINED]
    affected = affected_on(away, principal=principal)
    return [
        {
            "server": server,
            "is_changed_key": has_changed_key(server),
            "awaits": awaits_acceptance(server),
            "stage": quarantine_now(server) if rank == _QUARANTINED else "",
            "affected": affected.get(server.pk),
        }
        for rank, server in shown
    ]


def _rank(server: BuildServer) -> int | None:
    if has_changed_key(server):
        return 0
    if server.status == ServerStatus.OFFLINE:
        return 1
    if is_quarantined(server):
        return _QUARANTINED
    return 3 if awaits_acceptance(server) else None


def _summary(fleet: list[BuildServer], *, held: int) -> dict[str, object]:
    """Counts for the head of the page: each server once, those that are well first."""
    counts = Counter(map(foremost_state, fleet)).items()
    states = sorted(counts, key=lambda one: (one[0] != ServerStatus.ONLINE, -one[1]))
    return {
        "servers": len(fleet),
        "held": held,
        "slots": sum(server.max_concurrent_builds for server in fleet if server.enabled),
        "states": ", ".join(f"{count} {word}" for word, count in states),
    }
