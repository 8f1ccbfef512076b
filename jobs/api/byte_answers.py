"""Answers of exact bytes, whole or a range, part by part: a gigabyte costs no more memory than a line."""

from collections.abc import AsyncIterator, Callable, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from buildboard.core.ranges import parse_range

# What the OpenAPI document says of such an operation.
RANGE_OPENAPI = {
    "parameters": [{"in": "header", "name": "Range", "schema": {"type": "string"}, "required": False}],
}


def bytes_openapi(content_type: str) -> dict[str, object]:
    """The OpenAPI additions of an operation that answers bytes of this type."""
    content = {"content": {content_type: {"schema": {"type": "string", "format": "binary"}}}}
    return {**RANGE_OPENAPI, "responses": {200: content, 206: content}}


def answer_bytes(
    request: HttpRequest,
    *,
    size: int,
    read: Callable[[int, int], Iterator[bytes]],
    content_type: str,
    headers: dict[str, str] | None = None,
) -> HttpResponseBase:
    """All `size` bytes, or what the `Range` header asks for; `read` gives those from start to end.

    No browser runs anything in them. Raises ApiError 416 for a range that does not exist.
    """
    wanted = parse_range(request.headers.get("Range"), size)
    start, end = wanted or (0, size)
    status = 206 if wanted else 200
    all_headers = {
        "Content-Length": str(end - start),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        **({"Content-Range": f"bytes {start}-{end - 1}/{size}"} if wanted else {}),
        **(headers or {}),
    }
    if request.method == "HEAD" or start == end:
        return HttpResponse(status=status, content_type=content_type, headers=all_headers)
    parts = read(start, end)
    # Django reads an iterator of the other kind into memory as a whole.
    return StreamingHttpResponse(
        _one_by_one(parts) if isinstance(request, ASGIRequest) else parts,
        status=status,
        content_type=content_type,
        headers=all_headers,
    )


async def _one_by_one(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    read = sync_to_async(lambda: next(parts, b""))
    while part := await read():
        yield part
