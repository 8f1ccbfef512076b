"""Roles, rights and token scopes (contract section 6), without the ORM.

It says who may what; auth.py says who asks.
"""

from enum import StrEnum

from django.db.models import TextChoices


class Role(TextChoices):
    """What a person may do on the whole board; each includes the ones before it."""

    VIEWER = "viewer", "Viewer"
    SUBMITTER = "submitter", "Submitter"
    OPERATOR = "operator", "Operator"
    ADMIN = "admin", "Admin"


class Right(StrEnum):
    """What a route or a socket asks for. PUBLIC needs nobody; BUILDBOARD_PUBLIC_READ opens READ to all."""

    PUBLIC = "public"
    READ = "read"
    SIGNED_IN = "signed_in"
    SUBMIT = "submit"
    OPERATE = "operate"
    ADMINISTER = "administer"


class Scope(TextChoices):
    """What an API token is limited to; each includes the ones before it."""

    READ = "read", "Read"
    SUBMIT = "submit", "Submit"
    OPERATE = "operate", "Operate"


_READ = frozenset({Right.PUBLIC, Right.READ, Right.SIGNED_IN})
_SUBMIT = _READ | {Right.SUBMIT}
_OPERATE = _SUBMIT | {Right.OPERATE}
RIGHTS_OF_ROLE: dict[str, frozenset[Right]] = {
    Role.VIEWER: _READ,
    Role.SUBMITTER: _SUBMIT,
    Role.OPERATOR: _OPERATE,
    Role.ADMIN: _OPERATE | {Right.ADMINISTER},
}
RIGHTS_OF_SCOPE: dict[str, frozenset[Right]] = {
    Scope.READ: _READ,
    Scope.SUBMIT: _SUBMIT,
    Scope.OPERATE: _OPERATE,
}

# As a person reads them who has them, each without those before it; PUBLIC is nothing to tell.
RIGHT_WORDS: dict[Right, str] = {
    Right.READ: "See jobs, their logs and artifacts, and servers",
    Right.SIGNED_IN: "Make API tokens for yourself, and revoke them",
    Right.SUBMIT: "Submit builds; cancel and retry your own",
    Right.OPERATE: "Cancel, retry and reprioritise every job; look after servers and secrets",
    Right.ADMINISTER: "Add people and change roles, revoke everybody's tokens, see the history of what was done",
}


def rights_of_role(role: str) -> frozenset[Right]:
    """All rights of a role; an unknown role has none."""
    return RIGHTS_OF_ROLE.get(role, frozenset())


def rights_of_token(role: str, scopes: list[str]) -> frozenset[Right]:
    """The rights of a token: what its scopes name and its user's role of now still holds."""
    named = frozenset[Right]().union(*(RIGHTS_OF_SCOPE.get(scope, frozenset()) for scope in scopes))
    return named & rights_of_role(role)
