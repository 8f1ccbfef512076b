"""Gives queued jobs to servers: one pass in order, a claim each. Any runner may do it, several at once too."""

import logging
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from jobs.errors import IllegalTransition, NoFreeSlot
from jobs.execution.expire import note_impossible
from jobs.lifecycle import claim_job
from jobs.models import Attempt, BuildJob
from jobs.needs import Needs, key_of
from jobs.queue.choice import Judged, Picked, is_patient
from jobs.queue.conditions import CPU_PATIENCE_SECONDS
from jobs.queue.deadlines import is_impossible
from jobs.queue.experience import Experience
from jobs.queue.fairness import contested
from jobs.queue.order import Waiting, ready_jobs
from jobs.queue.refusals import Look, close_all_but, close_refusals, look_of, note_refusals
from jobs.queue.score import Past, Scoring, usual_scoring, waiting_for_each
from jobs.queue.shares import note_served
from jobs.states import JobStatus
from servers.fleet import ServerFacts, Tools, load_fleet, read_toolchains, takes_jobs
from servers.models import BuildServer
from servers.slots import count_held_slots, has_free_slot

logger = logging.getLogger(__name__)

NOTED_AT_ONCE = 20  # jobs whose refusals are written in one transaction: few enough to keep nobody waiting
# The first jobs of each class of need whose refusals are kept as rows. Those behind wait for the same servers,
# and for these; to keep each server's refusal of each of them would be more rows than the fleet does work.
KEPT_OF_A_CLASS = 5
MANY = 500  # jobs behind which a bell does not look at those again for which there was no room
MOST = 100_000  # jobs of one whole look
MOST_AT_A_BELL = 1000  # the first by rank: there is mostly room for few
NEW = timedelta(minutes=1)  # more than the clocks of web servers and runners differ


class Dispatcher:
    """Passes over the queue. It remembers what it last wrote of each job, so an unchanged refusal costs nothing."""

    def __init__(self) -> None:
        self._needs: dict[str, Needs] = {}
        self._queued = 0  # at the last whole look
        self._noted: dict[UUID, Look] | None = None  # None: what another process left is not known
        self._looked_at = timezone.now()
        self._tools: Tools | None = None
        self._waiting: dict[UUID, float] = {}  # jobs for each server, after the last whole look
        self._experience = Experience()

    def dispatch(self, *, explain: bool = True) -> list[Attempt]:
        """Claim every ready job that some server can take now; the attempts that were minted.

        Without `explain` it ends where no slot is free any more, and why the others wait is not written: enough
        for a bell, of which each build rings several.
        """
        if not explain and not has_free_slot():
            return []
        look = self._begin(explain=False) if self._queued > MANY and not explain else None
        among = self._placeable(look) if look else None
        jobs = ready_jobs(self._needs, among=among, limit=MOST if explain else MOST_AT_A_BELL)
        if not jobs:
            if explain:
                self._needs, self._queued, self._waiting = {}, 0, {}
                self._explain({})
            return []
        look = look or self._begin(explain=explain)
        attempts: list[Attempt] = []
        started: list[tuple[str, UUID]] = []
        waiting: dict[UUID, Judged] = {}
        for job in jobs:
            if not explain and not look.has_room:
                break
            attempt = self._place(job, look)
            if attempt is not None:
                attempts.append(attempt)
                started.append((job.key, job.submitter))
            elif look.is_kept(job):
                waiting[job.id] = look.judged(job)
        if started:
            note_served(started, contested=contested(jobs))
        if explain:
            self._looked_at, self._queued = look.at, len(jobs) - len(attempts)
            self._waiting = look.waiting()
            self._forget_all_but(jobs)
            note_impossible(jobs, classes=look.impossible())
            self._explain(waiting, fleet_empty=look.is_empty)
        return attempts

    def _forget_all_but(self, jobs: list[Waiting]) -> None:
        """Drop the needs of classes that nobody waits for; jobs without a key are known by their id."""
        classes = {job.key for job in jobs}
        if self._needs.keys() - classes:
            kept = classes | {job.id.hex for job in jobs}
            self._needs = {name: needs for name, needs in self._needs.items() if name in kept}

    def _begin(self, *, explain: bool) -> "_Pass":
        """A pass over the fleet as it is. Toolchains are dozens of rows that seldom change: whole looks read them."""
        if explain or self._tools is None:
            self._tools = read_toolchains()
        return _Pass(self._tools, scoring=usual_scoring(waiting=self._waiting))

    def _placeable(self, look: "_Pass") -> Q:
        """Of a long queue what a bell is about: jobs of classes that have room now, and new ones."""
        classes = set(self._needs.values())
        room = {needs.architecture for needs in classes if look.judge(needs).has_room}
        return Q(target_architecture__in=room) | Q(created_at__gt=self._looked_at - NEW)

    def _place(self, job: Waiting, look: "_Pass") -> Attempt | None:
        """The attempt that was minted; None when no server takes the job now, or it waits no more."""
        while look.has_room_for(job):
            # Without a lock first: on SQLite all who lose a job would else wait for the one who writes.
            row = BuildJob.objects.filter(pk=job.id, status=JobStatus.QUEUED)
            repository = row.values_list("source_repository", flat=True).first()
            if repository is None:
                look.lose(job)
                return None
            past = self._experience.of(repository, architecture=job.needs.architecture, fleet=look.fleet)
            picked = look.pick(job, past=past)
            server = picked.server
            try:
                attempt = self._claim(job.id, picked)
            except IllegalTransition:
                look.lose(job)
                return None
            except NoFreeSlot:
                look.change(replace(server, held=server.slots))
                look.count_slots()
            else:
                look.change(server.with_one_more(attempt.pk))
                return attempt
        return None

    def _claim(self, job_id: UUID, picked: Picked) -> Attempt:
        noted = self._noted or {}
        with transaction.atomic():
            row = BuildServer.objects.defer("facts").filter(pk=picked.server.id).first()
            if row is None or not takes_jobs(row):
                raise NoFreeSlot(f"{picked.server.name} takes no jobs any more.")
            attempt = claim_job(job_id, server=row, why=picked.why)
            if job_id in noted:
                close_refusals(job_id)
        noted.pop(job_id, None)
        return attempt

    def _explain(self, waiting: dict[UUID, Judged], *, fleet_empty: bool = False) -> None:
        """Write why each of these jobs waits, as far as that has changed since the last look."""
        words: dict[int, Look] = {}
        for judged in waiting.values():
            if id(judged) not in words:
                words[id(judged)] = look_of(judged.choice.refusals, fleet_empty=fleet_empty)
        looks = {job_id: words[id(judged)] for job_id, judged in waiting.items()}
        before = self._noted
        changed = [job_id for job_id, found in looks.items() if before is None or before.get(job_id) != found]
        for at in range(0, len(changed), NOTED_AT_ONCE):
            note_refusals({job_id: looks[job_id] for job_id in changed[at : at + NOTED_AT_ONCE]})
        if before is None or before.keys() != looks.keys():
            close_all_but(looks.keys())
        self._noted = looks


_Class = tuple[str, bool]  # the key of its needs, and whether its job still waits for a cooler server


class _Pass:
    """The fleet during one pass, judged once for each class of need; what a claim changes is judged anew."""

    def __init__(self, tools: Tools, *, scoring: Scoring) -> None:
        self.at: datetime = timezone.now()
        self._scoring = scoring
        self._fleet = {server.id: server for server in load_fleet(tools=tools)}
        self._free = sum(server.room for server in self._fleet.values())
        self._changes: list[UUID] = []
        self._classes: dict[_Class, Judged] = {}
        self._caught_up: dict[_Class, int] = {}
        self._full: set[_Class] = set()
        self._kept: dict[str, int] = {}
        self.gone: set[UUID] = set()

    @property
    def is_empty(self) -> bool:
        """Whether there is no server at all."""
        return not self._fleet

    @property
    def has_room(self) -> bool:
        """Whether any slot of a server in service is free."""
        return self._free > 0

    @property
    def fleet(self) -> Collection[ServerFacts]:
        """All servers."""
        return self._fleet.values()

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
        reach = {key: judged.within_reach for (key, _), judged in self._classes.items()}
        return waiting_for_each((jobs, reach[key]) for key, jobs in self._kept.items())

    def judged(self, job: Waiting) -> Judged:
        """The fleet as it is now, judged for this job's class."""
        return self._judge(self._class_of(job), job.needs, job.waited_seconds(self.at))

    def judge(self, needs: Needs) -> Judged:
        """The same for a class, as for a job of it that has waited long."""
        return self._judge((key_of(needs), False), needs, CPU_PATIENCE_SECONDS)

    def impossible(self) -> set[str]:
        """The keys of the classes that no server could take even if it were free and in service."""
        return {key for (key, _), judged in self._classes.items() if is_impossible(judged)}

    def _class_of(self, job: Waiting) -> _Class:
        return job.key, is_patient(job.waited_seconds(self.at))

    def _judge(self, of_class: _Class, needs: Needs, waited_seconds: float) -> Judged:
        found = self._classes.get(of_class)
        if found is None:
            found = self._classes[of_class] = Judged(
                self._fleet.values(),
                needs=needs,
                now=self.at,
                waited_seconds=waited_seconds,
                scoring=self._scoring,
            )
        else:
            for server_id in dict.fromkeys(self._changes[self._caught_up[of_class] :]):
                found.update(self._fleet[server_id])
        self._caught_up[of_class] = len(self._changes)
        return found

    def change(self, server: ServerFacts) -> None:
        """Slots were taken there, or came free."""
        more = server.room - self._fleet[server.id].room
        self._free += more
        self._fleet[server.id] = server
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
        for server in list(self._fleet.values()):
            now_held = max(held.get(server.id, 0), server.slots if not server.free_slots else 0)
            if now_held != server.held:
                self.change(replace(server, held=now_held))

    def is_kept(self, job: Waiting) -> bool:
        """Whether the job still waits and is among the first of its class."""
        if job.id in self.gone:
            return False
        self._kept[job.key] = self._kept.get(job.key, 0) + 1
        return self._kept[job.key] <= KEPT_OF_A_CLASS
