"""An attempt and what it leaves, its log and its files, as the board shows them. Nothing is read or written here."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from buildboard.core.schemas import Shown, Timestamp
from jobs.models import Artifact, Attempt


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
    host_fault: Annotated[bool, Field(description="It failed by its server's fault, not by the build's.")]
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
            host_fault=attempt.host_fault,
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


class LogShape(Shown):
    """A window of a log's lines. `next_offset` is the line to ask for next."""

    job_id: UUID
    logs: list[str]
    streaming: bool
    next_offset: int
    total_lines: int


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
