"""Tables of the fleet. Status is written by health.py alone, quarantine by quarantine.py, slots by slots.py, leases by
leases.py.
"""

import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.fields.json import KeyTransform
from django.utils import timezone

from buildboard.core.permissions import Right
from servers.host_keys import parse_host_key
from servers.states import QuarantineKind, ServerStatus, TransportKind


class BuildServerQuerySet(models.QuerySet["BuildServer"]):
    """Selections in the field's words."""

    def visible_to(self, user: object) -> "BuildServerQuerySet":
        """Servers that this person (or visitor) may see: all with the right to read, none without it."""
        rights: frozenset[Right] = getattr(user, "rights", frozenset())
        return self if Right.READ in rights or settings.PUBLIC_READ else self.none()

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
    quarantined_until = models.DateTimeField(null=True, blank=True, editable=False)
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


class Toolchain(models.Model):
    """A compiler or tool that a probe found."""

    server = models.ForeignKey(BuildServer, on_delete=models.CASCADE, related_name="toolchains")
    name = models.CharField(max_length=64)
    version = models.CharField(max_length=64, blank=True)
    target_architecture = models.CharField(max_length=32, blank=True)
    path = models.CharField(max_length=255)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name", "version"]
        constraints = [
            models.UniqueConstraint(
                name="toolchain_once", fields=["server", "name", "target_architecture", "path"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


class ProbeSample(models.Model):
    """One look at a server's load, kept for its charts."""

    server = models.ForeignKey(BuildServer, on_delete=models.CASCADE, related_name="samples")
    at = models.DateTimeField(default=timezone.now)
    cpu_percent = models.FloatField(null=True)
    memory_percent = models.FloatField(null=True)
    storage_percent = models.FloatField(null=True)
    latency_ms = models.FloatField(null=True)
    load_per_core = models.FloatField(null=True)
    memory_stall_percent = models.FloatField(null=True, help_text="Of a minute, by the kernel's PSI.")

    class Meta:
        indexes = [
            # The last hour, day or week of one server.
            models.Index(name="sample_of_server", fields=["server", "-at"]),
        ]

    def __str__(self) -> str:
        return f"{self.server_id} at {self.at}"


class ServerCheck(models.Model):
    """A check that a person asked for; the runner fills it, since only the runner connects. Written by checks.py."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    server = models.ForeignKey(BuildServer, on_delete=models.CASCADE, related_name="checks")
    requested_by = models.CharField(max_length=150, blank=True)
    requested_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    steps = models.JSONField(default=list)
    claim = models.UUIDField(null=True, editable=False, help_text="Of the runner's thread that does it.")
    beat_at = models.DateTimeField(null=True, editable=False, help_text="The claimer's last sign of life.")

    class Meta:
        indexes = [
            # The last checks of one server.
            models.Index(name="check_of_server", fields=["server", "-requested_at"]),
            # What the runner has still to do.
            models.Index(
                name="check_open", fields=["requested_at"], condition=models.Q(finished_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"check of {self.server_id}"

    @property
    def ok(self) -> bool | None:
        """Whether the whole way is free; None until it is finished."""
        return None if self.finished_at is None else all(step.get("ok") for step in self.steps)


class Slot(models.Model):
    """Room for one build. The holder is opaque here (an attempt's id): `servers` knows nothing of jobs."""

    server = models.ForeignKey(BuildServer, on_delete=models.CASCADE, related_name="slots")
    number = models.PositiveSmallIntegerField()
    holder = models.UUIDField(null=True, blank=True)
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["server_id", "number"]
        constraints = [
            models.UniqueConstraint(name="slot_number_of_server", fields=["server", "number"]),
            # One holder in two slots would make a server look fuller than it is, for ever.
            models.UniqueConstraint(
                name="slot_holder_once", fields=["holder"], condition=models.Q(holder__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"slot {self.number} of {self.server_id}"


class ServerLease(models.Model):
    """Which runner follows a server now. The fence grows with each new holder."""

    server = models.OneToOneField(
        BuildServer, on_delete=models.CASCADE, related_name="lease", primary_key=True
    )
    runner = models.CharField(max_length=64, blank=True)
    fence = models.BigIntegerField(default=0)
    until = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # Leases that ran out.
            models.Index(name="lease_until", fields=["until"]),
        ]

    def __str__(self) -> str:
        return f"{self.server_id} by {self.runner or 'nobody'}"
