"""The ASGI application: HTTP to Django, WebSockets past an origin check to the consumers.

Who may open a socket is the consumer's matter (core/auth.py); here only foreign pages are kept out.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "buildboard.settings")
django_application = get_asgi_application()

# After Django is set up: they load models.
from channels.routing import URLRouter  # noqa: E402  # see above
from django.conf import settings  # noqa: E402  # see above
from django.http.request import split_domain_port, validate_host  # noqa: E402  # see above
from django.urls import re_path  # noqa: E402  # see above
from django.utils.http import is_same_domain  # noqa: E402  # see above

from buildboard.core.auth import bearer_of  # noqa: E402  # see above
from buildboard.core.http import is_trusted_proxy  # noqa: E402  # see above
from jobs.routing import websocket_urlpatterns  # noqa: E402  # see above

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the handshake of a WebSocket with 403."""
    await receive()
    await send({"type": "websocket.close"})


sockets = URLRouter(
    [*websocket_urlpatterns, re_path("", refuse)]  # type: ignore[arg-type]  # an ASGI application is no view
)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """One request or one WebSocket."""
    if scope["type"] == "http":
        await django_application(scope, receive, send)
    elif scope["type"] == "websocket":
        await (sockets if has_own_origin(scope) else refuse)(scope, receive, send)
    else:
        raise ValueError(f"unknown scope {scope['type']}")


def has_own_origin(scope: Scope) -> bool:
    """Whether the page that opens a WebSocket is one of ours.

    A browser always says where a page is from; only a client with a token may leave it out.
    """
    headers = {bytes(name).lower(): bytes(value).decode("latin-1") for name, value in scope["headers"]}
    origin = headers.get(b"origin", "")
    if not origin:
        return bearer_of(headers.get(b"authorization")) is not None
    return origin in _own_origins(scope, headers) or _is_trusted(origin)


def _own_origins(scope: Scope, headers: Mapping[bytes, str]) -> set[str]:
    """This address as the client sees it: believed only for a host name that is ours."""
    scheme, host = "http", headers.get(b"host", "")
    client = scope.get("client") or [""]
    if is_trusted_proxy(str(client[0])):
        scheme = headers.get(b"x-forwarded-proto", scheme)
        host = headers.get(b"x-forwarded-host", host)
    domain, _ = split_domain_port(host)
    own = {settings.PUBLIC_URL} if settings.PUBLIC_URL else set()
    if domain and validate_host(domain, settings.ALLOWED_HOSTS):
        own.add(f"{scheme}://{host}".lower())
    return own


def _is_trusted(origin: str) -> bool:
    """Whether an administrator named this origin, perhaps with `*.` for its subdomains."""
    parts = urlsplit(origin)
    for trusted in map(urlsplit, settings.CSRF_TRUSTED_ORIGINS):
        pattern = trusted.netloc.removeprefix("*")
        if parts.scheme == trusted.scheme and is_same_domain(parts.netloc, pattern):
            return True
    return False
