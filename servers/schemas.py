"""One JSON shape a noun of the fleet (contract section 3). Credentials are in none of them."""

import base64
import binascii
import hashlib
from typing import Literal
from uuid import UUID

from buildboard.core.schemas import Shown, Timestamp
from servers.models import BuildServer, Toolchain


def fingerprint_of(key_line: str) -> str | None:
    """`SHA256:...` of a public key line, as `ssh-keygen -l` shows it; None when there is no key in it."""
    words = key_line.split()
    try:
        key = base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error):
        return None
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


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


class UtilizationLimits(Shown):
    """Above these a server takes no jobs, 0-100."""

    cpu_percent: int
    memory_percent: int
    storage_percent: int


class ServerShape(Shown):
    """A build server."""

    id: UUID
    name: str
    hostname: str
    ssh_port: int
    ssh_username: str
    public_key: str | None
    host_key: str | None
    host_key_fingerprint: str | None
    jump_host: UUID | None
    transport: Literal["ssh", "local"]
    architectures: list[str]
    max_concurrent_builds: int
    labels: dict[str, str]
    group: str | None
    work_dir: str | None
    enabled: bool
    status: Literal["online", "offline", "degraded", "maintenance", "unknown"]
    status_reason: str | None
    draining: bool
    draining_reason: str | None
    quarantined_until: Timestamp | None
    quarantine_reason: str | None
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
            hostname=server.hostname,
            ssh_port=server.ssh_port,
            ssh_username=server.ssh_username,
            public_key=server.public_key or None,
            host_key=server.host_key or None,
            host_key_fingerprint=fingerprint_of(server.host_key or server.seen_host_key),
            jump_host=server.jump_host_id,
            transport=server.transport,  # type: ignore[arg-type]  # a choice of these words
            architectures=server.architectures,
            max_concurrent_builds=server.max_concurrent_builds,
            labels=server.labels,
            group=server.group or None,
            work_dir=server.work_dir or None,
            enabled=server.enabled,
            status=server.status,  # type: ignore[arg-type]  # a constraint holds it to these words
            status_reason=server.status_reason or None,
            draining=server.draining,
            draining_reason=server.draining_reason or None,
            quarantined_until=server.quarantined_until,
            quarantine_reason=server.quarantine_reason or None,
            unreachable_since=server.unreachable_since,
            toolchains=[ToolchainShape.of(toolchain) for toolchain in server.toolchains.all()],
            active_build_count=active_build_count,
            utilization=Utilization(
                cpu_percent=server.cpu_percent,
                memory_percent=server.memory_percent,
                storage_percent=server.storage_percent,
            ),
            utilization_limits=UtilizationLimits(
                cpu_percent=server.cpu_limit_percent,
                memory_percent=server.memory_limit_percent,
                storage_percent=server.storage_limit_percent,
            ),
            total_cpu_cores=server.total_cpu_cores,
            total_memory_mb=server.total_memory_mb,
            total_storage_gb=server.total_storage_gb,
            last_health_check=server.last_health_check,
            created_at=server.created_at,
            updated_at=server.updated_at,
        )
