"""One JSON shape a noun of jobs (contract section 3): API, socket and webhooks share them."""

from jobs.schemas.attempt import ArtifactShape, AttemptShape, LogShape
from jobs.schemas.estimates import (
    AccuracyShape,
    EstimateShape,
    MomentRange,
    SecondsRange,
    TrackRecordShape,
)
from jobs.schemas.explain import (
    DrainPreviewShape,
    DryRunShape,
    EndingShape,
    ExplainShape,
    PassingShape,
    PriorityPreviewShape,
    RefusalShape,
    ServerVerdictShape,
    SpellShape,
    WaitChangeShape,
)
from jobs.schemas.job import (
    DoneShape,
    GivenRetry,
    JobShape,
    JobStatusShape,
    NewPriority,
    QueueInfo,
    QueueShape,
)
from jobs.schemas.secret import NewSecret, SecretShape
from jobs.schemas.submission import BuildConfig, Submission
from jobs.schemas.words import PriorityWord, StatusWord

__all__ = [
    "AccuracyShape",
    "ArtifactShape",
    "AttemptShape",
    "BuildConfig",
    "DoneShape",
    "DrainPreviewShape",
    "DryRunShape",
    "EndingShape",
    "EstimateShape",
    "ExplainShape",
    "GivenRetry",
    "JobShape",
    "JobStatusShape",
    "LogShape",
    "MomentRange",
    "NewPriority",
    "NewSecret",
    "PassingShape",
    "PriorityPreviewShape",
    "PriorityWord",
    "QueueInfo",
    "QueueShape",
    "RefusalShape",
    "SecondsRange",
    "SecretShape",
    "ServerVerdictShape",
    "SpellShape",
    "StatusWord",
    "Submission",
    "TrackRecordShape",
    "WaitChangeShape",
]
