"""The JSON shapes that every app's API shares: errors, events, tokens, and the bases of all shapes.

The nouns of jobs and servers are in the `schemas.py` of their app.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer

from buildboard.core.models import ApiToken, Event

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


# ISO 8601 in UTC with microseconds; Django's own encoder would cut them to milliseconds.
Timestamp = Annotated[
    datetime,
    PlainSerializer(utc_text, return_type=str),
    Field(json_schema_extra={"format": "date-time"}),
]
# What a client gives as a time: ISO 8601; without an offset it is UTC.
Instant = Annotated[datetime, BeforeValidator(read_instant)]
ScopeWord = Literal["read", "submit", "operate"]


class Given(Schema):
    """What a client sends: unknown keys are refused, and a number is not a text."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Shown(Schema):
    """What the board answers."""

    model_config = ConfigDict(extra="forbid")


class FieldProblem(Shown):
    """One field that does not fit, and what to do."""

    field: str
    message: str


class ErrorShape(Shown):
    """Every error but 422: a sentence that says what to do, and a word."""

    detail: str
    code: str


class InvalidShape(ErrorShape):
    """422: one entry a field that does not fit."""

    errors: list[FieldProblem]


class EventShape(Shown):
    """One row of a job's timeline."""

    id: UUID
    sequence: int
    at: Timestamp
    kind: str
    from_status: str | None
    to_status: str | None
    actor: str | None
    door: str | None
    reason: str | None
    data: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> "EventShape":
        """The shape of an event."""
        return cls(
            id=event.id,
            sequence=event.sequence,
            at=event.at,
            kind=event.kind,
            from_status=event.from_state or None,
            to_status=event.to_state or None,
            actor=event.actor or None,
            door=event.door or None,
            reason=event.reason or None,
            data=event.data,
        )


class NewToken(Given):
    """An API token to be made. Without `expires_at` it lasts until it is ended."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[ScopeWord], Field(min_length=1, max_length=3)] = ["read"]
    expires_at: Instant | None = None


class TokenShape(Shown):
    """An API token, without its secret."""

    id: UUID
    name: str
    scopes: list[str]
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Timestamp | None

    @classmethod
    def of(cls, token: ApiToken) -> "TokenShape":
        """The shape of a token."""
        return cls(**cls.values(token))

    @staticmethod
    def values(token: ApiToken) -> dict[str, Any]:
        """The values that every shape of a token shows."""
        return {
            "id": token.pk,
            "name": token.name,
            "scopes": list(token.scopes),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "last_used_at": token.last_used_at,
        }


class MadeTokenShape(TokenShape):
    """A token just made: `token` is shown this once."""

    token: str
