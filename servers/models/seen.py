"""What was seen of a server: its tools and its load, by probes, and checks that people asked for."""

import uuid

from django.db import models
from django.utils import timezone

from servers.models.server import BuildServer


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
