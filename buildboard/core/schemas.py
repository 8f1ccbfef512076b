"""The JSON shapes that every app's API shares: errors, events, tokens, and the bases of all shapes.

The nouns of jobs and servers are in the `schemas.py` of their app.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer

from buildboard.core.instants import read_instant, utc_text
from buildboard.core.models import ApiToken, Event

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
