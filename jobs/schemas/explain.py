"""Why a job waits, as the board shows it. Nothing is read or written here."""

from typing import Literal
from uuid import UUID

from buildboard.core.schemas import Shown, Timestamp
from jobs.schemas.words import StatusWord


class ServerVerdictShape(Shown):
    """How one build server stands to a job; `reasons` are sentences, none of an eligible one."""

    server: str
    server_id: UUID
    verdict: Literal["eligible", "busy", "refused"]
    reasons: list[str]


class ExplainShape(Shown):
    """What a job waits for, or does. `would_start_if` goes on behind "it starts when"; null unless it is queued.

    `estimated_start_at` is null, too, while no server that fits is in service. Servers come nearest first.
    """

    job_id: UUID
    status: StatusWord
    summary: str
    would_start_if: str | None
    estimated_start_at: Timestamp | None
    position: int | None
    servers: list[ServerVerdictShape]
