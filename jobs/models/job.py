"""The build job: one unit of work. `status` and the outcome are written by lifecycle.py alone."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from buildboard.core.auth import Principal
from buildboard.core.permissions import Right
from buildboard.core.unseen import write_out
from jobs.models.elapsed import ElapsedMilliseconds
from jobs.models.rank import RankMilliseconds, ageing_seconds
from jobs.states import JOB_ACTIVE, JOB_TERMINAL, JOB_UNFINISHED, ErrorCategory, JobStatus, Priority

# Columns that a submission fills as they stand in `spec`, and that a manual retry copies.
SUBMITTED_COLUMNS = (
    "source_repository",
    "branch",
    "commit_hash",
    "target_architecture",
    "required_toolchain",
    "required_labels",
    "group",
    "labels",
    "provider",
    "job_type",
    "max_attempts",
    "queue_timeout_seconds",
)
# Its rank alone would do, but for those of one millisecond: `RankMilliseconds` says what it is.
QUEUE_ORDER = ("rank_ms", "created_at", "id")


class BuildJobQuerySet(models.QuerySet["BuildJob"]):
    """Selections in the field's words."""

    def visible_to(self, user: object) -> "BuildJobQuerySet":
        """Jobs that this person (or visitor) may see: all with the right to read, none without it."""
        rights: frozenset[Right] = getattr(user, "rights", frozenset())
        return self if Right.READ in rights or settings.PUBLIC_READ else self.none()

    def queued(self) -> "BuildJobQuerySet":
        """Waiting for a server, in the order in which they are looked at."""
        return self.filter(status=JobStatus.QUEUED).order_by(*QUEUE_ORDER)

    def ready(self) -> "BuildJobQuerySet":
        """Queued, due (a retry waits a little) and not needing a job that is not completed."""
        return self.queued().filter(
            models.Q(not_before__isnull=True) | models.Q(not_before__lte=timezone.now()),
            ~models.Exists(
                JobDependency.objects.filter(job=models.OuterRef("pk")).exclude(
                    needs__status=JobStatus.COMPLETED
                )
            ),
        )

    def active(self) -> "BuildJobQuerySet":
        """Claimed or running."""
        return self.filter(status__in=JOB_ACTIVE)

    def unfinished(self) -> "BuildJobQuerySet":
        """Queued or active."""
        return self.filter(status__in=JOB_UNFINISHED)

    def finished(self) -> "BuildJobQuerySet":
        """In a terminal state."""
        return self.filter(status__in=JOB_TERMINAL)


class BuildJob(models.Model):
    """Repository + branch + commit + architecture + how to build. `spec` is the submission as given, frozen."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    source_repository = models.CharField(max_length=2048)
    branch = models.CharField(max_length=255, default="main")
    commit_hash = models.CharField(max_length=64, default="HEAD")
    resolved_commit = models.CharField(max_length=64, blank=True)
    target_architecture = models.CharField(max_length=32)
    required_toolchain = models.CharField(max_length=128, blank=True)
    required_labels = models.JSONField(default=dict)
    group = models.CharField(max_length=64, blank=True)
    labels = models.JSONField(default=dict)
    spec = models.JSONField(default=dict)
    secret_spec = models.TextField(blank=True, help_text="Write-only values of the submission, encrypted.")
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.NORMAL)
    ageing_seconds = models.PositiveIntegerField(
        default=ageing_seconds,
        db_default=21_600,
        help_text="BUILDBOARD_AGEING_SECONDS when it was submitted: what one step of priority is worth.",
    )
    # Kept by the database itself, so that whoever changes a priority has changed the order.
    rank_ms = models.GeneratedField(
        expression=RankMilliseconds("created_at", "priority", "ageing_seconds"),
        output_field=models.BigIntegerField(),
        db_persist=True,
    )
    needs_key = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="The same for jobs that ask for the same of a server; empty: not computed.",
    )
    queue_timeout_seconds = models.PositiveIntegerField(null=True, blank=True)
    queue_deadline_at = models.DateTimeField(
        null=True, blank=True, help_text="When it fails if it still waits; empty: never."
    )
    impossible_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Since when no server could take it even if it were free and in service.",
    )
    provider = models.CharField(max_length=32, default="fleet")
    job_type = models.CharField(max_length=64, default="build")
    requested_server = models.ForeignKey(
        "servers.BuildServer", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    server = models.ForeignKey(
        "servers.BuildServer", null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    server_name = models.CharField(max_length=64, blank=True)
    build_id = models.UUIDField(null=True, blank=True)
    retry_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="retries"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    status = models.CharField(max_length=16, choices=JobStatus.choices, default=JobStatus.QUEUED)
    not_before = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.CharField(max_length=150, blank=True)
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="Executions that counted: not released ones."
    )
    max_attempts = models.PositiveSmallIntegerField(default=2)
    excused_attempts = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="Those that failed by their server's fault, and for which it was queued once more.",
    )
    follow_crashes = models.PositiveSmallIntegerField(
        default=0, help_text="Runners that died while they followed it; three set it aside."
    )
    progress = models.PositiveSmallIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    # Kept by the database itself, so that no writer can forget it: lists are sorted by it.
    ran_ms = models.GeneratedField(
        expression=ElapsedMilliseconds("started_at", "completed_at"),
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )
    exit_code = models.IntegerField(null=True, blank=True)
    error_category = models.CharField(max_length=16, choices=ErrorCategory.choices, blank=True)
    error_message = models.TextField(blank=True)
    result = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = BuildJobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(name="job_status_known", condition=models.Q(status__in=JobStatus.values)),
            # A finished job always has its end; an unfinished one never.
            models.CheckConstraint(
                name="job_completed_at_when_finished",
                condition=models.Q(status__in=sorted(JOB_TERMINAL), completed_at__isnull=False)
                | models.Q(status__in=sorted(JOB_UNFINISHED), completed_at__isnull=True),
            ),
        ]
        indexes = [
            # Dispatch takes queued jobs in this order; counters of the queue. The status is in front though it is
            # always the same: without statistics SQLite would rather search another index for it, and sort.
            models.Index(
                name="job_queued",
                fields=["status", *QUEUE_ORDER],
                condition=models.Q(status=JobStatus.QUEUED),
            ),
            # Whose time in the queue is up, and who waits for what no server has.
            models.Index(
                name="job_queue_deadline",
                fields=["queue_deadline_at"],
                condition=models.Q(status=JobStatus.QUEUED, queue_deadline_at__isnull=False),
            ),
            models.Index(
                name="job_impossible",
                fields=["impossible_since"],
                condition=models.Q(status=JobStatus.QUEUED, impossible_since__isnull=False),
            ),
            # What is claimed or running, for pages and counters.
            models.Index(
                name="job_active",
                fields=["status", "created_at"],
                condition=models.Q(status__in=sorted(JOB_ACTIVE)),
            ),
            # The list, newest or oldest first, by keyset; the same within what it is filtered by.
            models.Index(name="job_newest", fields=["-created_at", "-id"]),
            models.Index(
                name="job_architecture_newest", fields=["target_architecture", "-created_at", "-id"]
            ),
            models.Index(name="job_server_newest", fields=["server", "-created_at", "-id"]),
            models.Index(
                name="job_repository_newest", fields=["source_repository", "branch", "-created_at", "-id"]
            ),
            models.Index(name="job_by_repository", fields=["source_repository", "created_at", "id"]),
            models.Index(name="job_by_branch", fields=["branch", "created_at", "id"]),
            models.Index(name="job_by_person", fields=["created_by", "created_at", "id"]),
            # The list in its other orders, in both directions; the first also counts and filters by status.
            models.Index(name="job_by_status", fields=["status", "created_at", "id"]),
            models.Index(name="job_by_server", fields=["server_name", "-created_at", "-id"]),
            models.Index(
                name="job_by_duration",
                fields=["ran_ms", "created_at", "id"],
                condition=models.Q(ran_ms__isnull=False),
            ),
            # What ended lately, for figures and charts.
            models.Index(
                name="job_ended",
                fields=["completed_at", "status"],
                condition=models.Q(completed_at__isnull=False),
            ),
            # How long builds of a repository for an architecture usually take.
            models.Index(
                name="job_usual",
                fields=["source_repository", "target_architecture", "completed_at", "ran_ms"],
                condition=models.Q(status=JobStatus.COMPLETED),
            ),
        ]

    def __str__(self) -> str:
        return write_out(f"{self.repository_name} {self.branch}")

    @property
    def repository_name(self) -> str:
        """The last part of the repository's path, without `.git`."""
        return (
            self.source_repository.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1].removesuffix(".git")
            or "job"
        )

    @property
    def duration_seconds(self) -> float | None:
        """From the first start to the end; null until then."""
        if self.started_at is None or self.completed_at is None:
            return None
        return (self.completed_at - self.started_at).total_seconds()

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in JOB_TERMINAL

    def may_be_changed_by(self, principal: Principal) -> bool:
        """Whether they may cancel or retry it: submitters their own, operators any (contract section 6)."""
        is_own = principal.user is not None and self.created_by_id == principal.user.pk
        return principal.may(Right.OPERATE) or (is_own and principal.may(Right.SUBMIT))


class JobDependency(models.Model):
    """`job` waits until `needs` is completed."""

    job = models.ForeignKey(BuildJob, on_delete=models.CASCADE, related_name="dependencies")
    needs = models.ForeignKey(BuildJob, on_delete=models.CASCADE, related_name="needed_by")

    class Meta:
        constraints = [
            models.UniqueConstraint(name="dependency_once", fields=["job", "needs"]),
            # A job that needs itself would wait for ever.
            models.CheckConstraint(name="dependency_not_itself", condition=~models.Q(job=models.F("needs"))),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} needs {self.needs_id}"
