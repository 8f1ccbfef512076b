"""The sealed form of logs. Written by logs/seal.py alone."""

import uuid

from django.db import models
from django.utils import timezone

from jobs.models.attempt import Attempt


class SealedLog(models.Model):
    """An object in the storage that holds the log of an attempt, or will.

    There is a row before there is an object, and until the object is removed: so none is forgotten. Until it is
    published nobody reads it; once its attempt is gone it is to be removed.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    attempt = models.ForeignKey(Attempt, null=True, on_delete=models.SET_NULL, related_name="sealed_logs")
    storage_key = models.CharField(max_length=255)
    begun_at = models.DateTimeField(default=timezone.now)
    published_at = models.DateTimeField(null=True)
    size = models.BigIntegerField(default=0)
    index = models.BinaryField(
        default=b"", help_text="Where each block of it begins, as logs/sealed.py reads it."
    )
    outline = models.BinaryField(default=b"", help_text="As logs/outline.py reads it.")

    class Meta:
        ordering = ["begun_at"]
        constraints = [
            # Two who seal at once cannot both publish.
            models.UniqueConstraint(
                name="sealed_log_published_once",
                fields=["attempt"],
                condition=models.Q(published_at__isnull=False),
            ),
        ]
        indexes = [
            # What a crash or a deletion left.
            models.Index(
                name="sealed_log_left",
                fields=["begun_at"],
                condition=models.Q(published_at__isnull=True) | models.Q(attempt__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.storage_key
