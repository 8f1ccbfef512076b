"""What an operator does with one build server: test it, accept its host key, take it out and back, delete it.

Each asks first where it is not harmless; the answer is one call of the domain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from buildboard.core.audit import Actor
from buildboard.core.auth import principal_of, requires
from buildboard.core.permissions import Right
from jobs.execution.removal import remove_by_force, remove_idle
from jobs.views.host_key import host_key_part
from jobs.views.leaving import leaving_of
from jobs.views.server import visible_server
from servers.checks import request_check
from servers.drains import set_draining, set_maintenance
from servers.errors import InvalidServer, ServerConflict
from servers.fields import check_outage
from servers.models import BuildServer
from servers.quarantine import set_quarantine
from servers.registry import accept_host_key, change_server
from servers.removals import withdraw_removal
from servers.validation import Invalid, read_until


@dataclass(frozen=True)
class Order:
    """What a person gave with it."""

    actor: Actor
    reason: str = ""
    until: datetime | None = None
    confirm: str = ""


@dataclass(frozen=True)
class Action:
    """One thing to do: which template asks for it, what does it, and what is said then.

    `unfinished` is said instead when doing it answers False.
    """

    do: Callable[[BuildServer, Order], object]
    done: str
    question: str = ""
    leads_away: bool = False
    unfinished: str = ""


def _drain(server: BuildServer, order: Order) -> object:
    return set_draining(server.pk, enabled=True, actor=order.actor, reason=order.reason, until=order.until)


def _undrain(server: BuildServer, order: Order) -> object:
    return set_draining(server.pk, enabled=False, actor=order.actor, reason=order.reason)


def _begin_maintenance(server: BuildServer, order: Order) -> object:
    return set_maintenance(server.pk, enabled=True, actor=order.actor, reason=order.reason, until=order.until)


def _end_maintenance(server: BuildServer, order: Order) -> object:
    return set_maintenance(server.pk, enabled=False, actor=order.actor, reason=order.reason)


def _begin_quarantine(server: BuildServer, order: Order) -> object:
    return set_quarantine(server.pk, enabled=True, actor=order.actor, reason=order.reason, until=order.until)


def _end_quarantine(server: BuildServer, order: Order) -> object:
    return set_quarantine(server.pk, enabled=False, actor=order.actor, reason=order.reason)


def _disable(server: BuildServer, order: Order) -> object:
    return change_server(server, {"enabled": False}, actor=order.actor)


def _enable(server: BuildServer, order: Order) -> object:
    return change_server(server, {"enabled": True}, actor=order.actor)


def _delete(server: BuildServer, order: Order) -> object:
    return remove_idle(server, actor=order.actor)


def _remove(server: BuildServer, order: Order) -> object:
    return remove_by_force(server, actor=order.actor, confirm=order.confirm, reason=order.reason)


def _keep(server: BuildServer, order: Order) -> object:
    return withdraw_removal(server, actor=order.actor)


ACTIONS = {
    "drain": Action(_drain, "It takes no new builds; running ones go on.", "servers/_ask_drain.html"),
    "undrain": Action(_undrain, "It takes builds again."),
    "maintenance": Action(
        _begin_maintenance, "In maintenance: it gets no new builds.", "servers/_ask_maintenance.html"
    ),
    "end-maintenance": Action(_end_maintenance, "The maintenance is over; a probe brings it back in."),
    "quarantine": Action(
        _begin_quarantine, "In quarantine: it gets no new builds.", "servers/_ask_quarantine.html"
    ),
    "end-quarantine": Action(_end_quarantine, "It takes builds again."),
    "disable": Action(
        _disable, "Disabled: it gets no builds until it is enabled.", "servers/_ask_disable.html"
    ),
    "enable": Action(_enable, "Enabled."),
    "delete": Action(
        _delete,
        "Deleted.",
        "servers/_ask_delete.html",
        leads_away=True,
        unfinished="It is being deleted. Much was built there, so that takes some minutes.",
    ),
    "remove": Action(
        _remove,
        "It drains, its builds are being cancelled, and then it is deleted.",
        "servers/_ask_delete.html",
    ),
    "keep": Action(_keep, "It stays, and takes builds again. What was cancelled stays cancelled."),
}


@requires(Right.OPERATE)
@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, server_id: UUID, action: str) -> HttpResponse:
    """Ask whether to do it, where it is not harmless; POST does it."""
    server = visible_server(request, server_id)
    chosen = ACTIONS.get(action)
    if chosen is None:
        raise Http404
    if request.method != "POST":
        if not chosen.question:
            return redirect("jobs:server", server_id)
        context = {"question": chosen.question, **leaving_of(server, principal=principal_of(request))}
        return render(request, "servers/ask.html", context)
    try:
        did = chosen.do(server, _order(request))
    except (Invalid, InvalidServer, ServerConflict) as refused:
        messages.error(request, _sentence(refused))
        return redirect("jobs:server", server_id)
    messages.success(request, chosen.unfinished if chosen.unfinished and did is False else chosen.done)
    return redirect("jobs:servers") if chosen.leads_away else redirect("jobs:server", server_id)


def _order(request: HttpRequest) -> Order:
    """Raises Invalid for an end that is no time, InvalidServer for what does not fit."""
    given = request.POST
    until = read_until(given.get("until", ""))
    reason, until = check_outage(reason=given.get("reason", "").replace("\r\n", "\n"), until=until)
    return Order(principal_of(request).actor, reason, until, given.get("confirm", ""))


@requires(Right.OPERATE)
@require_POST
def test_connection(request: HttpRequest, server_id: UUID) -> HttpResponse:
    """Ask a runner to try the way there; its page shows each step as it comes."""
    request_check(visible_server(request, server_id), actor=principal_of(request).actor)
    return redirect(reverse("jobs:server", args=[server_id]) + "#check")


@requires(Right.OPERATE)
@require_http_methods(["GET", "HEAD", "POST"])
def accept_key(request: HttpRequest, server_id: UUID) -> HttpResponse:
    """Show the host key that was seen and how to compare it; POST of its fingerprint pins it."""
    server = visible_server(request, server_id)
    if request.method != "POST":
        context = {
            "server": server,
            "host_key": host_key_part(server),
            "question": "servers/_ask_host_key.html",
        }
        return render(request, "servers/ask.html", context)
    if not request.POST.get("compared"):
        messages.error(
            request, "Compare the fingerprint with the server's own first, and say so by the tick."
        )
        return redirect("jobs:server-host-key", server_id)
    try:
        fingerprint = request.POST.get("fingerprint", "")
        accept_host_key(server, fingerprint=fingerprint, actor=principal_of(request).actor)
    except ServerConflict as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, "The host key is pinned. The connection is being tested now.")
    return redirect(reverse("jobs:server", args=[server_id]) + "#check")


def _sentence(refused: Exception) -> str:
    if isinstance(refused, InvalidServer):
        return " ".join(problem["message"] for problem in refused.problems)
    return str(refused)
