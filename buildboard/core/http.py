"""HTTP matters that every door shares: who is at the other end, how errors look, and the database being away.

Who may do what is auth.py's and access.py's matter; the JSON shape of errors is in errors.py, strict bodies
in json_body.py, byte ranges in ranges.py (all can be had from here).
"""

import errno
import logging
from collections.abc import Callable
from ipaddress import ip_address

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from buildboard.core.errors import ApiError, FieldProblem, error_response
from buildboard.core.json_body import parse_json, read_body, read_json
from buildboard.core.ranges import parse_range

__all__ = [
    "ApiError",
    "DatabaseAwayMiddleware",
    "FieldProblem",
    "ForwardedHeadersMiddleware",
    "client_address",
    "csrf_failure",
    "error_answer",
    "error_response",
    "is_api",
    "parse_json",
    "parse_range",
    "read_body",
    "read_json",
    "refuse_for_database",
]

RETRY_AFTER_SECONDS = 5
_PAGE_OF_API = "/api/docs"
# What SQLite says when it is only away for now; its other operational errors are our own mistakes.
_SQLITE_AWAY = ("locked", "unable to open", "disk i/o error", "readonly database", "is full")
_FORWARDED = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED")

logger = logging.getLogger(__name__)


def is_api(request: HttpRequest) -> bool:
    """Whether errors of this request are answered as JSON; the API's own page is one for people."""
    return request.path_info.startswith("/api/") and request.path_info != _PAGE_OF_API


# ---- who is at the other end ----------------------------------------------------------------------------


def _address(text: str) -> str:
    """A plain address out of `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`; empty when it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def _is_trusted(address: str) -> bool:
    return bool(address) and any(ip_address(address) in network for network in settings.TRUSTED_PROXIES)


def is_trusted_proxy(address: str) -> bool:
    """Whether the forwarded headers of the peer with this address are believed."""
    return _is_trusted(_address(address))


def client_address(request: HttpRequest) -> str:
    """The address of the one who asks: the last hop that is not a trusted proxy; empty when unknown.

    `X-Forwarded-For` is read from its end, and only as far as the proxies that wrote it are trusted.
    """
    address = _address(str(request.META.get("REMOTE_ADDR") or ""))
    hops = str(request.META.get("HTTP_X_FORWARDED_FOR") or "").split(",")
    while _is_trusted(address) and hops:
        hop = _address(hops.pop())
        if not hop:
            break
        address = hop
    return address


class ForwardedHeadersMiddleware:
    """Drops the forwarded headers of everybody who is not a trusted proxy. First of all middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not _is_trusted(_address(str(request.META.get("REMOTE_ADDR") or ""))):
            for name in _FORWARDED:
                request.META.pop(name, None)
        return self.get_response(request)


# ---- errors as pages or JSON ----------------------------------------------------------------------------


def error_answer(
    request: HttpRequest, status: int, detail: str, *, code: str = "", headers: dict[str, str] | None = None
) -> HttpResponse:
    """An error as JSON under /api/, as the page `<status>.html` elsewhere.

    The page gets `detail` and `status`; from 500 on no request, so that rendering it needs no database. Where
    even the template fails the sentence is sent as plain text.
    """
    if is_api(request):
        return error_response(status, code, detail, headers=headers)
    headers = {"Cache-Control": "no-store", **(headers or {})}
    try:
        page = render_to_string(
            [f"{status}.html", "error.html"],
            {"detail": detail, "status": status, "is_safe": request.method in ("GET", "HEAD")},
            request=request if status < 500 else None,
        )
    except Exception:  # noqa: BLE001  # last resort: the sentence gets out
        return HttpResponse(
            f"{detail}\n", status=status, content_type="text/plain; charset=utf-8", headers=headers
        )
    return HttpResponse(page, status=status, headers=headers)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """What a form gets whose token is missing or old, or that came from another site."""
    return error_answer(
        request,
        403,
        "This form was too old or came from another site. Go back, reload the page and send it again.",
        code="csrf",
    )


# ---- the database being away ----------------------------------------------------------------------------


def refuse_for_database(request: HttpRequest, error: BaseException | None) -> HttpResponse | None:
    """503 when the error means that the database is away for now, 507 when a disk is full; else None."""
    if _is_disk_full(error):
        logger.error(
            "disk full", extra={"action": "disk_full", "path": request.path_info, "error": str(error)}
        )
        return error_answer(
            request,
            507,
            "The board's disk is full. An operator must make room; then try again.",
            code="disk_full",
        )
    if not _is_away(error):
        return None
    logger.warning(
        "database away", extra={"action": "database_away", "path": request.path_info, "error": str(error)}
    )
    return error_answer(
        request,
        503,
        f"The database does not answer just now. Try again in {RETRY_AFTER_SECONDS} seconds.",
        code="database_away",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def _is_disk_full(error: BaseException | None) -> bool:
    if isinstance(error, DatabaseError):
        return "is full" in str(error) or getattr(error.__cause__, "sqlstate", "") == "53100"
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _is_away(error: BaseException | None) -> bool:
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    return connection.vendor != "sqlite" or any(sign in str(error).lower() for sign in _SQLITE_AWAY)


class DatabaseAwayMiddleware:
    """Answers 503 with Retry-After for a view that found the database away, and an ApiError as what it says.

    What other middleware raises reaches `views.server_error`, which asks `refuse_for_database` too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Called by Django for what a view raised; None leaves it to others."""
        if isinstance(exception, ApiError):
            if is_api(request):
                return exception.response()
            return error_answer(
                request, exception.status, exception.detail, code=exception.code, headers=exception.headers
            )
        return refuse_for_database(request, exception)
