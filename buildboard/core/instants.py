"""Moments as text, to and from: ISO 8601 in UTC with microseconds.

It loads nothing that only the API needs. How pages say times is for their templates.
"""

import re
from datetime import UTC, datetime

_OFFSET = re.compile(r"(?<=\d) (\d\d:?\d\d)\Z")


def utc_text(at: datetime) -> str:
    """A time as ISO 8601 in UTC, such as `2026-01-16T06:13:07.741807Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_instant(value: object) -> datetime:
    """A client's ISO 8601 text as a time in UTC.

    Raises ValueError for anything else and for years that no database keeps in every zone.
    """
    if not isinstance(value, str) or len(value) > 64:
        raise ValueError("write a time as ISO 8601, such as 2026-01-16T06:13:07Z")
    try:
        # In a query string an unescaped plus arrives as a space.
        at = datetime.fromisoformat(_OFFSET.sub(r"+\1", value))
    except ValueError as error:
        raise ValueError("write a time as ISO 8601, such as 2026-01-16T06:13:07Z") from error
    if not 1970 <= at.year <= 9990:
        raise ValueError("write a year from 1970 to 9990")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
