"""The gate before every view: which right a resolved view asks for, and what those get who lack it.

Nothing passes without a declared right. It is decided on the resolved view, never on a path prefix. Who asks
is auth.py's matter.
"""

import inspect
import logging
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.cache import patch_vary_headers
from ninja.operation import PathView
from ninja.utils import check_csrf

from buildboard.core.auth import Principal, principal_of
from buildboard.core.errors import ApiError
from buildboard.core.htmx import is_htmx, tell_to_go
from buildboard.core.http import error_answer, is_api, refuse_for_database
from buildboard.core.permissions import Right

logger = logging.getLogger(__name__)
View = TypeVar("View", bound=Callable[..., Any])
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_SAYS = {
    Right.READ: "see this",
    Right.SIGNED_IN: "see this",
    Right.SUBMIT: "submit, cancel or retry builds",
    Right.OPERATE: "operate the board",
    Right.ADMINISTER: "administer the board",
}


# ---- declarations ---------------------------------------------------------------------------------------


def checks_itself(reason: str) -> Callable[[View], View]:
    """Declare that a view decides by other credentials than a person's (the internal API); say which."""

    def mark(view: View) -> View:
        view.checks_itself = reason  # type: ignore[attr-defined]  # the mark that declared_right reads
        return view

    return mark


def operations_of(view: Callable[..., Any]) -> PathView | None:
    """The django-ninja operations behind a resolved view; None for any other view."""
    if getattr(view, "__module__", "") != PathView.__module__ or not inspect.isfunction(view):
        return None
    found = inspect.getclosurevars(view).nonlocals.get("self")
    return found if isinstance(found, PathView) else None


@lru_cache(maxsize=1024)
def declared_right(view: Callable[..., Any]) -> Right | None:
    """The right that a view (or an API operation's function) asks for; None when it declares none.

    PUBLIC stands for `checks_itself` too. Everything of Django's admin site asks for OPERATE, and then for
    what RoleBackend says of its model.
    """
    if getattr(view, "checks_itself", ""):
        return Right.PUBLIC
    for holder in (view, getattr(view, "view_class", None)):
        right = getattr(holder, "required_right", None)
        if isinstance(right, Right):
            return right
    if isinstance(view, partial) and view.func.__module__.startswith("ninja.openapi"):
        return Right.READ
    return Right.OPERATE if _is_of_admin_site(view) else None


def _is_of_admin_site(view: Any) -> bool:
    """Whether a view, under any decorators, is a method of an admin site or of one of its tables."""
    while view is not None:
        owners = (getattr(view, name, None) for name in ("__self__", "admin_site", "model_admin"))
        if any(isinstance(owner, AdminSite | BaseModelAdmin) for owner in owners):
            return True
        view = getattr(view, "__wrapped__", None)
    return False


# ---- the gate -------------------------------------------------------------------------------------------


class AccessMiddleware:
    """Refuses what is not declared or not allowed, and keeps answers out of caches."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        _keep_out_of_caches(request, response)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: object, kwargs: object
    ) -> HttpResponse | None:
        """Called by Django with the resolved view; None lets it run."""
        operations = operations_of(view)
        if operations is None:
            return _decide(request, declared_right(view))
        methods = sorted({method for operation in operations.operations for method in operation.methods})
        if request.method not in methods:
            return error_answer(
                request, 405, f"Use {' or '.join(methods)} here.", headers={"Allow": ", ".join(methods)}
            )
        operation = next(item for item in operations.operations if request.method in item.methods)
        return _decide(request, declared_right(operation.view_func))


def _decide(request: HttpRequest, right: Right | None) -> HttpResponse | None:
    if right is None:
        logger.error(
            "a route without a declared right", extra={"action": "access", "path": request.path_info}
        )
        return error_answer(request, 403, "This page declares nobody who may see it; please report that.")
    if right is Right.PUBLIC:
        return None
    try:
        principal = principal_of(request)
    except ApiError as error:
        return error_answer(request, error.status, error.detail, code=error.code, headers=error.headers)
    except DatabaseError as error:
        away = refuse_for_database(request, error)
        if away is None:
            raise
        return away
    if principal.may(right):
        return _check_form_token(request, principal)
    if principal.user is None:
        return _ask_to_sign_in(request)
    return error_answer(request, 403, _why_not(principal, right))


def _check_form_token(request: HttpRequest, principal: Principal) -> HttpResponse | None:
    """Cross-site protection for the API with a session; pages have Django's own, tokens need none."""
    if not is_api(request) or not principal.session_key or request.method in _SAFE_METHODS:
        return None
    if check_csrf(request) is None:
        return None
    return error_answer(
        request, 403, "Send the X-CSRFToken header with a session, or use an API token.", code="csrf"
    )


def _why_not(principal: Principal, right: Right) -> str:
    who = (
        "This token"
        if principal.token_id
        else f"Your role ({principal.user.role})"
        if principal.user
        else "You"
    )
    return f"{who} may not {_SAYS.get(right, 'do this')}. Ask an admin of this board."


def _ask_to_sign_in(request: HttpRequest) -> HttpResponse:
    if is_api(request):
        return error_answer(
            request,
            401,
            "Sign in first: send the header Authorization: Bearer TOKEN (make one at /tokens/).",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if is_htmx(request):
        return tell_to_go(resolve_url(settings.LOGIN_URL), status=401)
    if request.method not in _SAFE_METHODS:
        return redirect_to_login("/")
    return redirect_to_login(request.get_full_path())


def _keep_out_of_caches(request: HttpRequest, response: HttpResponseBase) -> None:
    """`no-store` for the API and for everybody signed in; a public page may say otherwise for visitors."""
    principal = getattr(request, "buildboard_principal", None)
    private = is_api(request) or (isinstance(principal, Principal) and principal.user is not None)
    if private or not response.has_header("Cache-Control"):
        response.headers["Cache-Control"] = "no-store"
    patch_vary_headers(response, ("Authorization", "Cookie", "HX-Request"))


# ---- signing in -----------------------------------------------------------------------------------------


def too_many_logins(
    request: HttpRequest, original_response: object = None, credentials: object = None
) -> HttpResponse:
    """What django-axes answers after too many wrong passwords for one name from one address."""
    minutes = max(1, round(float(settings.AXES_COOLOFF_TIME) * 60))
    return error_answer(
        request,
        429,
        f"Too many attempts to sign in. Wait {minutes} minutes, then try again.",
        headers={"Retry-After": str(minutes * 60)},
    )
