"""Answers a polled fragment: nothing (204) while its version stands, else the one template again.

The version is worked out from values (`updated_at`, sequences, counters, the outlook of a job that waits), never from
a rendered page.
"""

from collections.abc import Mapping
from typing import Any
from zlib import crc32

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from buildboard.core.htmx import wants_fragment

ACTIVE_MS = 2000
FINISHED_MS = 10000


def version_of(*parts: object) -> str:
    """A short word that changes when any of the parts does."""
    return f"{crc32(repr(parts).encode()):08x}"


def poll_address(request: HttpRequest, version: str) -> str:
    """This page's own address with the version that the reader now has."""
    query = request.GET.copy()
    query["v"] = version
    return f"{request.path}?{query.urlencode()}"


def answer_live(
    request: HttpRequest, *, page: str, fragment: str, version: str, context: Mapping[str, Any]
) -> HttpResponse:
    """The page, its fragment, or 204 when the reader's version (`v`) still stands."""
    if not wants_fragment(request):
        response = render(request, page, {**context, "poll_address": poll_address(request, version)})
    elif request.GET.get("v") == version:
        response = HttpResponse(status=204)
    else:
        response = render(request, fragment, {**context, "poll_address": poll_address(request, version)})
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["HX-Request"])
    return response
