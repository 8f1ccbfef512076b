"""The fleet as plain facts, read in a constant number of queries, for the pure functions that choose a server."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from servers.models import BuildServer
from servers.slots import count_held_slots
from servers.states import ServerStatus, TransportKind


@dataclass(frozen=True)
class ToolchainFacts:
    """One toolchain that a probe found; an empty target architecture is the server's own."""

    name: str
    version: str = ""
    target_architecture: str = ""


@dataclass(frozen=True)
class ServerFacts:
    """What is known of one server now. Percentages are 0-100; None: not measured."""

    id: UUID
    name: str
    enabled: bool = True
    status: str = ServerStatus.ONLINE
    status_reason: str = ""
    followed: bool = True
    pinned: bool = True
    draining: bool = False
    draining_reason: str = ""
    quarantined_until: datetime | None = None
    architectures: frozenset[str] = frozenset()
    toolchains: tuple[ToolchainFacts, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    group: str = ""
    cores: int | None = None
    memory_mb: int | None = None
    storage_gb: int | None = None
    cpu_percent: float | None = None
    memory_percent: float | None = None
    storage_percent: float | None = None
    cpu_limit_percent: int = 85
    memory_limit_percent: int = 85
    storage_limit_percent: int = 85
    slots: int = 4
    held: int = 0

    @property
    def free_slots(self) -> int:
        """Room for that many more builds."""
        return max(0, self.slots - self.held)


def load_fleet() -> list[ServerFacts]:
    """Every server by name, with its slots, toolchains and whether a runner follows it."""
    held = count_held_slots()
    now = timezone.now()
    servers = BuildServer.objects.select_related("lease").prefetch_related("toolchains").order_by("name")
    return [_facts(server, held=held.get(server.pk, 0), now=now) for server in servers]


def _facts(server: BuildServer, *, held: int, now: datetime) -> ServerFacts:
    lease = getattr(server, "lease", None)
    return ServerFacts(
        id=server.pk,
        name=server.name,
        enabled=server.enabled,
        status=server.status,
        status_reason=server.status_reason,
        followed=lease is not None and lease.until is not None and lease.until > now,
        pinned=server.transport == TransportKind.LOCAL or bool(server.host_key),
        draining=server.draining,
        draining_reason=server.draining_reason,
        quarantined_until=server.quarantined_until,
        architectures=frozenset(server.architectures),
        toolchains=tuple(
            ToolchainFacts(tool.name, tool.version, tool.target_architecture)
            for tool in server.toolchains.all()
        ),
        labels={str(key): str(value) for key, value in server.labels.items()},
        group=server.group,
        cores=server.total_cpu_cores,
        memory_mb=server.total_memory_mb,
        storage_gb=server.total_storage_gb,
        cpu_percent=server.cpu_percent,
        memory_percent=server.memory_percent,
        storage_percent=server.storage_percent,
        cpu_limit_percent=server.cpu_limit_percent,
        memory_limit_percent=server.memory_limit_percent,
        storage_limit_percent=server.storage_limit_percent,
        slots=server.max_concurrent_builds,
        held=held,
    )
