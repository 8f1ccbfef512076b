"""One JSON shape a noun of jobs (contract section 3): API, socket and webhooks share them.

Shapes hold types, bounds and unknown keys. Rules on values are validation.py's, what needs the database is
submission.py's; nothing is read or written here.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from buildboard.core.schemas import Given, Shown, Timestamp
from jobs.models import Artifact, Attempt, BuildJob, Secret
from jobs.states import Priority

StatusWord = Literal["queued", "claimed", "running", "completed", "failed", "cancelled"]
PriorityWord = Literal["low", "normal", "high", "urgent"]
Text = Annotated[str, Field(max_length=255)]
Seconds = Annotated[int, Field(ge=1, le=2_592_000)]
Words = Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=64)]
Labels = Annotated[dict[str, Text], Field(max_length=64)]
Environment = Annotated[dict[str, str], Field(max_length=500)]


# ---- what a client sends ----------------------------------------------------------------------------------
class BuildConfig(Given):
    """How a Linux kernel tree is built when there is no command."""

    kernel_config: Annotated[str, Field(max_length=128)] = ""
    extra_make_args: Words = []
    enable_modules: bool = True
    build_dtbs: bool = False
    custom_env: Environment = {}


class Submission(Given):
    """A build job as it is submitted."""

    source_repository: Annotated[str, Field(max_length=2048, examples=["https://github.com/torvalds/linux"])]
    target_architecture: Annotated[str, Field(max_length=64, examples=["x86_64"])]
    branch: Text = "main"
    commit_hash: Annotated[str, Field(max_length=64, description="HEAD, or 7-64 hex digits.")] = "HEAD"
    server_id: Annotated[str, Field(max_length=64, description="`auto`, or a server's id or name.")] = "auto"
    build_command: Annotated[str | None, Field(description="Shell text; if absent it is found.")] = None
    build_config: BuildConfig | None = None
    priority: PriorityWord = "normal"
    required_toolchain: Annotated[str | None, Field(max_length=128)] = None
    required_labels: Labels = {}
    group: Annotated[str | None, Field(max_length=64)] = None
    min_cpu_cores: Annotated[int, Field(ge=1, le=65_536)] | None = None
    min_memory_mb: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    min_storage_gb: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    artifact_paths: Annotated[Words, Field(description="Globs under the work tree.")] = []
    timeout_seconds: Seconds = 3600
    idle_timeout_seconds: Seconds | None = None
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 2
    retry_on: Annotated[Words, Field(description="Error categories to try again after.")] = ["system"]
    environment: Environment = {}
    secrets: Annotated[Words, Field(description="Names of stored secrets.")] = []
    labels: Labels = {}
    callback_url: Annotated[str | None, Field(max_length=2048, description="Not available yet.")] = None
    callback_secret: Annotated[str | None, Field(max_length=1024, description="Not available yet.")] = None
    provider: Annotated[str, Field(max_length=32)] = "fleet"
    job_type: Annotated[str, Field(max_length=64)] = "build"


class NewSecret(Given):
    """A secret to be stored, or to replace the one of that name."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Z][A-Z0-9_]*$")]
    value: Annotated[str, Field(min_length=1, max_length=65_536, json_schema_extra={"writeOnly": True})]


# ---- what the board answers -------------------------------------------------------------------------------
class JobShape(Shown):
    """A build job."""

    id: UUID
    source_repository: str
    branch: str
    commit_hash: str
    resolved_commit: str | None
    target_architecture: str
    server_id: UUID | None
    server_name: str | None
    status: StatusWord
    priority: PriorityWord
    started_at: Timestamp | None
    completed_at: Timestamp | None
    duration_seconds: float | None
    error_message: str | None
    error_category: str | None
    exit_code: int | None
    attempts: int
    max_attempts: int
    progress: int
    result: dict[str, Any] | None
    build_id: UUID | None
    retry_of: UUID | None
    created_at: Timestamp
    updated_at: Timestamp
    cancel_requested_at: Timestamp | None
    requested_server_id: UUID | None
    required_toolchain: str | None
    required_labels: dict[str, str]
    group: str | None
    labels: dict[str, str]
    provider: str
    job_type: str
    created_by: str | None

    @classmethod
    def of(cls, job: BuildJob) -> "JobShape":
        """The shape of a job; fetch it with `select_related("created_by")`."""
        return cls(
            id=job.pk,
            source_repository=job.source_repository,
            branch=job.branch,
            commit_hash=job.commit_hash,
            resolved_commit=job.resolved_commit or None,
            target_architecture=job.target_architecture,
            server_id=job.server_id,
            server_name=job.server_name or None,
            status=job.status,  # type: ignore[arg-type]  # a constraint holds it to these words
            priority=Priority(job.priority).label,  # type: ignore[arg-type]  # the labels are these words
            started_at=job.started_at,
            completed_at=job.completed_at,
            duration_seconds=job.duration_seconds,
            error_message=job.error_message or None,
            error_category=job.error_category or None,
            exit_code=job.exit_code,
            attempts=job.attempts,
            max_attempts=job.max_attempts,
            progress=job.progress,
            result=job.result,
            build_id=job.build_id,
            retry_of=job.retry_of_id,
            created_at=job.created_at,
            updated_at=job.updated_at,
            cancel_requested_at=job.cancel_requested_at,
            requested_server_id=job.requested_server_id,
            required_toolchain=job.required_toolchain or None,
            required_labels=job.required_labels,
            group=job.group or None,
            labels=job.labels,
            provider=job.provider,
            job_type=job.job_type,
            created_by=job.created_by.username if job.created_by else None,
        )


class QueueShape(Shown):
    """The queue as a whole."""

    total_queued: int
    total_building: int
    jobs_by_architecture: dict[str, int]
    estimated_wait_time_seconds: int
    estimate_basis: Literal["history", "default"]


class QueueInfo(Shown):
    """How a queued job stands in the queue; `reasons` are sentences."""

    total_queued: int
    estimated_wait_seconds: int
    position: int
    reasons: list[str]


class JobStatusShape(Shown):
    """Where a job stands; `queue_info` is null unless it is queued."""

    id: UUID
    status: StatusWord
    server_id: UUID | None
    started_at: Timestamp | None
    completed_at: Timestamp | None
    duration_seconds: float | None
    error_message: str | None
    queue_info: QueueInfo | None
    cancel_requested_at: Timestamp | None

    @classmethod
    def of(cls, job: BuildJob, *, queue_info: QueueInfo | None) -> "JobStatusShape":
        """The shape of a job's status."""
        return cls(
            id=job.pk,
            status=job.status,  # type: ignore[arg-type]  # a constraint holds it to these words
            server_id=job.server_id,
            started_at=job.started_at,
            completed_at=job.completed_at,
            duration_seconds=job.duration_seconds,
            error_message=job.error_message or None,
            queue_info=queue_info,
            cancel_requested_at=job.cancel_requested_at,
        )


class LogShape(Shown):
    """A window of a log's lines. `next_offset` is the line to ask for next."""

    job_id: UUID
    logs: list[str]
    streaming: bool
    next_offset: int
    total_lines: int


class AttemptShape(Shown):
    """One execution of a job."""

    id: UUID
    job_id: UUID
    number: int
    status: Literal["claimed", "running", "completed", "failed", "cancelled", "lost", "released"]
    phase: Literal["connecting", "checkout", "building", "collecting"]
    server_id: UUID | None
    server_name: str | None
    resolved_commit: str | None
    exit_code: int | None
    error_category: str | None
    error_message: str | None
    metrics: dict[str, Any]
    log_size: int
    log_lines: int
    log_omitted: int
    created_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None
    duration_seconds: float | None
    unreachable_since: Timestamp | None

    @classmethod
    def of(cls, attempt: Attempt) -> "AttemptShape":
        """The shape of an attempt; its lease is a secret of its holder."""
        return cls(
            id=attempt.pk,
            job_id=attempt.job_id,
            number=attempt.number,
            status=attempt.status,  # type: ignore[arg-type]  # a constraint holds it to these words
            phase=attempt.phase,  # type: ignore[arg-type]  # lifecycle.py writes no other
            server_id=attempt.server_id,
            server_name=attempt.server_name or None,
            resolved_commit=attempt.resolved_commit or None,
            exit_code=attempt.exit_code,
            error_category=attempt.error_category or None,
            error_message=attempt.error_message or None,
            metrics=attempt.metrics,
            log_size=attempt.log_size,
            log_lines=attempt.log_lines,
            log_omitted=attempt.log_omitted,
            created_at=attempt.created_at,
            started_at=attempt.started_at,
            completed_at=attempt.completed_at,
            duration_seconds=attempt.duration_seconds,
            unreachable_since=attempt.unreachable_since,
        )


class DoneShape(Shown):
    """An action was taken."""

    success: Literal[True] = True
    message: str
    resource_id: UUID


class SecretShape(Shown):
    """A stored secret, without its value."""

    name: str
    created_by: str | None
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, secret: Secret) -> "SecretShape":
        """The shape of a secret; the value is never shown."""
        return cls(
            name=secret.name,
            created_by=secret.created_by or None,
            created_at=secret.created_at,
            updated_at=secret.updated_at,
        )


class ArtifactShape(Shown):
    """A kept file of a job."""

    id: UUID
    filename: str
    path: str
    size: int
    sha256: str
    created_at: Timestamp
    url: str

    @classmethod
    def of(cls, artifact: Artifact, *, url: str) -> "ArtifactShape":
        """The shape of an artifact with its download's address."""
        return cls(
            id=artifact.pk,
            filename=artifact.filename,
            path=artifact.path,
            size=artifact.size,
            sha256=artifact.sha256,
            created_at=artifact.created_at,
            url=url,
        )
