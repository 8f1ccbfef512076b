"""What taking a server out would do to those who wait: the queue played with it and without it.

The plays are simulation.py's; a build lasts as long in both, so what differs is the server's doing. Which jobs no other
server fits at all is sole.py's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from uuid import UUID

from jobs.queue.forecast import Foreseen, foresee_from, read_facts
from jobs.queue.lasting import Range
from jobs.queue.simulation import Queued, QueueFacts, without_server
from jobs.queue.spans import LEAST_CHANGE_SECONDS, change_words


@dataclass(frozen=True)
class Ending:
    """A build that runs there, and the range of seconds after which it should end; None: nobody can tell."""

    job_id: UUID
    ends_in: Range | None = None


@dataclass(frozen=True)
class WaitChange:
    """What those who wait for an architecture would wait, in seconds, the median of them.

    `jobs` of them wait; none: it is what a job would wait that came now. `after` is None when none of them would start.
    """

    architecture: str
    jobs: int
    before: float
    after: float | None

    @property
    def longer(self) -> float | None:
        """So many seconds longer; None when they would not start."""
        return None if self.after is None else self.after - self.before

    @property
    def words(self) -> str:
        """`+6 min`, `no change`, or that none starts."""
        if self.longer is None:
            return "no start until another server is there"
        return change_words(self.longer)


@dataclass(frozen=True)
class DrainImpact:
    """What still runs there, when it would be empty, and how the wait of others changes.

    `held_back` queued jobs would start with the server and would not without it: none that fits is in service besides.
    `is_told`: past builds tell how long things take; else only what runs is known. `left_out` queued jobs behind the
    first ones were not looked at.
    """

    running: Sequence[Ending] = ()
    empty_in: Range | None = None
    changes: Sequence[WaitChange] = ()
    held_back: int = 0
    is_told: bool = True
    left_out: int = 0

    @property
    def told(self) -> str:
        """All changes in one phrase: `aarch64: +6 min; x86_64: no change`."""
        return "; ".join(f"{one.architecture}: {one.words}" for one in self.changes)


def read_impact(server_id: UUID) -> DrainImpact:
    """Read fleet and queue as they are now, and play them twice. As many queries as one forecast."""
    return impact_of(read_facts(), server_id=server_id)


def impact_of(facts: QueueFacts, *, server_id: UUID) -> DrainImpact:
    """The same for these facts."""
    with_it = foresee_from(facts)
    without = foresee_from(without_server(facts, server_id))
    running = [
        Ending(one.id, with_it.forecast.jobs[one.id].end if one.id in with_it.forecast.jobs else None)
        for one in facts.running
        if one.server_id == server_id
    ]
    running.sort(key=lambda one: (one.ends_in is None, one.ends_in.likely if one.ends_in else 0.0))
    return DrainImpact(
        running=running,
        empty_in=_last(running),
        changes=_changes(facts.queue, with_it=with_it, without=without),
        held_back=sum(
            one.id in with_it.forecast.jobs and one.id not in without.forecast.jobs for one in facts.queue
        ),
        is_told=not facts.durations.is_empty,
        left_out=facts.left_out,
    )


def _last(running: Sequence[Ending]) -> Range | None:
    """When the last of them ends, if all can be told; at once if none runs."""
    ends = [one.ends_in for one in running if one.ends_in is not None]
    if len(ends) < len(running):
        return None
    return Range(
        max((one.low for one in ends), default=0.0),
        max((one.likely for one in ends), default=0.0),
        max((one.high for one in ends), default=0.0),
    )


def _changes(queue: Sequence[Queued], *, with_it: Foreseen, without: Foreseen) -> list[WaitChange]:
    """By architecture, those that change most first; what waits for nothing and is built nowhere else is told, too."""
    starts: dict[str, list[float]] = {}
    both: dict[str, list[tuple[float, float]]] = {}
    for job in queue:
        before, after = _start(job.id, with_it), _start(job.id, without)
        if before is None:
            continue
        starts.setdefault(job.work.architecture, []).append(before)
        if after is not None:
            both.setdefault(job.work.architecture, []).append((before, after))
    found = [_change(name, waits, both.get(name, [])) for name, waits in starts.items()]
    found += [
        WaitChange(name, 0, wait.likely, _likely(without.waits, name))
        for name, wait in with_it.waits.items()
        if name not in starts
    ]
    changed = [
        one for one in found if one.jobs or one.longer is None or abs(one.longer) >= LEAST_CHANGE_SECONDS
    ]
    return sorted(changed, key=lambda one: (one.longer is not None, -(one.longer or 0.0), one.architecture))


def _change(name: str, waits: Sequence[float], both: Sequence[tuple[float, float]]) -> WaitChange:
    """Of those that start in both cases; when none does, what they wait now."""
    if not both:
        return WaitChange(name, len(waits), median(waits), None)
    return WaitChange(
        name, len(waits), median(before for before, _ in both), median(after for _, after in both)
    )


def _start(job_id: UUID, foreseen: Foreseen) -> float | None:
    expected = foreseen.forecast.jobs.get(job_id)
    return expected.start.likely if expected and expected.start else None


def _likely(waits: Mapping[str, Range], name: str) -> float | None:
    return waits[name].likely if name in waits else None
