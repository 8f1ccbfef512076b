"""Denied by default: every route, API operation and socket declares its right, and the gate holds it.

A new route without a declaration fails here, and is refused with 403 by the gate until it has one.
"""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from buildboard.core.access import declared_right, operations_of
from buildboard.core.permissions import Right, Role, rights_of_role
from jobs.routing import websocket_urlpatterns
from tests.factories import make_user

PUBLIC = {"/keys/", "/theme/", "/healthz", "/readyz", "/login/", "/logout/", "/admin/login/"}
# The admin site's two routes that are regular expressions: what is unknown to it, and one app's tables.
WRITTEN_OUT = {r"\(\?P<url>\.\*\)\$": "nothing/", r"\^\(\?P<app_label>[^)]*\)/\$": "core/"}


def fill_in(route: str) -> str:
    """A path that the route matches."""
    for pattern, text in WRITTEN_OUT.items():
        route = re.sub(pattern, text, route)
    identity = str(uuid.uuid4())
    kinds = {"uuid": identity, "uuidstr": identity, "int": "1", "slug": "x", "str": "x", "path": "x", "": "x"}
    return re.sub(r"<(?:(\w+):)?\w+>", lambda match: kinds[match[1] or ""], route)


def patterns(resolver: URLResolver, prefix: str = "/") -> Iterator[tuple[str, Any]]:
    """Every route with the view it leads to."""
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry, route)
        elif isinstance(entry, URLPattern):
            yield fill_in(route), entry.callback


def routes() -> list[tuple[str, str, Right | None]]:
    """Path, method and declared right of everything that can be asked for."""
    found: list[tuple[str, str, Right | None]] = []
    first = dict(reversed(list(patterns(get_resolver()))))  # of two equal addresses the first one answers
    for path, view in first.items():
        operations = operations_of(view)
        if operations is None:
            found.append((path, "GET", declared_right(view)))
            continue
        for operation in operations.operations:
            right = declared_right(operation.view_func)
            found.extend((path, method, right) for method in operation.methods)
    return found


ROUTES = routes()
GUARDED = [route for route in ROUTES if route[2] is not Right.PUBLIC]


def test_every_route_declares_its_right() -> None:
    assert [route for route in ROUTES if route[2] is None] == []
    assert len(ROUTES) > 80


def test_only_these_routes_are_public() -> None:
    assert {path for path, _, right in ROUTES if right is Right.PUBLIC} == PUBLIC


def test_whatever_changes_something_over_the_api_asks_for_more_than_reading() -> None:
    changing = {
        (method, path, right)
        for path, method, right in ROUTES
        if path.startswith("/api/") and method not in ("GET", "HEAD")
    }

    assert {right for _, _, right in changing} <= {
        Right.SIGNED_IN,
        Right.SUBMIT,
        Right.OPERATE,
        Right.ADMINISTER,
    }
    assert {path.split("/")[3] for _, path, right in changing if right is Right.SIGNED_IN} == {"tokens"}


def test_every_socket_declares_its_right() -> None:
    rights = {
        str(pattern.pattern): getattr(pattern.callback.consumer_class, "required_right", None)
        for pattern in websocket_urlpatterns
    }

    assert rights == {"ws/jobs/<str:job_id>/log": Right.READ}


@pytest.mark.django_db
def test_a_visitor_passes_none_of_them() -> None:
    client = Client()

    passed = [
        (method, path)
        for path, method, _ in GUARDED
        if not is_refused(client.generic(method, path), 401 if is_for_programs(path) else 302)
    ]

    assert passed == []


@pytest.mark.django_db
@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER, Role.OPERATOR])
def test_nobody_passes_a_route_above_their_role(role: str) -> None:
    client = Client()
    client.force_login(make_user(role))
    above = [route for route in GUARDED if route[2] not in rights_of_role(role)]

    passed = [
        (method, path) for path, method, _ in above if not is_refused(client.generic(method, path), 403)
    ]

    assert passed == []
    assert above or role == Role.OPERATOR


def is_for_programs(path: str) -> bool:
    return path.startswith("/api/") and path != "/api/docs"


def is_refused(answered: Any, status: int) -> bool:
    """Whether the gate answered, and not the view: an anonymous page goes to the sign-in form."""
    to = str(answered.headers.get("Location", ""))
    return bool(answered.status_code == status) and to.startswith("/login/?next=/" if status == 302 else "")
