"""Why a server did not take a job: the last look, and its history. Written by queue/ alone."""

from django.db import models
from django.utils import timezone

from jobs.models.job import BuildJob


class Refusal(models.Model):
    """One condition that a server (or the board: null) did not meet for a job, from `since` to `until`."""

    job = models.ForeignKey(BuildJob, on_delete=models.CASCADE, related_name="refusals")
    server = models.ForeignKey("servers.BuildServer", null=True, on_delete=models.SET_NULL, related_name="+")
    server_name = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="Stays when the server is removed; empty of the board's own.",
    )
    condition = models.CharField(max_length=32)
    hard = models.BooleanField(default=True)
    detail = models.CharField(max_length=255, blank=True)
    needs_key = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="The job's: what was refused to one of a class is refused to all.",
    )
    since = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["job_id", "server_id", "since"]
        constraints = [
            # The same refusal stands once at a time; NULLs are distinct in SQLite, hence the second one.
            models.UniqueConstraint(
                name="refusal_open_once",
                fields=["job", "server", "condition"],
                condition=models.Q(until__isnull=True, server__isnull=False),
            ),
            models.UniqueConstraint(
                name="refusal_of_board_open_once",
                fields=["job", "condition"],
                condition=models.Q(until__isnull=True, server__isnull=True, server_name=""),
            ),
        ]
        indexes = [
            # What stood in the way of a class of need at some time, for those behind the first of it.
            models.Index(name="refusal_of_class", fields=["needs_key", "until"]),
        ]

    def __str__(self) -> str:
        return f"{self.condition} at {self.server_id}"
