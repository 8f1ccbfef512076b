"""What would let a waiting job start: the smallest change, as what goes on behind "it starts when". Pure functions."""

from collections.abc import Callable, Sequence

from jobs.needs import Needs
from jobs.queue.conditions import DISK_FLOOR_MIB, Condition, Kind, Refused, memory_text
from servers.fleet import ServerFacts

Judgement = tuple[ServerFacts, Sequence[Refused]]

_NAMED = 2
_COMPILERS = ("gcc", "clang")  # those before any other tool of a cross toolchain
# A server of another size or kind has to be bought, so to say; everything else can be changed where it is.
_OF_THE_MACHINE = {Condition.ARCHITECTURE, Condition.CORES, Condition.MEMORY, Condition.STORAGE}
_COST_OF_KIND = {Kind.BUSY: 1, Kind.OFFLINE: 10, Kind.IMPOSSIBLE: 100}
_COST = {
    Condition.FREE_STORAGE: 3,
    Condition.MEMORY_LIMIT: 2,
    Condition.STORAGE_LIMIT: 3,
    Condition.OFFLINE: 12,
    Condition.UNKNOWN: 12,
    **dict.fromkeys(_OF_THE_MACHINE, 1000),
    Condition.OTHER_SERVER: 100_000,
}
_COST_OF_REQUIRING = 90  # whoever submitted the job can do it alone, but has to
_REMEDIES: dict[Condition, Callable[[ServerFacts, Needs], str]] = {
    Condition.ARCHITECTURE: lambda server, needs: (
        f"the job is submitted again and requires {_cross_tool(server, needs)}, which {server.name} has for "
        f"{needs.architecture}"
    ),
    Condition.LABELS: lambda server, needs: f"{server.name} gets {_labels(needs, server)}",
    Condition.GROUP: lambda server, needs: f"{server.name} is put into the group {needs.group}",
    Condition.TOOLCHAIN: lambda server, needs: (
        f"{server.name} gets {needs.toolchain} for {needs.architecture}"
    ),
    Condition.DISABLED: lambda server, needs: f"{server.name} is switched on",
    Condition.UNPINNED: lambda server, needs: f"an operator accepts the host key of {server.name}",
    Condition.MAINTENANCE: lambda server, needs: f"{server.name} leaves maintenance",
    Condition.OFFLINE: lambda server, needs: f"{server.name} can be reached again",
    Condition.UNKNOWN: lambda server, needs: f"{server.name} is reached",
    Condition.UNMEASURED: lambda server, needs: f"a probe has measured {server.name}",
    Condition.DRAINING: lambda server, needs: f"{server.name} stops draining",
    Condition.QUARANTINED: lambda server, needs: f"the quarantine of {server.name} ends",
    Condition.CANARY: lambda server, needs: f"the trial build of {server.name} goes well",
    Condition.NOT_FOLLOWED: lambda server, needs: f"a runner looks after {server.name} again",
    Condition.STARTS_REFUSED: lambda server, needs: f"{server.name} takes builds again",
    Condition.DISK_FLOOR: lambda server, needs: f"{server.name} has {DISK_FLOOR_MIB} MiB of its disk free",
    Condition.FREE_STORAGE: lambda server, needs: f"{server.name} has {needs.storage_gb} GB of storage free",
    Condition.MEMORY_LIMIT: lambda server, needs: _falls("memory", server, server.memory_limit_percent),
    Condition.STORAGE_LIMIT: lambda server, needs: _falls("storage", server, server.storage_limit_percent),
    Condition.CPU_LIMIT: lambda server, needs: (
        f"{_falls('CPU', server, server.cpu_limit_percent)} (it is waited for at most a minute)"
    ),
    Condition.FULL: lambda server, needs: _slot_of([server]),
}


def remedy_for(judged: Sequence[Judgement], *, needs: Needs) -> str:
    """The smallest change of the fleet after which a server would take the job; each is refused by something."""
    if not judged:
        return f"a build server is added that {_all_of(needs)}"
    server, refused = min(judged, key=lambda one: (_cost(*one, needs=needs), one[0].name))
    conditions = {one.condition for one in refused}
    if Condition.OTHER_SERVER in conditions:
        return f"a build server named {needs.server} is added, or the job is submitted again for another one"
    lacking = [one for one in refused if _is_of_the_machine(one, server, needs)]
    if lacking:
        return (
            f"a build server is added that {_all_of(needs)}; the nearest, {server.name}, {lacking[0].detail}"
        )
    if conditions == {Condition.FULL}:
        return _slot_of([one for one, why in judged if {each.condition for each in why} == conditions])
    remedies = [_REMEDIES[one.condition](server, needs) for one in refused]
    if Condition.ARCHITECTURE in conditions and len(remedies) > 1:
        return f"{remedies[0]}, and {_joined(remedies[1:])}"
    return _joined(remedies)


def _cost(server: ServerFacts, refused: Sequence[Refused], *, needs: Needs) -> int:
    return sum(
        _COST_OF_REQUIRING
        if one.condition is Condition.ARCHITECTURE and _cross_tool(server, needs)
        else _COST.get(one.condition, _COST_OF_KIND[one.kind])
        for one in refused
    )


def _is_of_the_machine(one: Refused, server: ServerFacts, needs: Needs) -> bool:
    """Whether only another machine helps; for an architecture that it can cross-build, the job can ask for that."""
    if one.condition is Condition.ARCHITECTURE and _cross_tool(server, needs):
        return False
    return one.condition in _OF_THE_MACHINE


def _cross_tool(server: ServerFacts, needs: Needs) -> str:
    """The compiler that the job would have to require to be built across there; empty: none would do."""
    names = {tool.name for tool in server.toolchains if tool.target_architecture == needs.architecture}
    return next((name for name in (*_COMPILERS, *sorted(names)) if name in names), "")


def _slot_of(servers: Sequence[ServerFacts]) -> str:
    slots = sum(server.slots for server in servers)
    names = [server.name for server in servers]
    if slots == 1:
        return f"the slot of {names[0]} comes free"
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED]) + f" and {more} more" if more > 0 else _joined(names)
    return f"1 of {slots} slots of {shown} comes free"


def _falls(what: str, server: ServerFacts, limit: int) -> str:
    return f"{server.name} uses at most {limit}% of its {what}"


def _labels(needs: Needs, server: ServerFacts | None = None) -> str:
    has = server.labels if server else {}
    missing = [f"{key}={value}" for key, value in needs.labels if has.get(key) != value]
    return f"the label{'s' if len(missing) > 1 else ''} {', '.join(missing)}"


def _all_of(needs: Needs) -> str:
    """All that a new server would have to be."""
    tools = f" with {needs.toolchain}" if needs.toolchain else ""
    parts = [f"builds {needs.architecture}{tools}"]
    sizes = [
        *([f"{needs.cores} cores"] if needs.cores else []),
        *([f"{memory_text(needs.memory_mb)} of memory"] if needs.memory_mb else []),
        *([f"{needs.storage_gb} GB of storage free"] if needs.storage_gb else []),
        *([_labels(needs)] if needs.labels else []),
    ]
    if sizes:
        parts.append(f"has {_joined(sizes)}")
    if needs.group:
        parts.append(f"is in the group {needs.group}")
    return _joined(parts)


def _joined(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
