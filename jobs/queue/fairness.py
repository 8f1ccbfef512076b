"""Whose turn it is: a weighted fair share for each submitter among those who wait for the same. Pure functions.

Jobs of one class of need that stand on one level (their priority, with what age has added) form a group. By rank a
group has certain places in the queue, and only who of it stands in which is changed here: never who is before the
group or behind it, so no class holds up another, what has aged onto a higher level goes first, and nothing starves.

Within a group it is start-time fair queueing. Each start adds one through the submitter's weight to what that
submitter was served; who was served least goes next, and among equals the older job. Who comes back after a time counts
as served about as much as the others: for having asked for nothing nobody gets more than the next turn. What was
served is kept by shares.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import Protocol, TypeVar
from uuid import UUID

NOBODY = UUID(int=0)  # who submitted what nobody did: all of these together are one submitter
USUAL_WEIGHT = 1


class Standing(Protocol):
    """A queued job as it counts here; `key` is that of its class, the smallest rank goes first."""

    @property
    def key(self) -> str: ...
    @property
    def submitter(self) -> UUID: ...
    @property
    def rank_ms(self) -> int: ...


J = TypeVar("J", bound=Standing)


@dataclass(frozen=True)
class Shares:
    """What was served, by class and submitter, and the weights of submitters that have another than the usual one."""

    served: Mapping[str, Mapping[UUID, float]] = field(default_factory=dict)
    weights: Mapping[UUID, int] = field(default_factory=dict)

    def weight_of(self, submitter: UUID) -> int:
        """How many starts it has for each of a submitter of weight 1."""
        return self.weights.get(submitter, USUAL_WEIGHT)

    def floor_of(self, key: str, *, among: Iterable[UUID]) -> float:
        """What one of these counts as served in a class at least: a turn less than whoever was served most."""
        served = self.served.get(key, {})
        most = max(served.values(), default=0.0)
        return most - 1 / min(map(self.weight_of, {*served, *among}), default=USUAL_WEIGHT)


def contested(jobs: Iterable[Standing]) -> dict[str, set[UUID]]:
    """The classes for which several submitters wait, and who they are."""
    found: dict[str, set[UUID]] = {}
    for job in jobs:
        found.setdefault(job.key, set()).add(job.submitter)
    return {key: submitters for key, submitters in found.items() if len(submitters) > 1}


def heads_of(jobs: Iterable[J], *, most: int) -> list[J]:
    """The first jobs of each submitter in each class, as many of each as fit into `most` together, at least one."""
    groups: dict[tuple[str, UUID], list[J]] = {}
    for job in jobs:
        groups.setdefault((job.key, job.submitter), []).append(job)
    each = max(1, most // max(1, len(groups)))
    return [job for group in groups.values() for job in group[:each]][:most]


def in_turn(jobs: Sequence[J], *, shares: Shares, now_ms: int, level_ms: int) -> list[J]:
    """The jobs, given by rank, with those of each group in turns; `level_ms`: what a step of priority is worth."""
    keys = contested(jobs)
    places: dict[tuple[str, int], list[int]] = {}
    for place, job in enumerate(jobs):
        if job.key in keys:
            places.setdefault((job.key, (now_ms - job.rank_ms) // level_ms), []).append(place)
    found = list(jobs)
    for (key, _), held in places.items():
        for place, job in zip(held, _turns([jobs[at] for at in held], key=key, shares=shares), strict=True):
            found[place] = job
    return found


def _turns(group: Sequence[J], *, key: str, shares: Shares) -> list[J]:
    """Those of one group, as they take turns."""
    waiting: dict[UUID, list[int]] = {}
    for place, job in enumerate(group):
        waiting.setdefault(job.submitter, []).append(place)
    if len(waiting) == 1:
        return list(group)
    floor, served = shares.floor_of(key, among=waiting), shares.served.get(key, {})
    heap = [
        (_rounded(max(served.get(one, 0.0), floor)), places[0], one, 0) for one, places in waiting.items()
    ]
    heapify(heap)
    turns = []
    for _ in group:
        _, place, submitter, started = heap[0]
        turns.append(group[place])
        started, places = started + 1, waiting[submitter]
        if started == len(places):
            heappop(heap)
            continue
        so_far = max(served.get(submitter, 0.0), floor) + started / shares.weight_of(submitter)
        heapreplace(heap, (_rounded(so_far), places[started], submitter, started))
    return turns


def _rounded(amount: float) -> float:
    """What differs less than this differs by how thirds and the like were added up."""
    return round(amount, 6)
