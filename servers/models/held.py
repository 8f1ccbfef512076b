"""Who holds what of a server: builds its slots (slots.py), a runner the lease to follow it (leases.py)."""

from django.db import models

from servers.models.server import BuildServer


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
