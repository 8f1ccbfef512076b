"""One JSON shape a noun of jobs (contract section 3): API, socket and webhooks share them."""

from jobs.schemas.attempt import ArtifactShape, AttemptShape, LogShape
from jobs.schemas.explain import ExplainShape, ServerVerdictShape
from jobs.schemas.job import DoneShape, JobShape, JobStatusShape, NewPriority, QueueInfo, QueueShape
from jobs.schemas.secret import NewSecret, SecretShape
from jobs.schemas.submission import BuildConfig, Submission
from jobs.schemas.words import PriorityWord, StatusWord

__all__ = [
    "ArtifactShape",
    "AttemptShape",
    "BuildConfig",
    "DoneShape",
    "ExplainShape",
    "JobShape",
    "JobStatusShape",
    "LogShape",
    "NewPriority",
    "NewSecret",
    "PriorityWord",
    "QueueInfo",
    "QueueShape",
    "SecretShape",
    "ServerVerdictShape",
    "StatusWord",
    "Submission",
]
