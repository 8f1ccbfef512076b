"""Attempts and the live form of their logs. Status by lifecycle.py, offsets and chunks by logs/store.py."""

import uuid

from django.db import models
from django.utils import timezone

from jobs.models.job import BuildJob
from jobs.models.orchestrator import Orchestrator
from jobs.states import ATTEMPT_ACTIVE, AttemptStatus, ErrorCategory, Phase


class AttemptQuerySet(models.QuerySet["Attempt"]):
    """Selections in the field's words."""

    def visible_to(self, user: object) -> "AttemptQuerySet":
        """Attempts of the jobs that this person may see."""
        return self.filter(job__in=BuildJob.objects.visible_to(user))

    def active(self) -> "AttemptQuerySet":
        """Claimed or running. Those have no end, and by that SQLite finds them among all that ever ran."""
        return self.filter(status__in=ATTEMPT_ACTIVE, completed_at__isnull=True)


class Attempt(models.Model):
    """One execution of a job. Every write carries `lease_id`; a stale one changes nothing.

    `source_read` counts the server's bytes whose masking is decided, `log_size` the bytes kept. They move
    together by compare-and-set; every offset that the outside sees is of kept bytes.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(BuildJob, on_delete=models.CASCADE, related_name="attempt_set")
    number = models.PositiveIntegerField()
    server = models.ForeignKey(
        "servers.BuildServer", null=True, on_delete=models.SET_NULL, related_name="attempts"
    )
    server_name = models.CharField(max_length=64, blank=True)
    orchestrator = models.ForeignKey(
        Orchestrator, null=True, on_delete=models.SET_NULL, related_name="attempts"
    )
    lease_id = models.UUIDField(default=uuid.uuid4)
    lease_until = models.DateTimeField(null=True)
    status = models.CharField(max_length=16, choices=AttemptStatus.choices, default=AttemptStatus.CLAIMED)
    phase = models.CharField(max_length=16, choices=Phase.choices, default=Phase.CONNECTING)
    masked_values = models.TextField(
        blank=True,
        help_text="Encrypted: the secrets that its build was given, so that every follower masks the same.",
    )
    submitted_at = models.DateTimeField(
        null=True, help_text="When the start was sent: from then on it may run."
    )
    source_read = models.BigIntegerField(default=0)
    log_size = models.BigIntegerField(default=0)
    log_lines = models.BigIntegerField(default=0)
    log_omitted = models.BigIntegerField(default=0, help_text="Source bytes left out past the log's limit.")
    log_sgr = models.TextField(
        blank=True, default="", db_default="", help_text="What sets the colours that follow the kept log."
    )
    watched_until = models.DateTimeField(null=True)
    unreachable_since = models.DateTimeField(null=True)
    resolved_commit = models.CharField(max_length=64, blank=True)
    exit_code = models.IntegerField(null=True)
    error_category = models.CharField(max_length=16, choices=ErrorCategory.choices, blank=True)
    error_message = models.TextField(blank=True)
    error_fingerprint = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="The same for failures that say the same; empty: nothing tells them from others.",
    )
    host_fault = models.BooleanField(
        default=False, db_default=False, help_text="It failed by its server's fault, not by the build's."
    )
    metrics = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    cleaned_at = models.DateTimeField(null=True, help_text="When its directory on the server was removed.")

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering = ["job_id", "number"]
        constraints = [
            models.UniqueConstraint(name="attempt_number_of_job", fields=["job", "number"]),
            # One holder a job: the promise that nothing runs twice.
            models.UniqueConstraint(
                name="attempt_active_once",
                fields=["job"],
                condition=models.Q(status__in=sorted(ATTEMPT_ACTIVE)),
            ),
            models.CheckConstraint(
                name="attempt_status_known", condition=models.Q(status__in=AttemptStatus.values)
            ),
        ]
        indexes = [
            # What a runner follows: the active attempts of its servers. Not by status: SQLite uses an index with a
            # list in its condition for no query that is given the list as values.
            models.Index(
                name="attempt_active_of_server",
                fields=["server", "created_at"],
                condition=models.Q(completed_at__isnull=True),
            ),
            # What ended on a server lately, for its page and for judging it.
            models.Index(
                name="attempt_ended_of_server",
                fields=["server", "-completed_at"],
                condition=models.Q(completed_at__isnull=False),
            ),
            # Whether other servers show the same failure.
            models.Index(
                name="attempt_failed_alike",
                fields=["error_fingerprint", "-completed_at"],
                condition=~models.Q(error_fingerprint=""),
            ),
            # Directories on a server that are still to be removed.
            models.Index(
                name="attempt_uncleaned",
                fields=["server", "completed_at"],
                condition=models.Q(cleaned_at__isnull=True, completed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"

    @property
    def duration_seconds(self) -> float | None:
        """From start to end; null until then."""
        if self.started_at is None or self.completed_at is None:
            return None
        return (self.completed_at - self.started_at).total_seconds()


class LogChunk(models.Model):
    """Consecutive kept bytes of an attempt's log, while it is live. `first_line` counts the LFs before it."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="chunks")
    offset = models.BigIntegerField()
    size = models.PositiveIntegerField()
    first_line = models.BigIntegerField()
    lines = models.PositiveIntegerField(help_text="LFs in it.")
    sgr = models.TextField(
        blank=True, default="", db_default="", help_text="What sets the colours that it begins with."
    )
    data = models.BinaryField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["attempt_id", "offset"]
        constraints = [
            # Two followers at once cannot keep the same bytes twice.
            models.UniqueConstraint(name="chunk_offset_of_attempt", fields=["attempt", "offset"]),
        ]
        indexes = [
            # The chunk in which a line begins.
            models.Index(name="chunk_line_of_attempt", fields=["attempt", "first_line"]),
            # Logs that are live: those of ended attempts among them are to be sealed.
            models.Index(name="chunk_first_of_log", fields=["attempt"], condition=models.Q(offset=0)),
        ]

    def __str__(self) -> str:
        return f"{self.size} bytes at {self.offset}"
