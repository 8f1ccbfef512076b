"""The fleet as plain facts, read in a constant number of queries, for the pure functions that choose a server."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from servers.models import BuildServer, ServerLease, Toolchain
from servers.slots import count_held_slots
from servers.states import QuarantineStage, ServerStatus, TransportKind, quarantine_stage


@dataclass(frozen=True)
class ToolchainFacts:
    """One toolchain that a probe found; an empty target architecture is the server's own.

    `program` is the last part of its path, such as `aarch64-linux-gnu-gcc-12`.
    """

    name: str
    version: str = ""
    target_architecture: str = ""
    program: str = ""


Tools = dict[UUID, list[ToolchainFacts]]


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
    key_changed: bool = False
    draining: bool = False
    draining_reason: str = ""
    quarantined_since: datetime | None = None
    quarantined_until: datetime | None = None
    quarantine_reason: str = ""
    canary_id: UUID | None = None
    starts_refused_until: datetime | None = None
    starts_refused_reason: str = ""
    architectures: frozenset[str] = frozenset()
    toolchains: tuple[ToolchainFacts, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    group: str = ""
    cores: int | None = None
    memory_mb: int | None = None
    storage_gb: int | None = None
    free_storage_mib: int | None = None
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

    @property
    def room(self) -> int:
        """The same of a server that is in service by its row; else none."""
        return self.free_slots if self.enabled and not self.draining and self.status in TAKING else 0

    @property
    def is_timed(self) -> bool:
        """Whether time alone may change what it takes."""
        return not (
            self.quarantined_since is None
            and self.quarantined_until is None
            and self.starts_refused_until is None
        )

    def quarantine_at(self, now: datetime) -> QuarantineStage:
        """How far its quarantine is."""
        return quarantine_stage(
            since=self.quarantined_since, until=self.quarantined_until, canary_id=self.canary_id, now=now
        )

    def with_one_more(self, holder: UUID) -> Self:
        """The same with one more build, which in quarantine is its canary."""
        canary = holder if self.quarantined_since is not None else None
        return replace(self, held=self.held + 1, canary_id=canary)

    @property
    def free_storage_gb(self) -> int | None:
        """Storage that a build can still fill, as the last probe saw it; None: not measured."""
        if self.free_storage_mib is not None:
            return self.free_storage_mib // 1024
        if self.storage_gb is None or self.storage_percent is None:
            return None
        return int(self.storage_gb * (100 - min(100.0, self.storage_percent)) / 100)


TAKING = frozenset({ServerStatus.ONLINE, ServerStatus.DEGRADED})
# Nothing decides by them, and they may be long.
_NOT_FACTS = ("facts", "private_key", "public_key", "host_key", "seen_host_key")


def takes_jobs(server: BuildServer) -> bool:
    """Whether the server is in service by its row: a last look at what may have changed since the fleet was read."""
    now = timezone.now()
    return (
        server.enabled
        and server.status in TAKING
        and server.is_trusted
        and not server.draining
        and server.quarantine_at(now) in {QuarantineStage.NONE, QuarantineStage.CANARY_DUE}
        and not (server.starts_refused_until and server.starts_refused_until > now)
    )


def load_fleet(*, tools: Tools | None = None) -> list[ServerFacts]:
    """Every server by name, with its slots, toolchains and whether a runner follows it. Three queries.

    `tools`, if given, are the toolchains as they were read a moment ago: two queries.
    """
    held = count_held_slots()
    live = ServerLease.objects.filter(server=OuterRef("pk"), until__gt=Now())
    servers = (
        BuildServer.objects.defer(*_NOT_FACTS)
        .annotate(
            is_followed=Exists(live),
            has_known_key=~Q(host_key="") & Q(seen_host_key=""),
            has_other_key=~Q(host_key="") & ~Q(seen_host_key=""),
        )
        .order_by("name")
    )
    tools = read_toolchains() if tools is None else tools
    return [_facts(server, held=held.get(server.pk, 0), tools=tools.get(server.pk, [])) for server in servers]


def read_toolchains() -> Tools:
    """By server. Plain rows: there are dozens of each server's, and every look at the queue reads them."""
    rows = Toolchain.objects.order_by("name", "version")
    found: dict[UUID, list[ToolchainFacts]] = {}
    for server_id, name, version, target, path in rows.values_list(
        "server_id", "name", "version", "target_architecture", "path"
    ):
        tool = ToolchainFacts(name, version, target, path.rpartition("/")[2])
        found.setdefault(server_id, []).append(tool)
    return found


def _facts(server: BuildServer, *, held: int, tools: Sequence[ToolchainFacts]) -> ServerFacts:
    annotated: Any = server
    return ServerFacts(
        id=server.pk,
        name=server.name,
        enabled=server.enabled,
        status=server.status,
        status_reason=server.status_reason,
        followed=annotated.is_followed,
        pinned=server.transport == TransportKind.LOCAL or annotated.has_known_key,
        key_changed=annotated.has_other_key,
        draining=server.draining,
        draining_reason=server.draining_reason,
        quarantined_since=server.quarantined_since,
        quarantined_until=server.quarantined_until,
        quarantine_reason=server.quarantine_reason,
        canary_id=server.canary_id,
        starts_refused_until=server.starts_refused_until,
        starts_refused_reason=server.starts_refused_reason,
        architectures=frozenset(server.architectures),
        toolchains=tuple(tools),
        labels={str(key): str(value) for key, value in server.labels.items()},
        group=server.group,
        cores=server.total_cpu_cores,
        memory_mb=server.total_memory_mb,
        storage_gb=server.total_storage_gb,
        free_storage_mib=server.free_storage_mib,
        cpu_percent=server.cpu_percent,
        memory_percent=server.memory_percent,
        storage_percent=server.storage_percent,
        cpu_limit_percent=server.cpu_limit_percent,
        memory_limit_percent=server.memory_limit_percent,
        storage_limit_percent=server.storage_limit_percent,
        slots=server.max_concurrent_builds,
        held=held,
    )
