"""People: signing in by password, changing passwords and roles, and what Django's admin site lets a role do.

Which rights a role has is permissions.py's matter, who makes a request auth.py's.
"""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.db import transaction
from django.http import HttpRequest

from buildboard.core.audit import Actor, record_event
from buildboard.core.models import User
from buildboard.core.permissions import Right, Role


class LastAdmin(Exception):
    """The change would leave nobody who can administer the board."""

    def __init__(self, user: User) -> None:
        super().__init__(f"{user.username} is the last active admin. Make somebody else admin first.")


def is_last_admin(user: User) -> bool:
    """Whether without this person nobody could administer the board any more."""
    admins = User.objects.filter(role=Role.ADMIN, is_active=True)
    return admins.filter(pk=user.pk).exists() and not admins.exclude(pk=user.pk).exists()


def change_role(user: User, *, role: Role, actor: Actor) -> bool:
    """Give a person another role; False when they have it. It counts at their next request.

    Raises LastAdmin.
    """
    with transaction.atomic():
        if role != Role.ADMIN and is_last_admin(user):
            raise LastAdmin(user)
        old = User.objects.filter(pk=user.pk).exclude(role=role).values_list("role", flat=True).first()
        if old is None:
            return False
        User.objects.filter(pk=user.pk).update(role=role)
        record_event(
            "user", subject_id=user.pk, kind="role_changed", actor=actor, from_state=old, to_state=role
        )
    return True


def change_password(user: User, *, password: str, actor: Actor) -> None:
    """Give a person another password, already validated. Every session that is not told of it ends; tokens stay."""
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        record_event("user", subject_id=user.pk, kind="password_changed", actor=actor)


class RoleBackend(BaseBackend):
    """Signs people in by password, and tells Django's admin what a role may there."""

    # Beside the fleet, an operator looks at these and changes none of them.
    _OPERATOR_VIEWS = frozenset(
        f"jobs.view_{model}" for model in ("buildjob", "attempt", "artifact", "secret")
    )

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        """The active person with this name and password; the same work is done for an unknown name."""
        if username is None or password is None:
            return None
        user = User.objects.filter(username=User.normalize_username(username)).first()
        if user is None:
            User().set_password(password)
            return None
        return user if user.check_password(password) and user.is_active else None

    def get_user(self, user_id: Any) -> User | None:
        """The person of a session; None when disabled or gone, which ends the session at once."""
        return User.objects.filter(pk=user_id, is_active=True).first()

    def has_perm(self, user_obj: Any, perm: str, obj: object = None) -> bool:
        """Admins: everything. Operators: the fleet, and looking at jobs."""
        rights: frozenset[Right] = getattr(user_obj, "rights", frozenset())
        if Right.ADMINISTER in rights:
            return True
        return Right.OPERATE in rights and (perm.startswith("servers.") or perm in self._OPERATOR_VIEWS)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Which parts the admin's front page lists."""
        rights: frozenset[Right] = getattr(user_obj, "rights", frozenset())
        return Right.ADMINISTER in rights or (Right.OPERATE in rights and app_label in ("servers", "jobs"))
