"""Attempts as plain values, for tests of the verdicts on servers."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.diagnosis.host_fault import Came, Tried

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def id_of(name: str) -> uuid.UUID:
    """The id that belongs to a name."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, name)


def tried(server: str, build: str, came: Came = Came.FAILED, **fields: Any) -> Tried:
    """One attempt of `build` (its first word is its repository) on `server`, which took a minute and a half."""
    minute = fields.pop("minute", 0)
    defaults: dict[str, Any] = {
        "attempt_id": uuid.uuid4(),
        "server_id": id_of(server),
        "job": id_of(build),
        "repository": build.split()[0],
        "work": build,
        "commit": f"commit of {build}",
        "came": came,
        "began": True,
        "seconds": 90.0,
        "started_at": NOW + timedelta(minutes=minute),
    }
    return Tried(**defaults | fields)
