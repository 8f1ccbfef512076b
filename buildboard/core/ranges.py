"""HTTP byte ranges (RFC 9110, section 14): one range of bytes, no more."""

import re

from buildboard.core.errors import ApiError

_ONE_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*\Z", re.ASCII | re.IGNORECASE)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The part of `size` bytes that a `Range` header asks for, as start and end (exclusive).

    None: answer the whole, since there is no header, or one that a server may ignore (other units, several
    ranges, malformed). Raises ApiError 416, with `Content-Range`, when nothing of it exists.
    """
    match = _ONE_RANGE.match(header or "")
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise ApiError(
            416,
            "range_not_satisfiable",
            f"The range begins after the end; there are {size} bytes.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end
