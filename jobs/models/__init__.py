"""The tables of jobs. States are written by lifecycle.py, logs by logs/store.py, artifacts by artifacts.py."""

from jobs.models.artifact import Artifact
from jobs.models.attempt import Attempt, LogChunk
from jobs.models.fair_share import FairShare
from jobs.models.job import SUBMITTED_COLUMNS, BuildJob, JobDependency
from jobs.models.orchestrator import Orchestrator
from jobs.models.prediction import KeptForecast, Prediction
from jobs.models.refusal import Refusal
from jobs.models.sealed_log import SealedLog
from jobs.models.secret import Secret

__all__ = [
    "SUBMITTED_COLUMNS",
    "Artifact",
    "Attempt",
    "BuildJob",
    "FairShare",
    "JobDependency",
    "KeptForecast",
    "LogChunk",
    "Orchestrator",
    "Prediction",
    "Refusal",
    "SealedLog",
    "Secret",
]
