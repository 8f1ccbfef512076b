"""Signs of life of long-running things, one row a name and machine; nobody else writes `Heartbeat`.

Ages are reckoned by the database's clock, so the clocks of several machines need not agree.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from buildboard.core.machine import is_same_process, machine_id, process_identity
from buildboard.core.models import Heartbeat


@dataclass(frozen=True)
class Beat:
    """The last sign of life: which process gave it, and how many seconds ago."""

    name: str
    machine: str
    pid: int
    process_started: str
    data: dict[str, Any]
    beat_at: datetime
    age_seconds: float

    @property
    def has_process(self) -> bool:
        """Whether the process that gave it still lives; only its own machine can tell."""
        return is_same_process(self.pid, self.process_started)


def beat(name: str, *, data: dict[str, Any] | None = None) -> None:
    """Note that `name` is alive now on this machine, in this process."""
    values = {
        "pid": os.getpid(),
        "process_started": process_identity(os.getpid()),
        "data": data or {},
        "beat_at": Now(),
    }
    rows = Heartbeat.objects.filter(name=name, machine=machine_id())
    if rows.update(**values):
        return
    try:
        with transaction.atomic():
            Heartbeat.objects.create(name=name, machine=machine_id(), **values)
    except IntegrityError:  # another process was faster
        rows.update(**values)


def last_beat(name: str, *, machine: str = "") -> Beat | None:
    """The newest sign of life of `name`, on one machine or on any; None when there never was one."""
    rows = Heartbeat.objects.filter(name=name, **({"machine": machine} if machine else {}))
    age = ExpressionWrapper(Now() - F("beat_at"), output_field=DurationField())
    found = rows.annotate(age=age).order_by("-beat_at").values().first()
    if found is None:
        return None
    return Beat(
        name=name,
        machine=found["machine"],
        pid=found["pid"],
        process_started=found["process_started"],
        data=found["data"],
        beat_at=found["beat_at"],
        age_seconds=found["age"].total_seconds(),
    )


def end_beat(name: str) -> None:
    """Take back this machine's sign of life: it ended by itself, nobody need wait for it to grow old."""
    Heartbeat.objects.filter(name=name, machine=machine_id()).delete()
