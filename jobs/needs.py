"""What jobs ask of a server, read from their columns and submissions. Who meets it is queue/conditions.py's."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from uuid import UUID

from jobs.models import BuildJob
from servers.fleet import ServerFacts

ANY_SERVER = "auto"
_AT_ONCE = 200
# What needs are made of: columns and values inside the submission, without the rest of it, which may be long.
_COLUMNS = ("target_architecture", "required_toolchain", "required_labels", "group", "requested_server")
_IN_SPEC = (
    *("server_id", "min_cpu_cores", "min_memory_mb", "min_storage_gb", "build_command", "build_config"),
    "server_fallback",
)


@dataclass(frozen=True)
class Needs:
    """What a job asks of a server. Jobs with equal needs are of one class.

    `server` is the id or name as the job gave it (empty: any), `server_id` the server that it meant; `fallback`: any
    other will do when that one cannot take it now; `crosses`: it is a kernel build without a command of its own,
    which the board can point at a cross compiler; `once`: it may be tried only once, so it is not risked on a server
    that is on trial.
    """

    architecture: str
    toolchain: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    group: str = ""
    server: str = ""
    server_id: str = ""
    cores: int = 0
    memory_mb: int = 0
    storage_gb: int = 0
    crosses: bool = False
    fallback: bool = False
    once: bool = field(default=False, repr=False)  # not in repr: the keys of all others are older than it

    def names(self, server: ServerFacts) -> bool:
        """Whether it asks for this very server."""
        named = self.server_id or self.server  # without an id the server was removed: one like it may come
        return bool(named) and named in {str(server.id), "" if self.server_id else server.name}


def needs_of(job: BuildJob) -> Needs:
    """What a job asks of a server, from its columns and its frozen submission."""
    columns = [getattr(job, name) for name in (*_COLUMNS[:-1], "requested_server_id")]
    return _needs(*[*columns, *(job.spec.get(name) for name in _IN_SPEC), job.max_attempts])


def read_needs(job_ids: Iterable[UUID]) -> dict[UUID, Needs]:
    """What these jobs ask for; a query for every 200 of them."""
    wanted = list(job_ids)
    fields = ("pk", *_COLUMNS, *(f"spec__{name}" for name in _IN_SPEC), "max_attempts")
    found: dict[UUID, Needs] = {}
    for at in range(0, len(wanted), _AT_ONCE):
        rows = BuildJob.objects.filter(pk__in=wanted[at : at + _AT_ONCE]).order_by()
        found.update({row[0]: _needs(*row[1:]) for row in rows.values_list(*fields)})
    return found


def key_of(needs: Needs) -> str:
    """The same for equal needs: what a job keeps as its `needs_key` when it is submitted."""
    told = f"{needs!r}{' once' if needs.once else ''}"
    return blake2b(told.encode(), digest_size=16).hexdigest()


def _needs(
    architecture: str,
    toolchain: str,
    labels: dict[str, Any],
    group: str,
    requested_server: UUID | None,
    server: str | None,
    cores: int | None,
    memory_mb: int | None,
    storage_gb: int | None,
    command: str | None,
    kernel: dict[str, Any] | None,
    fallback: bool | None,
    max_attempts: int,
) -> Needs:
    """A job whose named server was removed still waits for it: `auto` was not what it said."""
    asked = server if server and server != ANY_SERVER else str(requested_server or "")
    return Needs(
        architecture=architecture,
        toolchain=toolchain,
        labels=tuple(sorted((str(key), str(value)) for key, value in labels.items())),
        group=group,
        server=asked,
        server_id=str(requested_server or ""),
        cores=int(cores or 0),
        memory_mb=int(memory_mb or 0),
        storage_gb=int(storage_gb or 0),
        crosses=kernel is not None and not command,
        fallback=bool(asked and fallback),
        once=max_attempts <= 1,
    )
