"""Tables that every app needs: people, tokens, events, idempotency keys, heartbeats.

Rights are decided in permissions.py, who asks in auth.py, events are written by audit.py alone.
"""

import uuid
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from buildboard.core.permissions import Right, Role, rights_of_role


class UserManager(BaseUserManager["User"]):
    """Makes people with a normalised name and a hashed password."""

    def create_user(self, username: str, *, password: str | None = None, role: str = Role.VIEWER) -> "User":
        """A new person; without a password the account cannot sign in by form."""
        user = self.model(username=self.model.normalize_username(username), role=role)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person with one role. The role alone decides; there are no groups and no per-user permissions."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(
        max_length=150,
        unique=True,
        validators=[UnicodeUsernameValidator()],
        help_text="Letters, digits and @ . + - _ only.",
    )
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    is_active = models.BooleanField(
        "active",
        default=True,
        help_text="Untick instead of deleting: sessions and tokens end within 5 seconds.",
    )
    share_weight = models.PositiveSmallIntegerField(
        "share of the queue",
        default=1,
        db_default=1,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="From 1 to 100. While several people wait for the same servers, someone with 3 has three builds "
        "started for each one of someone with 1.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ["username"]
        constraints = [
            # A mistyped role would silently have no rights at all.
            models.CheckConstraint(name="user_role_known", condition=models.Q(role__in=Role.values)),
            # Turns are divided by it.
            models.CheckConstraint(
                name="user_share_weight_positive", condition=models.Q(share_weight__gte=1)
            ),
        ]

    def __str__(self) -> str:
        return self.username

    @property
    def rights(self) -> frozenset[Right]:
        """What this person may do now; nothing when disabled."""
        return rights_of_role(self.role) if self.is_active else frozenset()

    @property
    def is_staff(self) -> bool:
        """Django's admin site lets in operators and admins."""
        return Right.OPERATE in self.rights

    @property
    def is_superuser(self) -> bool:
        """Whether the admin site shows everything."""
        return Right.ADMINISTER in self.rights

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Django's admin asks this: admins all, operators the fleet and reading (RoleBackend decides)."""
        from buildboard.core.people import RoleBackend  # noqa: PLC0415  # people imports this module

        return RoleBackend().has_perm(self, perm, obj)

    def has_module_perms(self, app_label: str) -> bool:
        """Whether the admin index shows an app to this person."""
        from buildboard.core.people import RoleBackend  # noqa: PLC0415  # people imports this module

        return RoleBackend().has_module_perms(self, app_label)


class ApiToken(models.Model):
    """A bearer token `bb_<id>_<secret>`; only the secret's SHA-256 is stored. Made and ended by auth.py."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    scopes = models.JSONField(default=list)
    secret_hash = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.name


class Event(models.Model):
    """One immutable row of the audit log and of every timeline. Written by audit.py, changed by nobody.

    The subject has no foreign key: history outlives what it speaks of.
    """

    sequence = models.BigAutoField(primary_key=True)
    id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    at = models.DateTimeField(default=timezone.now, editable=False)
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    kind = models.CharField(max_length=64)
    from_state = models.CharField(max_length=32, blank=True)
    to_state = models.CharField(max_length=32, blank=True)
    actor = models.CharField(max_length=150, blank=True, help_text="Who did it; empty: the board itself.")
    door = models.CharField(max_length=16, blank=True, help_text="api, page, admin, command, runner.")
    reason = models.TextField(blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["sequence"]
        indexes = [
            # The timeline of one subject, in order.
            models.Index(name="event_subject", fields=["subject_type", "subject_id", "sequence"]),
        ]

    def __str__(self) -> str:
        return f"{self.subject_type} {self.subject_id}: {self.kind}"


class IdempotencyKey(models.Model):
    """The answer that a repeated POST with the same `Idempotency-Key` header gets again."""

    user = models.ForeignKey(User, on_delete=models.CASCADE)
    key = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    answer = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            # Fifty parallel POSTs with one key make one job.
            models.UniqueConstraint(name="idempotency_key_of_user", fields=["user", "key"]),
        ]
        indexes = [
            # Pruning by age.
            models.Index(name="idempotency_created", fields=["created_at"]),
        ]

    def __str__(self) -> str:
        return self.key


class Heartbeat(models.Model):
    """The last sign of life of one long-running thing on one machine: the runner, a cluster's ping task."""

    name = models.CharField(max_length=64)
    machine = models.CharField(max_length=64)
    pid = models.IntegerField(default=0)
    process_started = models.CharField(
        max_length=32, blank=True, help_text="Start time in clock ticks: with the pid, identity."
    )
    data = models.JSONField(default=dict)
    beat_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="heartbeat_of_machine", fields=["name", "machine"]),
        ]

    def __str__(self) -> str:
        return f"{self.name} on {self.machine}"
