"""A stored secret, as it is sent and shown: its value goes in and never out."""

from typing import Annotated

from pydantic import Field

from buildboard.core.schemas import Given, Shown, Timestamp
from jobs.models import Secret


class NewSecret(Given):
    """A secret to be stored, or to replace the one of that name."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Z][A-Z0-9_]*$")]
    value: Annotated[str, Field(min_length=1, max_length=65_536, json_schema_extra={"writeOnly": True})]


class SecretShape(Shown):
    """A stored secret, without its value."""

    name: str
    created_by: str | None
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, secret: Secret) -> "SecretShape":
        """The shape of a secret; the value is never shown."""
        return cls(
            name=secret.name,
            created_by=secret.created_by or None,
            created_at=secret.created_at,
            updated_at=secret.updated_at,
        )
