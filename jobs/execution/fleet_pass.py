"""The fleet during one pass over the queue: judged once for each class of need, and anew where a claim changes it.

Who is looked at in which order, and what is written, is dispatch.py's.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from jobs.needs import Needs, key_of
from jobs.queue.choice import Judged, Picked, is_patient
from jobs.queue.conditions import CPU_PATIENCE_SECONDS
from jobs.queue.deadlines import is_impossible
from jobs.queue.order import Waiting
from jobs.queue.score import Past, Scoring, waiting_for_each
from servers.fleet import ServerFacts
from servers.slots import count_held_slots

# The first jobs of each class of need whose refusals are kept as rows. Those behind wait for the same servers,
# and for these; to keep each server's refusal of each of them would be more rows than the fleet does work.
KEPT_OF_A_CLASS = 5

Class = tuple[str, bool]  # the key of its needs, and whether its job still waits for a cooler server


class FleetPass:
    """The fleet during one pass, judged once for each class of need; what a claim changes is judged anew.

    `before` is the fleet of the pass before, and `judged` what was known of it: what is as it was is not judged again.
    """

    def __init__(
        self,
        fleet: Iterable[ServerFacts],
        *,
        before: Mapping[UUID, ServerFacts],
        judged: Mapping[Class, Judged],
        scoring: Scoring,
    ) -> None:
        self.at: datetime = timezone.now()
        self.servers = {one.id: before[one.id] if before.get(one.id) == one else one for one in fleet}
        self.classes: dict[Class, Judged] = {}
        self.gone: set[UUID] = set()
        self._judged_before = judged
        self._scoring = scoring
        self._free = sum(server.room for server in self.servers.values())
        self._changes: list[UUID] = []
        self._caught_up: dict[Class, int] = {}
        self._full: set[Class] = set()
        self._kept: dict[str, int] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is no server at all."""
        return not self.servers

    @property
    def has_room(self) -> bool:
        """Whether any slot of a server in service is free."""
        return self._free > 0

    @property
    def fleet(self) -> Collection[ServerFacts]:
        """All servers."""
        return self.servers.values()

    def has_room_for(self, job: Waiting) -> bool:
        """Whether a server takes the job now; once there is none, there is none for the rest of its class."""
        of_class = self._class_of(job)
        if of_class in self._full:
            return False
        has_room = self.judged(job).has_room
        if not has_room:
            self._full.add(of_class)
        return has_room

    def pick(self, job: Waiting, *, past: Past) -> Picked:
        """The server that takes the job, for which there is room, and why that one."""
        return self.judged(job).pick(job_id=job.id, past=past)

    def waiting(self) -> dict[UUID, float]:
        """How many jobs wait for each server, once all were looked at."""
        reach = {key: judged.within_reach for (key, _), judged in self.classes.items()}
        return waiting_for_each((jobs, reach[key]) for key, jobs in self._kept.items())

    def judged(self, job: Waiting) -> Judged:
        """The fleet as it is now, judged for this job's class."""
        return self._judge(self._class_of(job), job.needs, job.waited_seconds(self.at))

    def judge(self, needs: Needs) -> Judged:
        """The same for a class, as for a job of it that has waited long."""
        return self._judge((key_of(needs), False), needs, CPU_PATIENCE_SECONDS)

    def impossible(self) -> set[str]:
        """The keys of the classes that no server could take even if it were free and in service."""
        return {key for (key, _), judged in self.classes.items() if is_impossible(judged)}

    def _class_of(self, job: Waiting) -> Class:
        return job.key, is_patient(job.waited_seconds(self.at))

    def _judge(self, of_class: Class, needs: Needs, waited_seconds: float) -> Judged:
        found = self.classes.get(of_class)
        if found is None:
            found = self.classes[of_class] = self._begin_with(of_class, needs, waited_seconds)
        else:
            for server_id in dict.fromkeys(self._changes[self._caught_up[of_class] :]):
                found.update(self.servers[server_id])
        self._caught_up[of_class] = len(self._changes)
        return found

    def _begin_with(self, of_class: Class, needs: Needs, waited_seconds: float) -> Judged:
        known = self._judged_before.get(of_class)
        if known is not None and known.needs == needs:
            known.renew(self.servers, now=self.at, scoring=self._scoring)
            return known
        return Judged(
            self.servers.values(),
            needs=needs,
            now=self.at,
            waited_seconds=waited_seconds,
            scoring=self._scoring,
        )

    def change(self, server: ServerFacts) -> None:
        """Slots were taken there, or came free."""
        more = server.room - self.servers[server.id].room
        self._free += more
        self.servers[server.id] = server
        self._changes.append(server.id)
        if more > 0:
            self._full.clear()

    def lose(self, job: Waiting) -> None:
        """Another dispatcher was faster, or it was cancelled."""
        self.gone.add(job.id)
        self.count_slots()

    def count_slots(self) -> None:
        """Another dispatcher is at work: what it took is not to be tried for."""
        held = count_held_slots()
        for server in list(self.servers.values()):
            now_held = max(held.get(server.id, 0), server.slots if not server.free_slots else 0)
            if now_held != server.held:
                self.change(replace(server, held=now_held))

    def is_kept(self, job: Waiting) -> bool:
        """Whether the job still waits and is among the first of its class."""
        if job.id in self.gone:
            return False
        self._kept[job.key] = self._kept.get(job.key, 0) + 1
        return self._kept[job.key] <= KEPT_OF_A_CLASS
