"""How a build server looks on the list and on its own page: badges, meters, slots, the last half hour.

From rows that were read already; what a server is and may do is decided in `servers/`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from servers.fleet import why_it_takes_none
from servers.models import BuildServer
from servers.states import QuarantineStage, ServerStatus, TransportKind

_NEAR_LIMIT = 10  # percent
_IN_A_SENTENCE = {"removing": "being removed", "maintenance": "in maintenance"}
_BEAT = timedelta(minutes=2)
_BEATS = 15
BEATS_MINUTES = 30
MOST_TOOLS = 6
MOST_SLOTS_DRAWN = 16


@dataclass(frozen=True)
class Meter:
    """The use of one resource, 0-100 and rounded, against its limit; no value: not measured."""

    name: str
    value: int | None
    limit: int

    @property
    def colour(self) -> str:
        """The bar's class: over the limit, near it, or neither."""
        if self.value is None or self.value <= self.limit - _NEAR_LIMIT:
            return ""
        return "bad" if self.value > self.limit else "run"

    @property
    def words(self) -> str:
        """The whole meter as a sentence."""
        if self.value is None:
            return f"{self.name} was not measured"
        return f"{self.name} {self.value}%, limit {self.limit}%"


@dataclass(frozen=True)
class Slots:
    """How many builds run, of how many."""

    held: int
    total: int

    @property
    def free(self) -> int:
        """Room for that many more builds."""
        return max(0, self.total - self.held)

    @property
    def drawn(self) -> list[bool]:
        """One mark a slot, busy ones first; none when there are too many to draw."""
        if self.total > MOST_SLOTS_DRAWN:
            return []
        return [number < self.held for number in range(max(self.total, self.held))]

    @property
    def words(self) -> str:
        """For those who do not see the marks."""
        return f"{self.held} of {self.total} slots busy"


def meters_of(server: BuildServer) -> list[Meter]:
    """CPU, memory and disk as last measured."""
    return [
        Meter("CPU", _rounded(server.cpu_percent), server.cpu_limit_percent),
        Meter("Memory", _rounded(server.memory_percent), server.memory_limit_percent),
        Meter("Disk", _rounded(server.storage_percent), server.storage_limit_percent),
    ]


def _rounded(percent: float | None) -> int | None:
    return None if percent is None else round(percent)


def quarantine_now(server: BuildServer) -> QuarantineStage:
    """How far its quarantine is now."""
    return server.quarantine_at(timezone.now())


def is_quarantined(server: BuildServer) -> bool:
    """Whether it is kept from builds, or from all but one."""
    return quarantine_now(server) is not QuarantineStage.NONE


def quarantine_words(server: BuildServer) -> str:
    """Until when it is in quarantine, or how it comes out, in a few words; empty: it is in service."""
    stage = quarantine_now(server)
    if stage is QuarantineStage.HELD:
        return (
            f"until {server.quarantined_until:%d %b %H:%M} UTC" if server.quarantined_until else "until ended"
        )
    return {
        QuarantineStage.CANARY_DUE: "takes one build",
        QuarantineStage.CANARY_RUNS: "tries one build",
    }.get(stage, "")


def has_changed_key(server: BuildServer) -> bool:
    """Whether it shows another host key than the pinned one."""
    return server.transport == TransportKind.SSH and bool(server.host_key and server.seen_host_key)


def awaits_acceptance(server: BuildServer) -> bool:
    """Whether the first host key that it showed waits for an operator."""
    return server.transport == TransportKind.SSH and bool(server.seen_host_key and not server.host_key)


def states_of(server: BuildServer) -> list[str]:
    """The words of its badges: its status, and what keeps it from builds besides."""
    is_removed = server.removal_requested_at is not None
    besides = {
        "disabled": not server.enabled,
        "removing": is_removed,
        "draining": server.draining and not is_removed,
        "quarantined": is_quarantined(server),
    }
    return [server.status, *(word for word, holds in besides.items() if holds)]


def state_in_a_sentence(state: str) -> str:
    """One word of its state as it is read behind "is"."""
    return _IN_A_SENTENCE.get(state, state)


def foremost_state(server: BuildServer) -> str:
    """The one word that counts of what it is: what a person did or has to do before what a probe saw."""
    if has_changed_key(server):
        return "with another host key"
    if awaits_acceptance(server):
        return "with a host key to accept"
    status, *besides = states_of(server)
    return state_in_a_sentence(besides[0] if besides else status)


def is_out(server: BuildServer) -> bool:
    """Whether somebody took it out of service."""
    return not server.enabled or is_emptying(server)


def is_emptying(server: BuildServer) -> bool:
    """Whether somebody waits for its last builds: it drains, or is in maintenance."""
    return server.draining or server.status == ServerStatus.MAINTENANCE


def room_words(server: BuildServer, slots: Slots) -> str:
    """What it takes now: so many builds more, or none and why."""
    why = why_it_takes_none(server)
    if why:
        return f"takes no builds: {why}"
    if not slots.free:
        return "full"
    is_on_trial = quarantine_now(server) is QuarantineStage.CANARY_DUE
    return "takes one build" if is_on_trial else f"room for {slots.free} more"


def needs_attention(server: BuildServer) -> bool:
    """Whether somebody should look at it."""
    unwell = server.status in {ServerStatus.OFFLINE, ServerStatus.DEGRADED, ServerStatus.UNKNOWN}
    return has_changed_key(server) or (server.enabled and (unwell or is_quarantined(server)))


def is_well(server: BuildServer) -> bool:
    """Whether it takes builds and nothing is wrong."""
    return server.status == ServerStatus.ONLINE and not is_out(server) and not needs_attention(server)


def beats_of(server: BuildServer, *, seen_at: Iterable[datetime], now: datetime) -> list[str]:
    """The last half hour in two minutes each: "" answered, "bad" did not answer, "off" not known."""
    first = now - _BEAT * _BEATS
    answered = {int((at - first) / _BEAT) for at in seen_at if at >= first}
    beats = []
    for number in range(_BEATS):
        end = first + _BEAT * (number + 1)
        is_away = server.unreachable_since is not None and server.unreachable_since < end
        beats.append("" if number in answered else "bad" if is_away else "off")
    return beats
