"""Which server takes a job: pure functions of facts. Refusals are data; nothing is read or written here."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from servers.fleet import ServerFacts
from servers.states import ServerStatus


class Kind(StrEnum):
    """What a refusal means: never as things are, not now because the server is away, or just busy."""

    IMPOSSIBLE = "impossible"
    OFFLINE = "offline"
    BUSY = "busy"


class Condition(StrEnum):
    """What a server must meet; the value names the one that it does not."""

    OTHER_SERVER = "other_server"
    ARCHITECTURE = "architecture"
    TOOLCHAIN = "toolchain"
    LABELS = "labels"
    GROUP = "group"
    CORES = "cores"
    MEMORY = "memory"
    STORAGE = "storage"
    DISABLED = "disabled"
    UNPINNED = "unpinned"
    MAINTENANCE = "maintenance"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    DRAINING = "draining"
    QUARANTINED = "quarantined"
    NOT_FOLLOWED = "not_followed"
    MEMORY_LIMIT = "memory_limit"
    STORAGE_LIMIT = "storage_limit"
    CPU_LIMIT = "cpu_limit"
    FULL = "full"


_IMPOSSIBLE = {
    Condition.OTHER_SERVER,
    Condition.ARCHITECTURE,
    Condition.TOOLCHAIN,
    Condition.LABELS,
    Condition.GROUP,
    Condition.CORES,
    Condition.MEMORY,
    Condition.STORAGE,
}
_BUSY = {Condition.MEMORY_LIMIT, Condition.STORAGE_LIMIT, Condition.CPU_LIMIT, Condition.FULL}
CPU_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Refused:
    """One condition that one server does not meet. A soft one may be passed over after a while."""

    condition: Condition
    detail: str
    hard: bool = True

    @property
    def kind(self) -> Kind:
        """Impossible, offline or busy."""
        if self.condition in _IMPOSSIBLE:
            return Kind.IMPOSSIBLE
        return Kind.BUSY if self.condition in _BUSY else Kind.OFFLINE


@dataclass(frozen=True)
class Needs:
    """What a job asks of a server. Jobs with equal needs are of one class."""

    architecture: str
    toolchain: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    group: str = ""
    server_id: str = ""
    cores: int = 0
    memory_mb: int = 0
    storage_gb: int = 0


@dataclass(frozen=True)
class Choice:
    """The servers that can take the job now, best first, and why each other one does not."""

    able: list[ServerFacts] = field(default_factory=list)
    refusals: list[tuple[ServerFacts, Refused]] = field(default_factory=list)


def judge(server: ServerFacts, *, needs: Needs, now: datetime, waited_seconds: float = 0) -> list[Refused]:
    """Every condition that the server does not meet; none: it can take the job now."""
    return [*_judge_fit(server, needs), *_judge_state(server, now), *_judge_load(server, waited_seconds)]


def choose(
    servers: Iterable[ServerFacts], *, needs: Needs, now: datetime, waited_seconds: float = 0
) -> Choice:
    """Judge every server; the able ones are ordered by load (share of slots held), then free slots, then name."""
    able: list[ServerFacts] = []
    patient: list[ServerFacts] = []
    refusals: list[tuple[ServerFacts, Refused]] = []
    others_busy = False
    for server in servers:
        refused = judge(server, needs=needs, now=now, waited_seconds=waited_seconds)
        if not refused:
            able.append(server)
        elif all(not one.hard for one in refused):
            patient.append(server)
        elif all(one.kind is Kind.BUSY for one in refused):
            others_busy = True
        refusals.extend((server, one) for one in refused)
    if not able and not others_busy:
        # Over its CPU limit a server is passed over only while another may come free: here none will.
        able, refusals = patient, [pair for pair in refusals if pair[0] not in patient]
    able.sort(key=lambda server: (server.held / max(1, server.slots), -server.free_slots, server.name))
    return Choice(able=able, refusals=refusals)


def _judge_fit(server: ServerFacts, needs: Needs) -> list[Refused]:
    refused = []
    if needs.server_id and needs.server_id != str(server.id):
        refused.append(Refused(Condition.OTHER_SERVER, "the job names another server"))
    if needs.architecture not in server.architectures and not _has_cross(server, needs):
        has = ", ".join(sorted(server.architectures)) or "none"
        refused.append(Refused(Condition.ARCHITECTURE, f"builds {has}, not {needs.architecture}"))
    if needs.toolchain and not _has_toolchain(server, needs):
        refused.append(Refused(Condition.TOOLCHAIN, f"has no {needs.toolchain} for {needs.architecture}"))
    missing = [f"{key}={value}" for key, value in needs.labels if server.labels.get(key) != value]
    if missing:
        refused.append(Refused(Condition.LABELS, f"lacks the label {', '.join(missing)}"))
    if needs.group and needs.group != server.group:
        refused.append(Refused(Condition.GROUP, f"is not in the group {needs.group}"))
    for condition, wanted, has_now, unit in (
        (Condition.CORES, needs.cores, server.cores, "cores"),
        (Condition.MEMORY, needs.memory_mb, server.memory_mb, "MB of memory"),
        (Condition.STORAGE, needs.storage_gb, server.storage_gb, "GB of storage"),
    ):
        if wanted and (has_now or 0) < wanted:
            known = f"has {has_now} {unit}" if has_now else f"its {unit} are not known yet"
            refused.append(Refused(condition, f"{known}, {wanted} are needed"))
    return refused


def _judge_state(server: ServerFacts, now: datetime) -> list[Refused]:
    refused = []
    if not server.enabled:
        refused.append(Refused(Condition.DISABLED, "is switched off"))
    if not server.pinned:
        refused.append(Refused(Condition.UNPINNED, "its host key is not accepted yet"))
    why = f": {server.status_reason}" if server.status_reason else ""
    if server.status == ServerStatus.MAINTENANCE:
        refused.append(Refused(Condition.MAINTENANCE, f"is in maintenance{why}"))
    elif server.status == ServerStatus.OFFLINE:
        refused.append(Refused(Condition.OFFLINE, f"is offline{why}"))
    elif server.status == ServerStatus.UNKNOWN:
        refused.append(Refused(Condition.UNKNOWN, "was not reached yet"))
    if server.draining:
        refused.append(Refused(Condition.DRAINING, "is draining"))
    if server.quarantined_until and server.quarantined_until > now:
        refused.append(
            Refused(Condition.QUARANTINED, f"is in quarantine until {server.quarantined_until:%H:%M} UTC")
        )
    if not server.followed:
        refused.append(Refused(Condition.NOT_FOLLOWED, "no runner looks after it now"))
    return refused


def _judge_load(server: ServerFacts, waited_seconds: float) -> list[Refused]:
    refused = []
    if not server.free_slots:
        refused.append(Refused(Condition.FULL, f"all {server.slots} slots are taken"))
    if (server.memory_percent or 0) > server.memory_limit_percent:
        refused.append(
            Refused(
                Condition.MEMORY_LIMIT, _over("memory", server.memory_percent, server.memory_limit_percent)
            )
        )
    if (server.storage_percent or 0) > server.storage_limit_percent:
        refused.append(
            Refused(
                Condition.STORAGE_LIMIT,
                _over("storage", server.storage_percent, server.storage_limit_percent),
            )
        )
    if (server.cpu_percent or 0) > server.cpu_limit_percent and waited_seconds < CPU_PATIENCE_SECONDS:
        refused.append(
            Refused(
                Condition.CPU_LIMIT, _over("CPU", server.cpu_percent, server.cpu_limit_percent), hard=False
            )
        )
    return refused


def _over(what: str, percent: float | None, limit: int) -> str:
    return f"{what} is at {percent or 0:.0f} %, its limit is {limit} %"


def _has_cross(server: ServerFacts, needs: Needs) -> bool:
    return any(tool.target_architecture == needs.architecture for tool in server.toolchains)


def _has_toolchain(server: ServerFacts, needs: Needs) -> bool:
    name, _, version = needs.toolchain.partition("-")
    native = needs.architecture in server.architectures
    return any(
        (
            tool.name == needs.toolchain
            or (tool.name == name and (not version or _fits(tool.version, version)))
        )
        and (tool.target_architecture == needs.architecture or (native and not tool.target_architecture))
        for tool in server.toolchains
    )


def _fits(version: str, wanted: str) -> bool:
    return version == wanted or version.startswith(f"{wanted}.")
