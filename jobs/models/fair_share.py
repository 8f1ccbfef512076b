"""What each submitter was served of a class of need for which others waited, too. Written by queue/shares.py alone."""

from django.db import models
from django.utils import timezone


class FairShare(models.Model):
    """`served` grows by one through the submitter's weight with each such start; who has the smallest goes next.

    Jobs that nobody submitted count under the nil id. A person who is gone leaves rows that are pruned.
    """

    needs_key = models.CharField(max_length=32)
    submitter = models.UUIDField()
    served = models.FloatField(default=0)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="fair_share_once", fields=["needs_key", "submitter"]),
        ]
        indexes = [
            # Pruning by age.
            models.Index(name="fair_share_updated", fields=["updated_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.served:.2f} of {self.needs_key}"
