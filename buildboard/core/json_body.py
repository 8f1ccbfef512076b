"""Reads JSON bodies strictly: what is ambiguous, unbounded or not storable is refused before anybody sees it.

It knows nothing of fields and schemas; those are the API's.
"""

import json
import re
from typing import Any

from django.http import HttpRequest, RawPostDataException

from buildboard.core.errors import ApiError, FieldProblem

MAX_BODY_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_DIGITS = 400
_CHUNK_BYTES = 1 << 16

# A whole string (also one without an end, so that no text is looked at twice) or one bracket.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def read_json(request: HttpRequest, *, limit: int = MAX_BODY_BYTES, expect_object: bool = True) -> Any:
    """The body of a request as parsed JSON. `limit` is in bytes.

    Raises ApiError: 415 for another content type, 413 past the limit, and what `parse_json` raises.
    """
    if request.content_type != "application/json":
        raise ApiError(
            415,
            "unsupported_media_type",
            "Send the body as JSON with the header Content-Type: application/json.",
        )
    return parse_json(read_body(request, limit=limit), expect_object=expect_object)


def read_body(request: HttpRequest, *, limit: int = MAX_BODY_BYTES) -> bytes:
    """The body of a request, at most `limit` bytes; it stays readable as `request.body`.

    Raises ApiError 413 past the limit, before reading more than that, whether or not a length was declared.
    """
    declared = request.META.get("CONTENT_LENGTH") or "0"
    too_large = ApiError(413, "too_large", f"The body is over {limit} bytes. Send less at once.")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
        raise too_large
    kept = getattr(request, "_body", None)
    if kept is None:
        kept = _read_at_most(request, limit + 1)
        request._body = kept  # Django's own place: request.body works after
    if len(kept) > limit:
        raise too_large
    return bytes(kept)


def _read_at_most(request: HttpRequest, size: int) -> bytes:
    parts: list[bytes] = []
    try:
        while size > 0 and (part := request.read(min(size, _CHUNK_BYTES))):
            parts.append(part)
            size -= len(part)
    except (OSError, RawPostDataException) as error:
        raise ApiError(400, "bad_request", "The body ended before it was complete. Send it again.") from error
    return b"".join(parts)


def parse_json(body: bytes | str, *, expect_object: bool = False) -> Any:
    """The value that a JSON text stands for.

    Raises ApiError 400 for what is not JSON, NaN and infinities, numbers over 400 digits, nesting over 20,
    NUL, lone surrogates, and (with `expect_object`) anything but an object; 422 for a key given twice.
    """
    text = _decode(body)
    if not text.strip():
        raise _malformed("The body is empty; send JSON.")
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_refuse_constant,
            parse_int=_bounded_int,
            parse_float=_bounded_float,
        )
    except json.JSONDecodeError as error:
        raise _malformed(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    _check_text(value)
    if expect_object and not isinstance(value, dict):
        raise _malformed("The body must be a JSON object, in braces.")
    return value


def _malformed(detail: str) -> ApiError:
    return ApiError(400, "bad_request", detail)


def _decode(body: bytes | str) -> str:
    if isinstance(body, str):
        return body
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"The body is not UTF-8 (byte {error.start}).") from error


def _check_depth(text: str) -> None:
    """Counts brackets before the parser recurses into them."""
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        bracket = token.group()
        if bracket in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _malformed(f"The body is nested more than {MAX_DEPTH} deep.")
        elif bracket in "]}":
            depth -= 1


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    seen: set[str] = set()
    twice = sorted({key for key, _ in pairs if key in seen or seen.add(key)})  # type: ignore[func-returns-value]  # add gives None: false
    raise ApiError(
        422,
        "invalid",
        "A key is given more than once. Give each key once.",
        errors=[FieldProblem(field=shown(key), message="This key is given more than once.") for key in twice],
    )


def _refuse_constant(name: str) -> Any:
    raise _malformed(f"{name} is not JSON; use a number or null.")


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _malformed(f"A number has more than {MAX_DIGITS} digits.")
    return int(digits)


def _bounded_float(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise _malformed(f"A number has more than {MAX_DIGITS} digits.")
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _malformed(f"The number {digits} is too large.")
    return value


def _check_text(value: Any) -> None:
    """Refuses what a database cannot keep; the depth is bounded by now."""
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise _malformed("A text holds a NUL or half of a surrogate pair, which cannot be stored.")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check_text(item)
    elif isinstance(value, list):
        for item in value:
            _check_text(item)


def shown(text: str, *, limit: int = 100) -> str:
    """A client's text, short and safe to be put into an answer."""
    return text[:limit].encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")
