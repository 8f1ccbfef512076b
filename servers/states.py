"""The states of a build server, without the ORM (contract section 1)."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.db.models import TextChoices


class ServerStatus(TextChoices):
    """Whether a server is well enough to take jobs."""

    ONLINE = "online", "Online"
    OFFLINE = "offline", "Offline"
    DEGRADED = "degraded", "Degraded"
    MAINTENANCE = "maintenance", "Maintenance"
    UNKNOWN = "unknown", "Unknown"


class QuarantineKind(TextChoices):
    """Who keeps a server from builds, and so what ends it: a canary build, a person, or the host key."""

    FAULT = "fault", "Host fault"
    HAND = "hand", "By hand"
    HOST_KEY = "host_key", "Host key"


class QuarantineStage(StrEnum):
    """How far a quarantine is: no build at all, one canary is due, or it runs."""

    NONE = "none"
    HELD = "held"
    CANARY_DUE = "canary_due"
    CANARY_RUNS = "canary_runs"


class TransportKind(TextChoices):
    """How a server is reached."""

    SSH = "ssh", "SSH"
    LOCAL = "local", "This machine"


def quarantine_stage(
    *, since: datetime | None, until: datetime | None, canary_id: UUID | None, now: datetime
) -> QuarantineStage:
    """How far the quarantine of a server is, by its columns. Without an end it is held until somebody ends it."""
    if since is None:
        return QuarantineStage.NONE
    if until is None or until > now:
        return QuarantineStage.HELD
    return QuarantineStage.CANARY_DUE if canary_id is None else QuarantineStage.CANARY_RUNS
