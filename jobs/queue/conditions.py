"""What a server must meet to take a job: each condition a pure function of facts that answers in a sentence.

A refusal's detail goes on behind the server's name: `arm-1 needs ...`. Nothing is read or written here, and
which of the able servers takes the job is choice.py's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain

from jobs.needs import Needs
from jobs.queue.toolchains import judge_tools
from servers.fleet import ServerFacts
from servers.states import QuarantineStage, ServerStatus

CPU_PATIENCE_SECONDS = 60
CANARY_PATIENCE = timedelta(hours=1)
DISK_FLOOR_MIB = 256  # a build is not started, and is ended, where less is free
_GB = 1024
_READS_AS_GB = 10 * _GB


class Kind(StrEnum):
    """What a refusal means: never as things are, not now because the server is away, or just busy."""

    IMPOSSIBLE = "impossible"
    OFFLINE = "offline"
    BUSY = "busy"

    @property
    def distance(self) -> int:
        """How far from the job a server is that refuses it so: 0 for a busy one, the nearest."""
        return _NEAREST_FIRST.index(self)


_NEAREST_FIRST = (Kind.BUSY, Kind.OFFLINE, Kind.IMPOSSIBLE)


class Condition(StrEnum):
    """What a server must meet; the value names the one that it does not."""

    PROVIDER = "provider"
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
    UNMEASURED = "unmeasured"
    DRAINING = "draining"
    QUARANTINED = "quarantined"
    CANARY = "canary"
    NOT_FOLLOWED = "not_followed"
    STARTS_REFUSED = "starts_refused"
    DISK_FLOOR = "disk_floor"
    FREE_STORAGE = "free_storage"
    MEMORY_LIMIT = "memory_limit"
    STORAGE_LIMIT = "storage_limit"
    CPU_LIMIT = "cpu_limit"
    FULL = "full"


_IMPOSSIBLE = {
    Condition.PROVIDER,
    Condition.OTHER_SERVER,
    Condition.ARCHITECTURE,
    Condition.TOOLCHAIN,
    Condition.LABELS,
    Condition.GROUP,
    Condition.CORES,
    Condition.MEMORY,
    Condition.STORAGE,
}
_BUSY = {
    Condition.CANARY,
    Condition.FREE_STORAGE,
    Condition.MEMORY_LIMIT,
    Condition.STORAGE_LIMIT,
    Condition.CPU_LIMIT,
    Condition.FULL,
}


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


def judge(server: ServerFacts, *, needs: Needs, now: datetime, waited_seconds: float = 0) -> list[Refused]:
    """Every condition that the server does not meet; none: it can take the job now."""
    return [
        *_judge_fit(server, needs),
        *_judge_size(server, needs),
        *_judge_state(server, needs, now),
        *_judge_room(server, needs, waited_seconds),
    ]


def fits(server: ServerFacts, *, needs: Needs) -> bool:
    """Whether it could take the job at some time, as it is: nothing that is impossible stands against it."""
    refused = chain(_judge_fit(server, needs), _judge_size(server, needs))
    return all(one.kind is not Kind.IMPOSSIBLE for one in refused)


def is_over_cpu_limit(server: ServerFacts) -> bool:
    """Whether it is passed over while another may come free."""
    return (server.cpu_percent or 0) > server.cpu_limit_percent


def memory_text(megabytes: int) -> str:
    """`64 GB`, `31.3 GB`, `512 MB`."""
    if megabytes < _READS_AS_GB and megabytes % _GB:
        return f"{megabytes} MB"
    return f"{megabytes / _GB:.1f}".removesuffix(".0") + " GB"


# ---- what the server is -----------------------------------------------------------------------------------
def _judge_fit(server: ServerFacts, needs: Needs) -> Iterator[Refused]:
    is_named = needs.names(server)
    if needs.server and not (is_named or needs.fallback):
        yield Refused(Condition.OTHER_SERVER, "is not the server that the job names")
    architecture, toolchain = judge_tools(
        server,
        architecture=needs.architecture,
        toolchain=needs.toolchain,
        crosses=needs.crosses or is_named,
    )
    if architecture:
        yield Refused(Condition.ARCHITECTURE, architecture)
    if toolchain:
        yield Refused(Condition.TOOLCHAIN, toolchain)
    missing = [f"{key}={value}" for key, value in needs.labels if server.labels.get(key) != value]
    if missing:
        yield Refused(
            Condition.LABELS, f"lacks the label{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        )
    if needs.group and needs.group != server.group:
        has = f"is in the group {server.group}" if server.group else "is in no group"
        yield Refused(Condition.GROUP, f"{has}, not in {needs.group}")


def _judge_size(server: ServerFacts, needs: Needs) -> Iterator[Refused]:
    """Sizes are totals. What is not measured yet is neither enough nor too little: a probe will tell."""
    unknown = []
    if needs.cores and server.cores is None:
        unknown.append("number of cores")
    elif needs.cores > (server.cores or 0):
        yield Refused(Condition.CORES, f"has {_cores(server.cores or 0)}, the job needs {needs.cores}")
    if needs.memory_mb and server.memory_mb is None:
        unknown.append("memory")
    elif needs.memory_mb > (server.memory_mb or 0):
        has, wanted = _two_sizes(server.memory_mb or 0, needs.memory_mb)
        yield Refused(Condition.MEMORY, f"has {has} of memory, the job needs {wanted}")
    if server.storage_gb is not None and needs.storage_gb > server.storage_gb:
        yield Refused(
            Condition.STORAGE,
            f"has {server.storage_gb} GB of storage, the job needs {needs.storage_gb} GB free",
        )
    elif needs.storage_gb and server.free_storage_gb is None:
        unknown.append("storage")
    if unknown:
        yield Refused(Condition.UNMEASURED, f"has not told its {' and '.join(unknown)} yet")


def _two_sizes(has: int, wanted: int) -> tuple[str, str]:
    texts = memory_text(has), memory_text(wanted)
    return texts if texts[0] != texts[1] else (f"{has} MB", f"{wanted} MB")


def _cores(count: int) -> str:
    return f"{count} core{'' if count == 1 else 's'}"


# ---- whether it is in service -----------------------------------------------------------------------------
def _judge_state(server: ServerFacts, needs: Needs, now: datetime) -> Iterator[Refused]:
    if not server.enabled:
        yield Refused(Condition.DISABLED, "is switched off")
    if not server.pinned:
        changed = "shows another host key than the pinned one"
        new = "has a host key that no operator has accepted yet"
        yield Refused(Condition.UNPINNED, changed if server.key_changed else new)
    if server.status == ServerStatus.MAINTENANCE:
        yield Refused(Condition.MAINTENANCE, f"is in maintenance{_why(server.status_reason)}")
    elif server.status == ServerStatus.OFFLINE:
        why = _why(server.status_reason) if server.pinned else ""  # else its key says it all
        yield Refused(Condition.OFFLINE, f"is offline{why}")
    elif server.status == ServerStatus.UNKNOWN:
        yield Refused(Condition.UNKNOWN, "was not reached yet")
    if server.draining:
        yield Refused(Condition.DRAINING, f"is draining{_why(server.draining_reason)}")
    yield from _judge_quarantine(server, needs, now)
    if not server.followed:
        yield Refused(Condition.NOT_FOLLOWED, "has no runner that looks after it now")
    if server.starts_refused_until and server.starts_refused_until > now:
        until = f"{server.starts_refused_until:%H:%M:%S} UTC"
        yield Refused(
            Condition.STARTS_REFUSED, f"is not asked until {until}{_why(server.starts_refused_reason)}"
        )


def _judge_quarantine(server: ServerFacts, needs: Needs, now: datetime) -> Iterator[Refused]:
    """A job that may be tried only once is no canary, for as long as another one may come."""
    stage, why = server.quarantine_at(now), _why(server.quarantine_reason)
    if stage is QuarantineStage.CANARY_RUNS:
        yield Refused(Condition.CANARY, f"comes out of quarantine through one build, which runs now{why}")
    elif stage is QuarantineStage.CANARY_DUE and needs.once and not _waits_long(server, now):
        told = "comes out of quarantine through one build, and not one that may be tried only once"
        yield Refused(Condition.CANARY, f"{told}{why}")
    elif stage is QuarantineStage.HELD and server.pinned:  # else its key says it all
        end = f"{server.quarantined_until:%H:%M} UTC" if server.quarantined_until else "somebody ends it"
        yield Refused(Condition.QUARANTINED, f"is in quarantine until {end}{why}")


def _waits_long(server: ServerFacts, now: datetime) -> bool:
    """Whether no canary came for so long that whatever waits for this server alone may be what is left."""
    return server.quarantined_until is not None and now - server.quarantined_until > CANARY_PATIENCE


def _why(reason: str) -> str:
    return f": {reason.rstrip('.')}" if reason else ""


# ---- whether it has room ----------------------------------------------------------------------------------
def _judge_room(server: ServerFacts, needs: Needs, waited_seconds: float) -> Iterator[Refused]:
    """Limits are of what is measured: a server that cannot tell how much is in use is bounded by its slots."""
    free_mib, free = server.free_storage_mib, server.free_storage_gb
    if free_mib is not None and free_mib < DISK_FLOOR_MIB:
        floor = f"has only {free_mib} MiB free of the {DISK_FLOOR_MIB} MiB that a build needs"
        yield Refused(Condition.DISK_FLOOR, floor)
    if free is not None and free < needs.storage_gb <= (server.storage_gb or needs.storage_gb):
        yield Refused(
            Condition.FREE_STORAGE, f"has {free} GB of storage free, the job needs {needs.storage_gb} GB"
        )
    for condition, what, percent, limit in (
        (Condition.MEMORY_LIMIT, "memory", server.memory_percent, server.memory_limit_percent),
        (Condition.STORAGE_LIMIT, "storage", server.storage_percent, server.storage_limit_percent),
    ):
        if (percent or 0) > limit:
            yield Refused(condition, _over(what, percent, limit))
    if is_over_cpu_limit(server) and waited_seconds < CPU_PATIENCE_SECONDS:
        detail = _over("CPU", server.cpu_percent, server.cpu_limit_percent)
        yield Refused(Condition.CPU_LIMIT, detail, hard=False)
    if not server.free_slots:
        taken = "its only slot is" if server.slots == 1 else f"all {server.slots} slots are"
        yield Refused(Condition.FULL, f"is full: {taken} taken")


def _over(what: str, percent: float | None, limit: int) -> str:
    return f"uses {percent or 0:.0f}% of its {what}, over its limit of {limit}%"
