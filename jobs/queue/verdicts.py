"""How each server stands to a job, nearest first, and how many are left at each step. Pure functions of facts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from jobs.needs import Needs
from jobs.queue.choice import Choice, choose, is_patient
from jobs.queue.conditions import Condition, Kind, Refused
from servers.fleet import ServerFacts


class Verdict(StrEnum):
    """In one word: takes it now, would as soon as it has room, does not."""

    ELIGIBLE = "eligible"
    BUSY = "busy"
    REFUSED = "refused"


@dataclass(frozen=True)
class ServerVerdict:
    """One server and what it does not meet."""

    server: ServerFacts
    refused: tuple[Refused, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Eligible, busy or refused."""
        if not self.refused:
            return Verdict.ELIGIBLE
        is_busy = all(one.kind is Kind.BUSY for one in self.refused)
        return Verdict.BUSY if is_busy else Verdict.REFUSED

    @property
    def kind(self) -> Kind | None:
        """What keeps it from the job at most: impossible, offline or busy; None of an eligible one."""
        return max((one.kind for one in self.refused), key=lambda kind: kind.distance, default=None)

    @property
    def fits(self) -> bool:
        """Whether it could take the job at some time, as it is."""
        return all(one.kind is not Kind.IMPOSSIBLE for one in self.refused)

    @property
    def reasons(self) -> list[str]:
        """Sentences, to be read beside the server's name; none of an eligible one."""
        return [_ended(f"{one.detail[:1].upper()}{one.detail[1:]}") for one in self.refused]

    @property
    def told(self) -> str:
        """One sentence with its name."""
        details = "; ".join(one.detail for one in self.refused)
        return _ended(f"{self.server.name} {details or 'can take it now'}")

    @property
    def checks(self) -> list[bool | None]:
        """Whether it meets each of COLUMNS; None: its tools for an architecture that it does not build."""
        missed = {one.condition for one in self.refused}
        told: list[bool | None] = [not missed & conditions for _, conditions in COLUMNS]
        if not told[0]:
            told[1] = None
        return told


@dataclass(frozen=True)
class Step:
    """How many servers are left after another condition; `percent` of all."""

    label: str
    count: int
    percent: int


_SIZE = frozenset({Condition.CORES, Condition.MEMORY, Condition.STORAGE, Condition.UNMEASURED})
_PLACE = frozenset({Condition.LABELS, Condition.GROUP})
_LIMITS = frozenset(
    {
        Condition.DISK_FLOOR,
        Condition.FREE_STORAGE,
        Condition.MEMORY_LIMIT,
        Condition.STORAGE_LIMIT,
        Condition.CPU_LIMIT,
    }
)
_SLOT = frozenset({Condition.FULL, Condition.CANARY})
_SERVICE = (
    frozenset(one for one in Condition if Refused(one, "").kind is Kind.OFFLINE)
    - {Condition.UNMEASURED}
    - _LIMITS
)
COLUMNS: tuple[tuple[str, frozenset[Condition]], ...] = (
    ("Architecture", frozenset({Condition.ARCHITECTURE})),
    ("Tools", frozenset({Condition.TOOLCHAIN})),
    ("Asked for", _SIZE | _PLACE | {Condition.OTHER_SERVER, Condition.PROVIDER}),
    ("In service", _SERVICE),
    ("Room", _LIMITS | _SLOT),
)


def _ended(sentence: str) -> str:
    """With a full stop, unless a server's reason brought its own end."""
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def judge_fleet(
    fleet: Iterable[ServerFacts],
    *,
    needs: Needs,
    now: datetime,
    waited_seconds: float = 0,
) -> list[ServerVerdict]:
    """Every server as it stands to any job of a class; which of the able ones takes a certain job placing.py tells."""
    return verdicts_of(choose(fleet, needs=needs, now=now, waited_seconds=waited_seconds))


def verdicts_of(choice: Choice) -> list[ServerVerdict]:
    """Those that take the job now (best first), the busy, those out of service, those that never fit."""
    refused: dict[str, tuple[ServerFacts, list[Refused]]] = {}
    for server, one in choice.refusals:
        refused.setdefault(server.name, (server, []))[1].append(one)
    others = [ServerVerdict(server, tuple(found)) for server, found in refused.values()]
    others.sort(
        key=lambda one: (one.verdict is not Verdict.BUSY, not one.fits, len(one.refused), one.server.name)
    )
    return [*(ServerVerdict(server) for server in choice.able), *others]


class Verdicts:
    """The fleet judged for several jobs: once for each class of need, and whether they wait for a cooler server."""

    def __init__(self, fleet: Sequence[ServerFacts], *, now: datetime) -> None:
        self._fleet, self._now = fleet, now
        self._judged: dict[tuple[Needs, bool], list[ServerVerdict]] = {}

    def of(self, needs: Needs, *, since: datetime) -> list[ServerVerdict]:
        """As `judge_fleet` of a job that could have been started since then."""
        waited = max(0.0, (self._now - since).total_seconds())
        key = needs, is_patient(waited)
        if key not in self._judged:
            self._judged[key] = judge_fleet(self._fleet, needs=needs, now=self._now, waited_seconds=waited)
        return self._judged[key]


def steps_to_one(verdicts: Sequence[ServerVerdict], *, needs: Needs) -> list[Step]:
    """From all servers to those that take the job now, condition by condition; what it does not ask for is left out."""
    asked: list[tuple[str, frozenset[Condition], bool]] = [
        (
            f"are {needs.server}",
            frozenset({Condition.OTHER_SERVER}),
            bool(needs.server and not needs.fallback),
        ),
        (f"build {needs.architecture}", frozenset({Condition.ARCHITECTURE}), True),
        (f"have {needs.toolchain}", frozenset({Condition.TOOLCHAIN}), bool(needs.toolchain)),
        ("labels and group", _PLACE, bool(needs.labels or needs.group)),
        ("large enough", _SIZE, bool(needs.cores or needs.memory_mb or needs.storage_gb)),
        ("in service", _SERVICE, True),
        ("within their limits", _LIMITS, True),
        ("a free slot now", _SLOT, True),
    ]
    left = [frozenset(one.condition for one in verdict.refused) for verdict in verdicts]
    total = len(left)
    steps = [Step(f"{total} server{'' if total == 1 else 's'}", total, 100 if total else 0)]
    for label, conditions, is_asked in asked:
        left = [missed for missed in left if not missed & conditions]
        if is_asked:
            steps.append(Step(label, len(left), round(100 * len(left) / total) if total else 0))
    return steps
