"""Files that an attempt made. Written by artifacts.py alone."""

import uuid

from django.db import models
from django.utils import timezone

from buildboard.core.unseen import write_out
from jobs.models.attempt import Attempt
from jobs.models.job import BuildJob


class ArtifactQuerySet(models.QuerySet["Artifact"]):
    """Selections in the field's words."""

    def visible_to(self, user: object) -> "ArtifactQuerySet":
        """Artifacts of the jobs that this person may see."""
        return self.filter(attempt__job__in=BuildJob.objects.visible_to(user))


class Artifact(models.Model):
    """One kept file; `path` is the name on the server (data, never a local path), `storage_key` ours."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="artifacts")
    path = models.CharField(max_length=1024)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    storage_key = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=timezone.now)

    objects = ArtifactQuerySet.as_manager()

    class Meta:
        ordering = ["attempt_id", "path"]
        constraints = [
            models.UniqueConstraint(name="artifact_path_of_attempt", fields=["attempt", "path"]),
        ]

    def __str__(self) -> str:
        return write_out(self.path)

    @property
    def filename(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]
