"""What a job has waited for so far, in words: "waited 14 min: 9 full, 5 draining". Pure functions on intervals.

Of each moment the one reason counts that stood between the job and the server that came nearest to taking it: a full
server is nearer than one that is away, and that one nearer than one that could never take it. Of several such servers
the reason that most of them had counts. The rows are refusals.py's, who waited when is read by waits.py.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from jobs.queue.conditions import Condition, Kind, Refused

NO_SERVERS = "no_servers"
UNSEEN = "unseen"
ANOTHER_JOB = "another_job"
RETRY_DELAY = "retry_delay"
NOT_KEPT = "not_kept"

WORDS = {
    NO_SERVERS: "without any server",
    UNSEEN: "not looked at",
    ANOTHER_JOB: "for another job",
    RETRY_DELAY: "before another try",
    NOT_KEPT: "longer ago than is kept",
    Condition.PROVIDER: "for its provider",
    Condition.OTHER_SERVER: "for a server that is not there",
    Condition.ARCHITECTURE: "of another architecture",
    Condition.TOOLCHAIN: "without its toolchain",
    Condition.LABELS: "without its labels",
    Condition.GROUP: "in another group",
    Condition.CORES: "with too few cores",
    Condition.MEMORY: "with too little memory",
    Condition.STORAGE: "with too little storage",
    Condition.DISABLED: "switched off",
    Condition.UNPINNED: "with a host key to accept",
    Condition.MAINTENANCE: "in maintenance",
    Condition.OFFLINE: "offline",
    Condition.UNKNOWN: "not reached",
    Condition.UNMEASURED: "not measured",
    Condition.DRAINING: "draining",
    Condition.QUARANTINED: "in quarantine",
    Condition.CANARY: "trying one build",
    Condition.NOT_FOLLOWED: "without a runner",
    Condition.STARTS_REFUSED: "not asked for a while",
    Condition.DISK_FLOOR: "out of disk",
    Condition.FREE_STORAGE: "short of free storage",
    Condition.MEMORY_LIMIT: "over the memory limit",
    Condition.STORAGE_LIMIT: "over the storage limit",
    Condition.CPU_LIMIT: "over the CPU limit",
    Condition.FULL: "full",
}
"""Reasons in few words: what the servers that came nearest were."""

_ORDER = {reason: number for number, reason in enumerate(WORDS)}
_LEAST_SECONDS = 1.0
_BETWEEN_LOOKS_SECONDS = 5.0
_NAMED = 4
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True)
class Stood:
    """One reason and when it stood; without an end it still does.

    `server` is the id, or the name of one that was removed; None for what no server said.
    """

    server: UUID | str | None
    reason: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True)
class Wait:
    """A time in which the job was queued; `is_again`: after an attempt."""

    since: datetime
    until: datetime
    is_again: bool = False


@dataclass(frozen=True)
class Spell:
    """A time with one reason before all others. Of how many servers it was the reason is `servers` at most."""

    since: datetime
    until: datetime
    reason: str
    servers: int = 0

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.until - self.since).total_seconds()

    @property
    def kind(self) -> Kind | None:
        """Impossible, offline or busy; None of what was no server's."""
        return kind_of(self.reason)

    @property
    def words(self) -> str:
        """The reason in few words."""
        return _words_of(self.reason)


@dataclass(frozen=True)
class Share:
    """How much of a wait had one reason."""

    reason: str
    seconds: float

    @property
    def kind(self) -> Kind | None:
        """Impossible, offline or busy; None of what was no server's."""
        return kind_of(self.reason)


def kind_of(reason: str) -> Kind | None:
    """What a reason means; None when no server said it, or no release knows it any more."""
    if reason == NO_SERVERS:
        return Kind.IMPOSSIBLE
    return Refused(Condition(reason), "").kind if reason in set(Condition) else None


def _words_of(reason: str) -> str:
    return WORDS.get(reason, reason.replace("_", " "))


def spells_of(stood: Iterable[Stood], *, waits: Sequence[Wait]) -> list[Spell]:
    """The waits, each cut where another reason became the one that counts, oldest first."""
    found: list[Spell] = []
    rows = list(stood)
    for wait in waits:
        pieces = _pieces([one for one in rows if _meets(one, wait)], wait)
        if wait.is_again and pieces[0].reason == UNSEEN:
            pieces[0] = replace(pieces[0], reason=RETRY_DELAY)  # it was due later, else it had been looked at
        found += _merged(pieces)
    return found


def shares_of(spells: Iterable[Spell]) -> list[Share]:
    """How long each reason counted, the longest first; of equal ones the one that came first."""
    seconds: dict[str, float] = {}
    for spell in spells:
        seconds[spell.reason] = seconds.get(spell.reason, 0.0) + spell.seconds
    ordered = sorted(seconds.items(), key=lambda one: -one[1])
    return [Share(reason, length) for reason, length in ordered if length > 0]


def told_of(spells: Sequence[Spell]) -> str:
    """`waited 14 min: 9 full, 5 draining`; empty when it did not wait.

    The parts are rounded so that they add up; those that come to nothing are left out.
    """
    shares = shares_of(spells)
    total = sum(one.seconds for one in shares)
    if total < (_BETWEEN_LOOKS_SECONDS if [one.reason for one in shares] == [UNSEEN] else _LEAST_SECONDS):
        return ""  # nobody was to look at it so soon
    unit, name = _unit_of(total)
    whole = max(1, round(total / unit))
    counts = _rounded([one.seconds / unit for one in shares], whole=whole)
    parts = [(count, _words_of(one.reason)) for count, one in zip(counts, shares, strict=True)]
    parts = [one for one in parts if one[0]]
    if len(parts) == 1:
        return f"waited {whole} {name}: {parts[0][1]}"
    shown = [f"{count} {words}" for count, words in parts[:_NAMED]]
    rest = sum(count for count, _ in parts[_NAMED:])
    others = [f"{rest} for other reasons"] if rest else []
    return f"waited {whole} {name}: {', '.join([*shown, *others])}"


def _unit_of(seconds: float) -> tuple[int, str]:
    """In what it reads best, so that the parts are numbers of at most two or three digits."""
    if seconds < 2 * _MINUTE:
        return 1, "s"
    if seconds < 3 * _HOUR:
        return _MINUTE, "min"
    return (_HOUR, "h") if seconds < 3 * _DAY else (_DAY, "days")


def _rounded(parts: Sequence[float], *, whole: int) -> list[int]:
    """The parts as whole numbers that add up: those that lose most by rounding down get what is left."""
    counts = [int(one) for one in parts]
    losers = sorted(range(len(parts)), key=lambda at: (counts[at] - parts[at], at))
    for at in losers[: max(0, whole - sum(counts))]:
        counts[at] += 1
    return counts


def _meets(one: Stood, wait: Wait) -> bool:
    return one.since < wait.until and (one.until is None or one.until > wait.since)


def _pieces(rows: Sequence[Stood], wait: Wait) -> list[Spell]:
    """The wait, cut wherever a reason came or went."""
    changes: dict[datetime, list[tuple[int, Stood]]] = {wait.since: [], wait.until: []}
    for one in rows:
        changes.setdefault(max(one.since, wait.since), []).append((1, one))
        if one.until is not None and one.until < wait.until:
            changes.setdefault(one.until, []).append((-1, one))
    standing: dict[UUID | str | None, Counter[str]] = {}
    found = []
    for since, until in pairwise(sorted(changes)):
        for by, one in changes[since]:
            reasons = standing.setdefault(one.server, Counter())
            reasons[one.reason] += by
            if not reasons[one.reason]:
                del reasons[one.reason]
        found.append(
            _piece({server: reasons for server, reasons in standing.items() if reasons}, since, until)
        )
    return found


def _piece(standing: Mapping[UUID | str | None, Collection[str]], since: datetime, until: datetime) -> Spell:
    """One piece, in which nothing changes, with the reason that counts."""
    if not standing:
        return Spell(since, until, UNSEEN)
    if None in standing:  # what no server said holds for all of them
        return Spell(since, until, min(standing[None], key=_rank))
    hindered = [max(reasons, key=lambda one: (_distance(one), -_rank(one))) for reasons in standing.values()]
    nearest = min(map(_distance, hindered))
    counts = Counter(reason for reason in hindered if _distance(reason) == nearest)
    reason = min(counts, key=lambda one: (-counts[one], _rank(one)))
    return Spell(since, until, reason, counts[reason])


def _distance(reason: str) -> int:
    kind = kind_of(reason)
    return 0 if kind is None else kind.distance


def _rank(reason: str) -> int:
    return _ORDER.get(reason, len(_ORDER))


def _merged(pieces: Sequence[Spell]) -> list[Spell]:
    """Neighbours of one reason as one; a moment between two looks belongs to what was before it, or comes next."""
    seen = _without(pieces, lambda one: one.reason == UNSEEN and one.seconds < _BETWEEN_LOOKS_SECONDS)
    found: list[Spell] = []
    for piece in seen:
        if found and found[-1].reason == piece.reason:
            last = found.pop()
            piece = replace(piece, since=last.since, servers=max(last.servers, piece.servers))
        found.append(piece)
    return found


def _without(pieces: Sequence[Spell], is_nothing: Callable[[Spell], bool]) -> list[Spell]:
    """Those that are something, stretched over the others; nothing but such ones stays as it is."""
    if all(is_nothing(one) for one in pieces):
        return list(pieces)
    found: list[Spell] = []
    began = None
    for piece in pieces:
        if is_nothing(piece):
            if found:
                found[-1] = replace(found[-1], until=piece.until)
            else:
                began = began or piece.since
            continue
        found.append(replace(piece, since=began) if began and not found else piece)
    return found
