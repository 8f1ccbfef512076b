"""A job, its status and the queue, as the board shows them, and a priority as it is sent. Nothing is written here."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from buildboard.core.schemas import Given, Shown, Timestamp
from jobs.models import BuildJob
from jobs.schemas.estimates import SecondsRange, TrackRecordShape
from jobs.schemas.words import PriorityWord, StatusWord
from jobs.states import Priority


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
    queue_timeout_seconds: int | None
    queue_deadline_at: Timestamp | None
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
            queue_timeout_seconds=job.queue_timeout_seconds,
            queue_deadline_at=job.queue_deadline_at,
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
    """The queue as a whole, and what a job would wait that came now.

    The range is null of a mere guess: no server in service builds what waits, or no build has completed yet.
    """

    total_queued: int
    total_building: int
    jobs_by_architecture: dict[str, int]
    estimated_wait_time_seconds: int
    estimate_basis: Literal["history", "default"]
    estimated_wait_range_seconds: SecondsRange | None
    estimated_wait_by_architecture: dict[str, SecondsRange]
    estimate_track_record: TrackRecordShape


class QueueInfo(Shown):
    """How a queued job stands in the queue; `reasons` are sentences."""

    total_queued: int
    estimated_wait_seconds: int
    estimated_wait_range_seconds: SecondsRange | None
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


class NewPriority(Given):
    """A queued job's priority from now on, and why, which may not be blank."""

    priority: PriorityWord
    reason: Annotated[str, Field(max_length=500)]


class GivenRetry(Given):
    """A finished job is submitted again, and why, which its event and the new job's keep."""

    reason: Annotated[str, Field(max_length=500)] = ""


class DoneShape(Shown):
    """An action was taken."""

    success: Literal[True] = True
    message: str
    resource_id: UUID
