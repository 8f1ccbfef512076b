"""One JSON shape a noun of the fleet (contract section 3). Credentials are in none of them."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from buildboard.core.schemas import Shown, Timestamp
from servers.models import BuildServer, ServerCheck, Toolchain


class ToolchainShape(Shown):
    """A compiler or tool that a probe found."""

    name: str
    version: str
    target_architecture: str
    path: str

    @classmethod
    def of(cls, toolchain: Toolchain) -> "ToolchainShape":
        """The shape of a toolchain."""
        return cls(
            name=toolchain.name,
            version=toolchain.version,
            target_architecture=toolchain.target_architecture,
            path=toolchain.path,
        )


class Utilization(Shown):
    """Load as last measured, 0-100; null: not measured."""

    cpu_percent: float | None
    memory_percent: float | None
    storage_percent: float | None

    @classmethod
    def of(cls, server: BuildServer) -> "Utilization":
        """As last measured."""
        return cls(
            cpu_percent=server.cpu_percent,
            memory_percent=server.memory_percent,
            storage_percent=server.storage_percent,
        )


class UtilizationLimits(Shown):
    """Above these a server takes no jobs, 0-100."""

    cpu_percent: int
    memory_percent: int
    storage_percent: int

    @classmethod
    def of(cls, server: BuildServer) -> "UtilizationLimits":
        """As they are set."""
        return cls(
            cpu_percent=server.cpu_limit_percent,
            memory_percent=server.memory_limit_percent,
            storage_percent=server.storage_limit_percent,
        )


class ServerShape(Shown):
    """A build server."""

    id: UUID
    name: str
    hostname: str
    ssh_port: int
    ssh_username: str
    public_key: str | None
    host_key: str | None
    host_key_fingerprint: Annotated[
        str | None, Field(description="Of the pinned key; while none is pinned, of the one that was seen.")
    ]
    seen_host_key: Annotated[
        str | None, Field(description="A key that it showed and that waits to be accepted.")
    ]
    seen_host_key_fingerprint: str | None
    key_generated: Annotated[bool, Field(description="The board made the key pair.")]
    jump_host: UUID | None
    transport: Literal["ssh", "local"]
    architectures: list[str]
    max_concurrent_builds: int
    labels: dict[str, str]
    group: str | None
    work_dir: str | None
    environment: dict[str, str]
    enabled: bool
    status: Literal["online", "offline", "degraded", "maintenance", "unknown"]
    status_reason: str | None
    status_changed_at: Timestamp
    status_changed_by: Annotated[str | None, Field(description="Who did it; null: the board.")]
    maintenance_until: Timestamp | None
    draining: bool
    draining_reason: str | None
    draining_since: Timestamp | None
    draining_until: Timestamp | None
    draining_by: str | None
    removal_requested_at: Timestamp | None
    removal_requested_by: str | None
    removal_reason: str | None
    quarantined_since: Annotated[Timestamp | None, Field(description="Set: it is in quarantine.")]
    quarantined_until: Annotated[
        Timestamp | None, Field(description="From then on it gets one build; null: until somebody ends it.")
    ]
    quarantine_kind: Literal["fault", "hand", "host_key"] | None
    quarantine_reason: str | None
    quarantined_by: Annotated[str | None, Field(description="Who did it; null: the board.")]
    canary_attempt_id: Annotated[
        UUID | None, Field(description="The one build that it is tried with before it is back in service.")
    ]
    unreachable_since: Timestamp | None
    toolchains: list[ToolchainShape]
    active_build_count: int
    utilization: Utilization
    utilization_limits: UtilizationLimits
    total_cpu_cores: int | None
    total_memory_mb: int | None
    total_storage_gb: int | None
    last_health_check: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, server: BuildServer, *, active_build_count: int) -> "ServerShape":
        """The shape of a server; fetch it with `prefetch_related("toolchains")`."""
        return cls(
            id=server.pk,
            name=server.name,
            **_way_of(server),
            architectures=server.architectures,
            max_concurrent_builds=server.max_concurrent_builds,
            labels=server.labels,
            group=server.group or None,
            work_dir=server.work_dir or None,
            environment=server.environment,
            **_state_of(server),
            toolchains=[ToolchainShape.of(toolchain) for toolchain in server.toolchains.all()],
            active_build_count=active_build_count,
            utilization=Utilization.of(server),
            utilization_limits=UtilizationLimits.of(server),
            total_cpu_cores=server.total_cpu_cores,
            total_memory_mb=server.total_memory_mb,
            total_storage_gb=server.total_storage_gb,
            last_health_check=server.last_health_check,
            created_at=server.created_at,
            updated_at=server.updated_at,
        )


def _way_of(server: BuildServer) -> dict[str, Any]:
    """How it is reached, and who answers there."""
    return {
        "transport": server.transport,
        "hostname": server.hostname,
        "ssh_port": server.ssh_port,
        "ssh_username": server.ssh_username,
        "jump_host": server.jump_host_id,
        "public_key": server.public_key or None,
        "key_generated": server.key_generated,
        "host_key": server.host_key or None,
        "host_key_fingerprint": server.host_key_fingerprint or server.seen_host_key_fingerprint,
        "seen_host_key": server.seen_host_key or None,
        "seen_host_key_fingerprint": server.seen_host_key_fingerprint,
    }


def _state_of(server: BuildServer) -> dict[str, Any]:
    """Whether it is in service, and what keeps it out, since when and by whom."""
    return {
        "enabled": server.enabled,
        "status": server.status,
        "status_reason": server.status_reason or None,
        "status_changed_at": server.status_changed_at,
        "status_changed_by": server.status_changed_by or None,
        "unreachable_since": server.unreachable_since,
        "maintenance_until": server.maintenance_until,
        "draining": server.draining,
        "draining_reason": server.draining_reason or None,
        "draining_since": server.draining_since,
        "draining_until": server.draining_until,
        "draining_by": server.draining_by or None,
        "removal_requested_at": server.removal_requested_at,
        "removal_requested_by": server.removal_requested_by or None,
        "removal_reason": server.removal_reason or None,
        "quarantined_since": server.quarantined_since,
        "quarantined_until": server.quarantined_until,
        "quarantine_kind": server.quarantine_kind or None,
        "quarantine_reason": server.quarantine_reason or None,
        "quarantined_by": server.quarantined_by or None,
        "canary_attempt_id": server.canary_id,
    }


class ChangedServerShape(ServerShape):
    """A build server after a change, and the test of its connection that this led to."""

    check_id: Annotated[
        UUID | None,
        Field(
            description="A check that goes on now: read it at `/{server_id}/checks/{check_id}`. Null: none does."
        ),
    ]

    @classmethod
    def after(
        cls, server: BuildServer, *, active_build_count: int, check_id: UUID | None
    ) -> "ChangedServerShape":
        """The shape of a server that was added or changed just now."""
        shape = ServerShape.of(server, active_build_count=active_build_count)
        return cls(**dict(shape), check_id=check_id)


class CapacityShape(Shown):
    """How much more a server can take now."""

    server_id: UUID
    name: str
    status: Literal["online", "offline", "degraded", "maintenance", "unknown"]
    max_concurrent_builds: int
    active_build_count: int
    available_slots: int
    utilization: Utilization
    utilization_limits: UtilizationLimits
    total_cpu_cores: int | None
    total_memory_mb: int | None
    total_storage_gb: int | None
    last_health_check: Timestamp | None

    @classmethod
    def of(cls, server: BuildServer, *, active_build_count: int) -> "CapacityShape":
        """The capacity of a server, as last measured."""
        return cls(
            server_id=server.pk,
            name=server.name,
            status=server.status,  # type: ignore[arg-type]  # a constraint holds it to these words
            max_concurrent_builds=server.max_concurrent_builds,
            active_build_count=active_build_count,
            available_slots=max(0, server.max_concurrent_builds - active_build_count),
            utilization=Utilization.of(server),
            utilization_limits=UtilizationLimits.of(server),
            total_cpu_cores=server.total_cpu_cores,
            total_memory_mb=server.total_memory_mb,
            total_storage_gb=server.total_storage_gb,
            last_health_check=server.last_health_check,
        )


class RemovalShape(Shown):
    """What removing a server would do."""

    active_build_count: Annotated[int, Field(description="Builds there, which it cancels.")]
    stranded_job_count: Annotated[int, Field(description="Queued jobs that no other server fits.")]
    stranded_jobs: Annotated[list[UUID], Field(description="The first of them.")]
    reached_through_it: Annotated[list[str], Field(description="Servers whose jump host it is: refused.")]


class StepShape(Shown):
    """One step on the way to a server. `ok` is null while it is not known."""

    name: Literal["reach", "host_key", "login", "shell", "git", "work_dir", "disk", "tools"]
    ok: bool | None
    seen: Annotated[str, Field(description="What the board saw.")]
    advice: Annotated[str, Field(description="What to do, if something.")]
    milliseconds: int | None


class CheckShape(Shown):
    """A check of a server; a runner writes its steps as they come."""

    id: UUID
    server_id: UUID
    requested_by: str | None
    requested_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    ok: Annotated[bool | None, Field(description="Null until it is finished.")]
    steps: list[StepShape]

    @classmethod
    def of(cls, check: ServerCheck) -> "CheckShape":
        """The shape of a check."""
        return cls(
            id=check.pk,
            server_id=check.server_id,
            requested_by=check.requested_by or None,
            requested_at=check.requested_at,
            started_at=check.started_at,
            finished_at=check.finished_at,
            ok=check.ok,
            steps=[StepShape(**step) for step in check.steps],
        )
