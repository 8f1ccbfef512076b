"""Tells a server's fault from a build's: pure verdicts on what was tried there and on other servers lately.

A server is accused only of what its peers did better in the same time, never by one build, and a build that fails
wherever it is tried accuses nobody. Reading what was tried is evidence.py's, what follows hosts.py's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

FAST_SECONDS = 60.0  # a server that cannot build at all fails within it
LEAST_BUILDS = 3  # different ones
LEAST_REPOSITORIES = 2
# Where all build one repository nothing else can tell; each of these passed elsewhere, or would have begun there.
LEAST_OF_ONE_REPOSITORY = 6
_SHOWN_CHARACTERS = 160


class Came(StrEnum):
    """What came of an attempt, or what is known while it runs."""

    PASSED = "passed"
    FAILED = "failed"
    RUNS = "runs"


@dataclass(frozen=True)
class Tried:
    """One attempt. `work` says what was built but for the commit; `job` is the first of a row of manual retries.

    `began`: the build's own command had begun; `seconds` from the start to the end, or until now. `is_bound`: it
    asks for what no other server has (the server itself, a label, a tool), so that no peer can ever try it.
    """

    attempt_id: UUID
    server_id: UUID
    job: UUID
    repository: str
    work: str
    commit: str
    came: Came
    began: bool
    seconds: float
    started_at: datetime
    fingerprint: str = ""
    message: str = ""
    is_bound: bool = False

    @property
    def identity(self) -> tuple[str, str]:
        """What is the same when it is built again."""
        return (self.work, self.commit) if self.commit else ("", str(self.job))

    def is_same(self, other: "Tried") -> bool:
        """Whether both tried the same thing: the same job, or the same work at the same commit."""
        return self.job == other.job or (bool(self.commit) and self.identity == other.identity)


class Grounds(StrEnum):
    """What a server is accused of."""

    PASSES_ELSEWHERE = "passes_elsewhere"
    FAILS_ALIKE = "fails_alike"
    NEVER_BEGINS = "never_begins"


@dataclass(frozen=True)
class Accusation:
    """Why it is the server: in a sentence, with the attempts that failed by its fault and their fingerprints."""

    grounds: Grounds
    reason: str
    victims: tuple[UUID, ...]
    signs: frozenset[str]


class CanaryVerdict(StrEnum):
    """What a canary build tells of its server: it is well, it is not, nothing, or nothing yet."""

    WELL = "well"
    UNWELL = "unwell"
    NOTHING = "nothing"
    UNSURE = "unsure"


def judge_host(server_id: UUID, tried: Sequence[Tried]) -> Accusation | None:
    """Whether its failures are its own fault; None: nothing speaks for that, or not enough."""
    own = [one for one in tried if one.server_id == server_id and one.came is not Came.RUNS]
    peers = [one for one in tried if one.server_id != server_id]
    suspicious = [one for one in own if one.came is Came.FAILED and not _is_cleared(one, own, peers)]
    shared = {one.fingerprint for one in peers}
    own_signs = sorted({one.fingerprint for one in suspicious if one.fingerprint} - shared)
    # Whoever sends a server what only it may build could else accuse it with that alone.
    free = [one for one in suspicious if not one.is_bound]
    telling = [one for one in own if one.came is Came.PASSED or not one.is_bound]
    candidates = [
        (Grounds.PASSES_ELSEWHERE, [one for one in suspicious if _passed_on_peers(one, peers)], own),
        *((Grounds.FAILS_ALIKE, _fast_and_alike(free, sign=sign), telling) for sign in own_signs),
        (
            Grounds.NEVER_BEGINS,
            [one for one in free if not one.began and one.fingerprint in own_signs],
            telling,
        ),
    ]
    for grounds, found, of_all in candidates:
        if _is_enough(found, of_all) and (grounds is Grounds.PASSES_ELSEWHERE or _went_on(peers, found)):
            return Accusation(
                grounds,
                _reason(grounds, found),
                tuple(one.attempt_id for one in found),
                frozenset(one.fingerprint for one in found if one.fingerprint),
            )
    return None


def judge_canary(canary: Tried, tried: Sequence[Tried], *, signs: frozenset[str]) -> CanaryVerdict:
    """What the one build tells that a server on trial was given. `signs` are those of what it was accused of."""
    if canary.came is not Came.FAILED:
        return CanaryVerdict.WELL if canary.came is Came.PASSED else CanaryVerdict.UNSURE
    peers = [one for one in tried if one.server_id != canary.server_id]
    own = [one for one in tried if one.server_id == canary.server_id and one.attempt_id != canary.attempt_id]
    if _is_cleared(canary, own, peers):
        return CanaryVerdict.NOTHING
    if _passed_on_peers(canary, peers):
        return CanaryVerdict.UNWELL
    if canary.is_bound:  # no peer can ever try it; but that nothing changed is reason to wait on
        return CanaryVerdict.UNSURE if canary.fingerprint in signs else CanaryVerdict.NOTHING
    if not canary.fingerprint:
        return CanaryVerdict.UNSURE
    if any(one.fingerprint == canary.fingerprint for one in peers):
        return CanaryVerdict.NOTHING
    is_sign = canary.fingerprint in signs or not canary.began
    return CanaryVerdict.UNWELL if is_sign else CanaryVerdict.UNSURE


# ---- one failure ------------------------------------------------------------------------------------------


def _is_cleared(one: Tried, own: Sequence[Tried], peers: Sequence[Tried]) -> bool:
    """Whether the build itself explains the failure: it fails elsewhere, too, or passes and fails as it likes."""
    if any(other.came is Came.PASSED and other.is_same(one) for other in own):
        return True
    passed, failed = _servers_where(one, peers)
    return bool(failed) and len(failed) > len(passed)


def _passed_on_peers(one: Tried, peers: Sequence[Tried]) -> bool:
    return bool(_servers_where(one, peers)[0])


def _fast_and_alike(suspicious: Sequence[Tried], *, sign: str) -> list[Tried]:
    return [one for one in suspicious if one.fingerprint == sign and one.seconds <= FAST_SECONDS]


def _servers_where(one: Tried, peers: Sequence[Tried]) -> tuple[set[UUID], set[UUID]]:
    """Where the same passed and never failed, and where it failed."""
    same = [other for other in peers if other.is_same(one)]
    failed = {other.server_id for other in same if other.came is Came.FAILED}
    return {other.server_id for other in same if other.came is Came.PASSED} - failed, failed


# ---- all of them together ---------------------------------------------------------------------------------


def _is_enough(found: Sequence[Tried], own: Sequence[Tried]) -> bool:
    """Different builds of different repositories, and at least half of all that it did since the first of them."""
    builds = {one.identity for one in found}
    repositories = {one.repository for one in found}
    least = LEAST_BUILDS if len(repositories) >= LEAST_REPOSITORIES else LEAST_OF_ONE_REPOSITORY
    if len(builds) < least:
        return False
    first = min(one.started_at for one in found)
    since = {one.identity for one in own if one.started_at >= first}
    return 2 * len(builds) >= len(since)


def _went_on(peers: Sequence[Tried], found: Sequence[Tried]) -> bool:
    """Whether others got on meanwhile; else it may be the network, or what all of them need.

    Where all failures are of one repository, others got on with that one.
    """
    first = min(one.started_at for one in found)
    repositories = {one.repository for one in found}
    since = [one for one in peers if one.started_at >= first and one.began]
    if len(repositories) < LEAST_REPOSITORIES:
        since = [one for one in since if one.repository in repositories]
    if not any(one.began for one in found):
        return bool(since)  # they came farther than any of these
    slowest = max(one.seconds for one in found)
    return any(one.came is Came.PASSED or (one.came is Came.RUNS and one.seconds > slowest) for one in since)


def _reason(grounds: Grounds, found: Sequence[Tried]) -> str:
    count = len({one.identity for one in found})
    repositories = len({one.repository for one in found})
    of = f"{repositories} repositories" if repositories > 1 else "one repository"
    builds = f"{count} different builds of {of} failed here"
    said = f": {found[0].message[:_SHOWN_CHARACTERS].rstrip('.')}" if found[0].message else ""
    if grounds is Grounds.PASSES_ELSEWHERE:
        return f"{builds} and passed on other servers."
    if grounds is Grounds.FAILS_ALIKE:
        slowest = max(1, round(max(one.seconds for one in found)))
        return f"{builds} within {slowest} s each and all alike, as on no other server{said}."
    return f"{builds} before their own commands began, while other servers went on{said}."
