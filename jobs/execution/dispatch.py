"""Gives queued jobs to servers: one pass in order, a claim each. Any runner may do it, several at once too."""

import logging
from dataclasses import replace
from itertools import chain
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from jobs.errors import IllegalTransition, NoFreeSlot
from jobs.lifecycle import claim_job
from jobs.models import Attempt, BuildJob
from jobs.queue.choice import Choice, Needs, choose
from jobs.queue.order import needs_of, ready_jobs, waited_seconds
from jobs.queue.refusals import close_refusals, note_refusals
from servers.fleet import ServerFacts, load_fleet
from servers.models import BuildServer
from servers.slots import has_free_slot

logger = logging.getLogger(__name__)

NOTED_AT_ONCE = 20  # jobs whose refusals are written in one transaction: few enough to keep nobody waiting


class Dispatcher:
    """Passes over the queue. It remembers what it last wrote of each job, so an unchanged refusal costs nothing."""

    def __init__(self) -> None:
        self._noted: dict[UUID, frozenset[tuple[str, str, str]]] = {}

    def dispatch(self, *, explain: bool = True) -> list[Attempt]:
        """Claim every ready job that some server can take now; the attempts that were minted.

        Without `explain` it ends where no slot is free any more, and why the others wait is not written: enough
        for a bell, of which each build rings several.
        """
        if not explain and not has_free_slot():
            return []
        jobs = ready_jobs()
        first = next(jobs, None)
        if first is None:
            self._noted.clear()
            return []
        fleet = {server.id: server for server in load_fleet()}
        attempts: list[Attempt] = []
        verdicts: dict[Needs, Choice] = {}
        waiting: dict[UUID, Choice] = {}
        for job in chain([first], jobs):
            if not explain and not any(server.free_slots for server in fleet.values()):
                break
            placed = self._place(job, fleet, verdicts)
            if isinstance(placed, Attempt):
                attempts.append(placed)
            elif placed is not None:
                waiting[job.pk] = placed
        if explain:
            self._noted = {job_id: noted for job_id, noted in self._noted.items() if job_id in waiting}
            self._explain(waiting, fleet_empty=not fleet)
        return attempts

    def _place(
        self, job: BuildJob, fleet: dict[UUID, ServerFacts], verdicts: dict[Needs, Choice]
    ) -> Attempt | Choice | None:
        """The attempt that was minted, or why there is none; None when the job does not wait any more."""
        needs, now = needs_of(job), timezone.now()
        choice = verdicts.get(needs)
        if choice is None:
            # One verdict a class of need and pass, judged for its oldest job; a claim makes it new.
            waited = waited_seconds(job, now=now)
            choice = verdicts[needs] = choose(fleet.values(), needs=needs, now=now, waited_seconds=waited)
        while choice.able:
            server = choice.able[0]
            try:
                attempt = self._claim(job, server)
            except IllegalTransition:
                return None  # another dispatcher was faster, or it was cancelled
            except NoFreeSlot:
                fleet[server.id] = replace(server, held=server.slots)
            else:
                fleet[server.id] = replace(server, held=server.held + 1)
                verdicts.clear()
                return attempt
            verdicts.clear()
            choice = verdicts[needs] = choose(fleet.values(), needs=needs, now=now)
        return choice

    def _claim(self, job: BuildJob, server: ServerFacts) -> Attempt:
        with transaction.atomic():
            attempt = claim_job(job.pk, server=BuildServer.objects.get(pk=server.id))
            if job.pk in self._noted:
                close_refusals(job.pk)
        self._noted.pop(job.pk, None)
        return attempt

    def _explain(self, waiting: dict[UUID, Choice], *, fleet_empty: bool) -> None:
        """Write why each of these jobs waits, as far as that has changed since the last look."""
        seen = {id(choice): _summary(choice) for choice in waiting.values()}
        changed = [
            job_id for job_id, choice in waiting.items() if self._noted.get(job_id) != seen[id(choice)]
        ]
        for at in range(0, len(changed), NOTED_AT_ONCE):
            some = changed[at : at + NOTED_AT_ONCE]
            with transaction.atomic():
                for job_id in some:
                    note_refusals(job_id, refusals=waiting[job_id].refusals, fleet_empty=fleet_empty)
            self._noted.update({job_id: seen[id(waiting[job_id])] for job_id in some})


def _summary(choice: Choice) -> frozenset[tuple[str, str, str]]:
    return frozenset((str(server.id), str(one.condition), one.detail) for server, one in choice.refusals)
