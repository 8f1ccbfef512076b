"""What each submitter was given of a contested architecture. Written by queue/shares.py alone."""

from django.db import models


class FairShare(models.Model):
    """`served` grows by one through the submitter's weight with each build that started while others waited, too.

    Who has the smallest goes next. Jobs without a submitter count under the nil id; a person who is gone leaves
    a row that nobody reads.
    """

    submitter = models.UUIDField()
    architecture = models.CharField(max_length=32)
    served = models.FloatField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="fair_share_once", fields=["architecture", "submitter"]),
        ]

    def __str__(self) -> str:
        return f"{self.served:.2f} of {self.architecture}"
