"""How far a server is on its way into the fleet: five steps on one page, from its address to its first probe.

From rows that were read already. What each step does is servers/'s; what is done to it is server_actions.py's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.views.server_parts import CheckShown
from servers.models import BuildServer, Toolchain

_WORDS = {
    "address": "Address",
    "key": "Login key",
    "look": "Look at it",
    "accept": "Host key",
    "done": "First probe",
}
_MOST_TOOLS = 6  # named for an architecture


@dataclass(frozen=True)
class EnrolmentStep:
    """One step: `done`, `current` (what is to be done next), `failed` or `ahead`."""

    number: int
    word: str
    state: str
    told: str = ""


@dataclass(frozen=True)
class Enrolment:
    """All five, and in a sentence what is to be done now."""

    steps: Sequence[EnrolmentStep]
    next_word: str


def first_step() -> Enrolment:
    """Of a server that is still to be written down."""
    states = dict.fromkeys(_WORDS, "ahead") | {"address": "current"}
    return _enrolment(states, {}, "Write down where it is.")


def enrolment_of(server: BuildServer, *, check: CheckShown | None) -> Enrolment:
    """Of a server that is reached over SSH and was not probed yet."""
    states = dict.fromkeys(_WORDS, "ahead") | {"address": "done"}
    awaits = bool(server.seen_host_key and not server.host_key)
    failed = check.failed.name if check and check.failed else ""
    is_let_in = check is not None and check.has_passed("login")
    is_looking = check is not None and check.is_open
    states["key"] = "done" if is_let_in else "failed" if failed == "login" else "current"
    states["accept"] = "done" if server.host_key else "current" if awaits else "ahead"
    if is_looking:
        states["look"] = "current"
    elif failed in ("", "host_key", "login"):
        states["look"] = "done" if awaits or failed == "login" else "current"
    else:
        states["look"] = "failed"
    if not server.key_generated and states["key"] == "current":
        states["key"] = "done"
    address = f"{server.ssh_username}@{server.hostname}"
    told = {
        "address": address if server.ssh_port == 22 else f"{address}:{server.ssh_port}",
        "key": "made by the board" if server.key_generated else "your own",
        "accept": "pinned" if server.host_key else "compare and accept" if awaits else "",
    }
    return _enrolment(states, told, _next(server, awaits=awaits, failed=failed, is_looking=is_looking))


def _next(server: BuildServer, *, awaits: bool, failed: str, is_looking: bool) -> str:
    if awaits and not is_looking:
        return "Paste the lines below on it, then compare its host key and accept it."
    if is_looking:
        return "The board looks at it now; each step shows as it comes."
    if failed == "login":
        return "It does not let the board in yet: paste the lines below on it, then test the connection."
    if failed:
        return (
            "Something is in the way: see what to do beside the step that failed, then test the connection."
        )
    return "Test the connection."


def _enrolment(states: dict[str, str], told: dict[str, str], next_word: str) -> Enrolment:
    steps = [
        EnrolmentStep(number, word, states[name], told.get(name, ""))
        for number, (name, word) in enumerate(_WORDS.items(), start=1)
    ]
    return Enrolment(steps, next_word)


# ---- what it can build ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Builds:
    """One architecture that it builds for, and with what. `is_cross`: it is not its own."""

    architecture: str
    tools: Sequence[str]
    more: int
    is_cross: bool


def what_it_builds(server: BuildServer, tools: Sequence[Toolchain]) -> list[Builds]:
    """Its own architectures first, then those that it has cross compilers for."""
    own = _builds(", ".join(server.architectures), [tool for tool in tools if not tool.target_architecture])
    targets = sorted({tool.target_architecture for tool in tools if tool.target_architecture})
    across = [
        _builds(target, [tool for tool in tools if tool.target_architecture == target], is_cross=True)
        for target in targets
    ]
    return [own, *across]


def _builds(architecture: str, tools: Sequence[Toolchain], *, is_cross: bool = False) -> Builds:
    names = list(dict.fromkeys(str(tool) for tool in tools))
    return Builds(architecture, names[:_MOST_TOOLS], max(0, len(names) - _MOST_TOOLS), is_cross)
