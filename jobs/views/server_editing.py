"""Adding a build server and changing one. The form is `servers/forms.py`'s, writing is `servers/registry.py`'s."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from buildboard.core.auth import principal_of, requires
from buildboard.core.permissions import Right
from jobs.views.enrolment import first_step
from jobs.views.server import visible_server
from servers.errors import InvalidServer, ServerConflict
from servers.forms import ServerForm
from servers.registry import add_server, change_server


@requires(Right.OPERATE)
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("private_key", "private_key_passphrase")
def new(request: HttpRequest) -> HttpResponse:
    """Show the form; POST adds the server, and its page then says how to let the board in."""
    if request.method != "POST":
        return _show(request, ServerForm())
    form = ServerForm(request.POST)
    if form.is_valid():
        try:
            server = add_server(form.given(), actor=principal_of(request).actor)
        except InvalidServer as refused:
            form.add_problems(refused.problems)
        except ServerConflict as refused:
            form.add_error(None, str(refused))
            return _show(request, form, status=409)
        else:
            return redirect("jobs:server", server.pk)
    return _show(request, form, status=422)


@requires(Right.OPERATE)
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("private_key", "private_key_passphrase")
def edit(request: HttpRequest, server_id: UUID) -> HttpResponse:
    """Show the form with what the server is; POST changes what was changed in it."""
    server = visible_server(request, server_id)
    name = server.name  # a form that does not fit leaves other words in the instance
    if request.method != "POST":
        return _show(request, ServerForm(instance=server), name=name)
    form = ServerForm(request.POST, instance=server)
    status = 422
    if form.is_valid():
        try:
            change_server(server, form.given(), actor=principal_of(request).actor)
        except InvalidServer as refused:
            form.add_problems(refused.problems)
        except ServerConflict as refused:
            form.add_error(None, str(refused))
            status = 409
        else:
            messages.success(request, "Saved.")
            return redirect("jobs:server", server_id)
    return _show(request, form, name=name, status=status)


def _show(request: HttpRequest, form: ServerForm, *, name: str = "", status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "server_id": None if form.is_new else form.instance.pk,
        "name": name,
        "enrolment": first_step() if form.is_new else None,
    }
    return render(request, "servers/edit.html", context, status=status)
