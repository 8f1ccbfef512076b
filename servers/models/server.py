"""A build server, its address, its limits, and why it is out. Status is written by health.py alone, quarantine by
quarantine.py.
"""

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.fields.json import KeyTransform
from django.utils import timezone

from buildboard.core.permissions import Right
from servers.host_keys import parse_host_key
from servers.states import QuarantineKind, QuarantineStage, ServerStatus, TransportKind, quarantine_stage

NEVER = datetime(9999, 1, 1, tzinfo=UTC)


if TYPE_CHECKING:  # Django's own class takes no type at run time
    _TimeField = models.DateTimeField[datetime | str | None, datetime | None]
else:
    _TimeField = models.DateTimeField


class EndField(_TimeField):
    """An end, of which NEVER is read as None: what is open-ended is kept as a time that does not come.

    The release before this one knows a quarantine only by an end that is yet to come, and its runners may be at work
    while one machine after the other is upgraded.
    """

    def from_db_value(
        self, value: datetime | None, _expression: object, _connection: object
    ) -> datetime | None:
        """Called by Django with what the database gave."""
        return None if value is not None and value >= NEVER else value


class BuildServerQuerySet(models.QuerySet["BuildServer"]):
    """Selections in the field's words."""

    def visible_to(self, user: object) -> "BuildServerQuerySet":
        """Servers that this person (or visitor) may see: all with the right to read, none without it."""
        rights: frozenset[Right] = getattr(user, "rights", frozenset())
        return self if Right.READ in rights or settings.PUBLIC_READ else self.none()

    def to_reach(self, server_id: uuid.UUID) -> "BuildServer | None":
        """One with the jump host that its connection goes through; None when it was deleted. One query."""
        return self.select_related("jump_host").filter(pk=server_id).first()

    def labelled(self, key: str, value: str) -> "BuildServerQuerySet":
        """Servers with this very label."""
        return self.alias(label_value=KeyTransform(key, "labels")).filter(label_value=value)


class BuildServer(models.Model):
    """A machine that runs builds. `status` belongs to health.py."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True)
    transport = models.CharField(max_length=8, choices=TransportKind.choices, default=TransportKind.SSH)
    hostname = models.CharField(max_length=253, blank=True)
    ssh_port = models.PositiveIntegerField(
        default=22, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    ssh_username = models.CharField(max_length=64, blank=True)
    private_key = models.TextField(blank=True, editable=False, help_text="Encrypted at rest.")
    public_key = models.TextField(blank=True, editable=False)
    key_generated = models.BooleanField(
        default=True,
        editable=False,
        help_text="The board made the key pair; a given key is never replaced silently.",
    )
    host_key = models.TextField(blank=True)
    seen_host_key = models.TextField(blank=True, editable=False)
    jump_host = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="jumped_by"
    )
    machine_id = models.CharField(
        max_length=64, blank=True, editable=False, help_text="With the local transport: the machine it is."
    )
    work_dir = models.CharField(
        max_length=255, blank=True, help_text="Empty: .buildboard in the account's home."
    )
    environment = models.JSONField(
        default=dict,
        blank=True,
        help_text="Variables of every probe and build there, such as PATH: a session without login reads no profile.",
    )
    architectures = models.JSONField(default=list, blank=True)
    labels = models.JSONField(default=dict, blank=True)
    group = models.CharField(max_length=64, blank=True)
    max_concurrent_builds = models.PositiveSmallIntegerField(
        default=4, validators=[MinValueValidator(1), MaxValueValidator(256)]
    )
    enabled = models.BooleanField(default=True)
    status = models.CharField(
        max_length=16, choices=ServerStatus.choices, default=ServerStatus.UNKNOWN, editable=False
    )
    status_reason = models.TextField(blank=True, editable=False)
    status_changed_at = models.DateTimeField(default=timezone.now, editable=False)
    status_changed_by = models.CharField(
        max_length=150, blank=True, default="", db_default="", editable=False, help_text="Empty: the board."
    )
    strains = models.JSONField(
        null=True, editable=False, help_text="What thresholds.py remembers from one probe to the next."
    )
    maintenance_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Empty: until somebody ends it."
    )
    unreachable_since = models.DateTimeField(null=True, blank=True, editable=False)
    draining = models.BooleanField(default=False)
    draining_reason = models.TextField(blank=True)
    draining_since = models.DateTimeField(null=True, blank=True, editable=False)
    draining_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Empty: until somebody ends it."
    )
    draining_by = models.CharField(max_length=150, blank=True, default="", db_default="", editable=False)
    removal_requested_at = models.DateTimeField(null=True, blank=True, editable=False)
    removal_requested_by = models.CharField(
        max_length=150, blank=True, default="", db_default="", editable=False
    )
    removal_reason = models.TextField(blank=True, default="", db_default="", editable=False)
    quarantined_until = EndField(null=True, blank=True, editable=False)
    quarantine_reason = models.TextField(blank=True, editable=False)
    quarantined_since = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Set: in quarantine, past quarantined_until on trial with one build; without that, until ended.",
    )
    quarantine_kind = models.CharField(
        max_length=8, choices=QuarantineKind.choices, blank=True, default="", db_default="", editable=False
    )
    quarantined_by = models.CharField(
        max_length=150, blank=True, default="", db_default="", editable=False, help_text="Empty: the board."
    )
    quarantine_level = models.PositiveSmallIntegerField(
        default=0, db_default=0, editable=False, help_text="How many in a row: each doubles the wait."
    )
    quarantine_signs = models.JSONField(
        null=True, editable=False, help_text="Fingerprints of the failures that led to it."
    )
    quarantine_ended_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Of the last one: failures before it are settled."
    )
    canary_id = models.UUIDField(
        null=True, blank=True, editable=False, help_text="Who holds the one slot of a server on trial."
    )
    cpu_limit_percent = models.PositiveSmallIntegerField(default=85)
    memory_limit_percent = models.PositiveSmallIntegerField(default=85)
    storage_limit_percent = models.PositiveSmallIntegerField(default=85)
    cpu_percent = models.FloatField(null=True, editable=False)
    memory_percent = models.FloatField(null=True, editable=False)
    storage_percent = models.FloatField(null=True, editable=False)
    total_cpu_cores = models.PositiveIntegerField(null=True, editable=False)
    total_memory_mb = models.PositiveIntegerField(null=True, editable=False)
    total_storage_gb = models.PositiveIntegerField(null=True, editable=False)
    free_storage_mib = models.PositiveIntegerField(null=True, editable=False)
    starts_refused_until = models.DateTimeField(null=True, blank=True, editable=False)
    starts_refused_reason = models.TextField(blank=True, default="", db_default="", editable=False)
    boot_id = models.CharField(max_length=64, blank=True, editable=False)
    facts = models.JSONField(
        default=dict, editable=False, help_text="What the last probe saw, as it said it."
    )
    last_health_check = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = BuildServerQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="server_status_known", condition=models.Q(status__in=ServerStatus.values)
            ),
            # Without its kind nobody would know what ends a quarantine.
            models.CheckConstraint(
                name="server_quarantine_known",
                condition=models.Q(quarantined_since__isnull=True, quarantine_kind="")
                | models.Q(quarantined_since__isnull=False, quarantine_kind__in=QuarantineKind.values),
            ),
            # Over SSH there must be somebody and somewhere to connect to.
            models.CheckConstraint(
                name="server_ssh_has_address",
                condition=~models.Q(transport=TransportKind.SSH)
                | (~models.Q(hostname="") & ~models.Q(ssh_username="")),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_trusted(self) -> bool:
        """Whether it is known who answers there: a key is pinned, and no other one was seen since."""
        return self.transport == TransportKind.LOCAL or bool(self.host_key and not self.seen_host_key)

    def quarantine_at(self, now: datetime) -> QuarantineStage:
        """How far its quarantine is."""
        return quarantine_stage(
            since=self.quarantined_since, until=self.quarantined_until, canary_id=self.canary_id, now=now
        )

    @property
    def host_key_fingerprint(self) -> str | None:
        """`SHA256:...` of the pinned key; None while there is none."""
        return _fingerprint_of(self.host_key)

    @property
    def seen_host_key_fingerprint(self) -> str | None:
        """Of the key that it showed and that waits to be accepted; None when none does."""
        return _fingerprint_of(self.seen_host_key)

    @property
    def login_key_fingerprint(self) -> str | None:
        """Of the key that the board logs in with."""
        return _fingerprint_of(self.public_key)


def _fingerprint_of(line: str) -> str | None:
    try:
        return parse_host_key(line).fingerprint
    except ValueError:
        return None
