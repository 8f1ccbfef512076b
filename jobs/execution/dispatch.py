"""Gives queued jobs to servers: one pass in order, a claim each. Any runner may do it, several at once too."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from jobs.errors import IllegalTransition, NoFreeSlot
from jobs.execution.expire import note_impossible
from jobs.execution.fleet_pass import Class, FleetPass
from jobs.lifecycle import claim_job
from jobs.models import Attempt, BuildJob
from jobs.needs import Needs
from jobs.queue.choice import Judged, Picked
from jobs.queue.experience import Experience
from jobs.queue.fairness import contested, heads_of
from jobs.queue.order import Waiting, ready_jobs
from jobs.queue.refusals import Look, close_all_but, close_refusals, look_of, note_refusals
from jobs.queue.score import usual_scoring
from jobs.queue.shares import note_served
from jobs.states import JobStatus
from servers.fleet import ServerFacts, Tools, load_fleet, read_toolchains, takes_jobs
from servers.models import BuildServer
from servers.slots import has_free_slot

logger = logging.getLogger(__name__)

NOTED_AT_ONCE = 20  # jobs whose refusals are written in one transaction: few enough to keep nobody waiting
MANY = 500  # jobs behind which a bell does not look at those again for which there was no room
MOST = 100_000  # jobs of one whole look
# The first by rank, for there is mostly room for few; and as many that stand behind these.
MOST_AT_A_BELL = 1000
# Jobs of which it is asked at once whether they still wait, when another took the one before.
LOOKED_AHEAD = 50
NEW = timedelta(minutes=1)  # more than the clocks of web servers and runners differ


class Dispatcher:
    """Passes over the queue.

    It remembers how it judged the fleet for each class of need, and what it last wrote of each job, so what has not
    changed costs next to nothing.
    """

    def __init__(self) -> None:
        self._needs: dict[str, Needs] = {}
        self._queued = 0  # at the last whole look
        self._heads: list[UUID] = []  # then: of a long queue the first jobs of each submitter in each class
        self._noted: dict[UUID, Look] | None = None  # None: what another process left is not known
        self._looked_at = timezone.now()
        self._tools: Tools | None = None
        self._waiting: dict[UUID, float] = {}  # jobs for each server, after the last whole look
        self._experience = Experience()
        self._fleet: dict[UUID, ServerFacts] = {}
        self._judged: dict[Class, Judged] = {}
        self._words: dict[Judged, tuple[int, Look]] = {}

    def dispatch(self, *, explain: bool = True) -> list[Attempt]:
        """Claim every ready job that some server can take now; the attempts that were minted.

        Without `explain` it ends where no slot is free any more, and why the others wait is not written: enough
        for a bell, of which each build rings several.
        """
        if not explain and not has_free_slot():
            return []
        look = self._begin(explain=False) if self._queued > MANY and not explain else None
        among = self._placeable(look) if look else None
        limit = MOST if explain else MOST_AT_A_BELL
        also = () if explain else self._heads
        jobs = ready_jobs(self._needs, among=among, limit=limit, also=also)
        if not jobs:
            if explain:
                self._see_empty_queue()
            return []
        look = look or self._begin(explain=explain)
        claimed, waiting = self._give_out(jobs, look, explain=explain)
        if claimed:
            started = [(job.key, job.submitter) for job, _ in claimed]
            note_served(started, contested=contested(jobs))
        if explain:
            self._looked_at, self._queued = look.at, len(jobs) - len(claimed)
            self._waiting = look.waiting()
            self._heads = _heads_of(jobs, but={job.id for job, _ in claimed})
            self._forget_all_but(jobs)
            self._judged = look.classes
            note_impossible(jobs, classes=look.impossible())
            self._explain(waiting, fleet_empty=look.is_empty)
        return [attempt for _, attempt in claimed]

    def _see_empty_queue(self) -> None:
        self._needs = {}
        self._queued = 0
        self._waiting = {}
        self._heads = []
        self._explain({})

    def _give_out(
        self, jobs: Sequence[Waiting], look: FleetPass, *, explain: bool
    ) -> tuple[list[tuple[Waiting, Attempt]], dict[UUID, Judged]]:
        """Claim what can be claimed, in this order; and the first of each class that wait on, as they were judged."""
        claimed: list[tuple[Waiting, Attempt]] = []
        waiting: dict[UUID, Judged] = {}
        for place, job in enumerate(jobs, start=1):
            if not explain and not look.has_room:
                break
            if job.id in look.gone:
                continue
            attempt = self._place(job, look)
            if attempt is not None:
                claimed.append((job, attempt))
            elif job.id in look.gone:
                look.gone |= _gone_of(jobs[place : place + LOOKED_AHEAD])
            elif look.is_kept(job):
                waiting[job.id] = look.judged(job)
        return claimed, waiting

    def _forget_all_but(self, jobs: list[Waiting]) -> None:
        """Drop the needs of classes that nobody waits for; jobs without a key are known by their id."""
        classes = {job.key for job in jobs}
        if self._needs.keys() - classes:
            kept = classes | {job.id.hex for job in jobs}
            self._needs = {name: needs for name, needs in self._needs.items() if name in kept}

    def _begin(self, *, explain: bool) -> FleetPass:
        """A pass over the fleet as it is. Toolchains are dozens of rows that seldom change: whole looks read them."""
        if explain or self._tools is None:
            self._tools = read_toolchains()
        fleet, scoring = load_fleet(tools=self._tools), usual_scoring(waiting=self._waiting)
        look = FleetPass(fleet, before=self._fleet, judged=self._judged, scoring=scoring)
        self._fleet = look.servers
        return look

    def _placeable(self, look: FleetPass) -> Q:
        """Of a long queue what a bell is about: jobs of classes that have room now, and new ones."""
        classes = set(self._needs.values())
        room = {needs.architecture for needs in classes if look.judge(needs).has_room}
        return Q(target_architecture__in=room) | Q(created_at__gt=self._looked_at - NEW)

    def _place(self, job: Waiting, look: FleetPass) -> Attempt | None:
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
        words: dict[Judged, tuple[int, Look]] = {}
        for judged in set(waiting.values()):
            known = self._words.get(judged)
            if known is None or known[0] != judged.changes:
                known = judged.changes, look_of(judged.choice.refusals, fleet_empty=fleet_empty)
            words[judged] = known
        self._words = words
        looks = {job_id: words[judged][1] for job_id, judged in waiting.items()}
        before = self._noted
        changed = [
            job_id
            for job_id, found in looks.items()
            if before is None or (before.get(job_id) is not found and before.get(job_id) != found)
        ]
        for at in range(0, len(changed), NOTED_AT_ONCE):
            note_refusals({job_id: looks[job_id] for job_id in changed[at : at + NOTED_AT_ONCE]})
        if before is None or before.keys() != looks.keys():
            close_all_but(looks.keys())
        self._noted = looks


def _heads_of(jobs: Sequence[Waiting], *, but: Collection[UUID]) -> list[UUID]:
    """Those that a bell would overlook in a long queue, though it may be their turn; none of a shorter one."""
    if len(jobs) <= MOST_AT_A_BELL:
        return []
    return [job.id for job in heads_of((job for job in jobs if job.id not in but), most=MOST_AT_A_BELL)]


def _gone_of(jobs: Sequence[Waiting]) -> set[UUID]:
    """Those that wait no more: where others are at work they have mostly taken the next ones, too. One query."""
    ids = {job.id for job in jobs}
    rows = BuildJob.objects.filter(pk__in=ids, status=JobStatus.QUEUED).order_by()
    return ids - set(rows.values_list("pk", flat=True))
