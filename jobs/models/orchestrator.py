"""Remote programs that pull jobs through the internal API."""

import uuid

from django.db import models
from django.utils import timezone


class Orchestrator(models.Model):
    """A registered orchestrator; its token `bbo_<id>_<secret>` is of a class of its own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True)
    job_types = models.JSONField(default=list)
    secret_hash = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
