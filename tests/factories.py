"""Plain factories: rows in a wanted state, written directly, without the domain calls that lead there."""

import itertools
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from buildboard.core.models import User
from buildboard.core.permissions import Role
from jobs.models import Attempt, BuildJob
from jobs.states import ATTEMPT_TERMINAL, JOB_TERMINAL, AttemptStatus, JobStatus, Phase
from servers.leases import acquire_lease
from servers.models import BuildServer
from servers.slots import fit_slots
from servers.states import ServerStatus, TransportKind

_numbers = itertools.count(1)


def make_user(role: str = Role.VIEWER, **fields: Any) -> User:
    """A person with a role and the password `fields["password"]` (none: cannot sign in by form)."""
    username = fields.pop("username", None) or f"{role}-{next(_numbers)}"
    user = User.objects.create_user(username, password=fields.pop("password", None), role=role)
    for name, value in fields.items():
        setattr(user, name, value)
    user.save(update_fields=list(fields) or None)
    return user


def make_server(name: str | None = None, **fields: Any) -> BuildServer:
    """An online server over the local transport, for x86_64, with its slots."""
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "transport": TransportKind.LOCAL,
        "machine_id": f"machine-{number}",
        "architectures": ["x86_64"],
        "status": ServerStatus.ONLINE,
    }
    server = BuildServer.objects.create(name=name or f"server-{number}", **defaults | fields)
    fit_slots(server)
    return server


def make_followed(name: str | None = None, *, held: int = 0, **fields: Any) -> BuildServer:
    """A server that a runner looks after, so many of its slots taken by nobody in particular."""
    server = make_server(name, **fields)
    assert acquire_lease(server.pk, runner="runner-1") is not None
    for slot in server.slots.all()[:held]:
        server.slots.filter(pk=slot.pk).update(holder=uuid.uuid4())
    return server


def make_job(status: str = JobStatus.QUEUED, **fields: Any) -> BuildJob:
    """A job in any state; a finished one has its end."""
    defaults: dict[str, Any] = {
        "source_repository": "https://git.example/demo.git",
        "target_architecture": "x86_64",
        "status": status,
    }
    if status in JOB_TERMINAL:
        defaults["completed_at"] = timezone.now()
    return BuildJob.objects.create(**defaults | fields)


def make_built(seconds: float, *, ended_at: datetime | None = None, **fields: Any) -> BuildJob:
    """A job that ran for so long and completed, just now or then."""
    ended = ended_at or timezone.now()
    times = {"created_at": ended, "started_at": ended - timedelta(seconds=seconds), "completed_at": ended}
    return make_job(**{"status": JobStatus.COMPLETED, **times, **fields})


JOB_OF_ATTEMPT = {
    AttemptStatus.CLAIMED: JobStatus.CLAIMED,
    AttemptStatus.RUNNING: JobStatus.RUNNING,
    AttemptStatus.COMPLETED: JobStatus.COMPLETED,
    AttemptStatus.FAILED: JobStatus.FAILED,
    AttemptStatus.CANCELLED: JobStatus.CANCELLED,
    AttemptStatus.LOST: JobStatus.FAILED,
    AttemptStatus.RELEASED: JobStatus.QUEUED,
}


def make_attempt(job: BuildJob | None = None, status: str = AttemptStatus.RUNNING, **fields: Any) -> Attempt:
    """An attempt in any state, the next of `job`; without one, of a new job in the state to go with it."""
    if job is None:
        job = make_job(JOB_OF_ATTEMPT[AttemptStatus(status)])
    claimed = status == AttemptStatus.CLAIMED
    defaults: dict[str, Any] = {
        "number": job.attempt_set.count() + 1,
        "status": status,
        "phase": Phase.CONNECTING if claimed else Phase.BUILDING,
        "started_at": None if claimed or status == AttemptStatus.RELEASED else timezone.now(),
        "completed_at": timezone.now() if status in ATTEMPT_TERMINAL else None,
    }
    return Attempt.objects.create(job=job, **defaults | fields)
