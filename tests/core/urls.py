"""The real addresses, and views that misbehave in every way that the gate must know how to answer."""

from collections.abc import Callable

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path

from buildboard import urls as real
from buildboard.core.access import checks_itself
from buildboard.core.audit import record_event
from buildboard.core.auth import principal_of, requires
from buildboard.core.http import ApiError, read_json
from buildboard.core.permissions import Right

handler400 = real.handler400
handler403 = real.handler403
handler404 = real.handler404
handler500 = real.handler500

RAISES: dict[str, Exception] = {
    "away": OperationalError("server closed the connection unexpectedly; database is locked"),
    "closed": InterfaceError("connection already closed: unable to open"),
    "mistake": OperationalError("no such column: x"),
    "full": OperationalError("database or disk is full"),
    "nospace": OSError(28, "No space left on device"),
    "bug": RuntimeError("a secret detail"),
    "conflict": ApiError(409, "conflict", "It runs. Cancel it first.", headers={"X-Why": "runs"}),
    "invalid": ApiError(422, "invalid", "See errors.", errors=[{"field": "a", "message": "Too long."}]),
    "denied": PermissionDenied("Only on Mondays."),
    "missing": Http404("no"),
    "odd": SuspiciousOperation("odd"),
}


@requires(Right.PUBLIC)
def raise_it(request: HttpRequest, name: str) -> HttpResponse:
    raise RAISES[name]


def answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(principal_of(request).name or "nobody", content_type="text/plain")


@requires(Right.PUBLIC)
def write(request: HttpRequest) -> HttpResponse:
    record_event("test", subject_id="1", kind="written")
    return HttpResponse("written")


@requires(Right.PUBLIC)
def keep_in_session(request: HttpRequest) -> HttpResponse:
    request.session["kept"] = "yes"
    return HttpResponse("kept")


@requires(Right.PUBLIC)
def cached(request: HttpRequest) -> HttpResponse:
    return HttpResponse("badge", headers={"Cache-Control": "max-age=60"})


@requires(Right.SUBMIT)
def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{sorted(read_json(request))} {len(request.body)}")


@checks_itself("a key of its own")
def internal(request: HttpRequest) -> HttpResponse:
    return HttpResponse("internal")


def _undeclared(request: HttpRequest) -> HttpResponse:
    return HttpResponse("must not be reached")


def _asks(right: Right) -> Callable[[HttpRequest], HttpResponse]:
    def view(request: HttpRequest) -> HttpResponse:
        return answer(request)

    return requires(right)(view)


urlpatterns = [
    *(path(f"{door}test/raise/<slug:name>", raise_it) for door in ("", "api/")),
    *(path(f"{door}test/{right}", _asks(right)) for door in ("", "api/") for right in Right),
    *(path(f"{door}test/undeclared", _undeclared) for door in ("", "api/")),
    path("test/write", write),
    path("api/test/write", write),
    path("test/session", keep_in_session),
    path("test/cached", cached),
    path("api/test/echo", echo),
    path("api/test/internal", internal),
    *real.urlpatterns,
]
