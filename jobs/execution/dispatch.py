"""Gives queued jobs to servers: one pass in order, a claim each. Any runner may do it, several at once too."""

import logging
from dataclasses import replace
from uuid import UUID

from django.utils import timezone

from jobs.errors import IllegalTransition, NoFreeSlot
from jobs.lifecycle import claim_job
from jobs.models import Attempt, BuildJob
from jobs.queue.choice import Choice, Needs, choose
from jobs.queue.order import needs_of, ready_jobs, waited_seconds
from jobs.queue.refusals import close_refusals, note_refusals
from servers.fleet import ServerFacts, load_fleet
from servers.models import BuildServer

logger = logging.getLogger(__name__)


class Dispatcher:
    """Passes over the queue. It remembers what it last wrote of each job, so an unchanged refusal costs nothing."""

    def __init__(self) -> None:
        self._noted: dict[UUID, frozenset[tuple[str, str, str]]] = {}

    def dispatch(self) -> list[Attempt]:
        """Claim every ready job that some server can take now; the attempts that were minted."""
        fleet = {server.id: server for server in load_fleet()}
        attempts: list[Attempt] = []
        verdicts: dict[Needs, Choice] = {}
        waiting: set[UUID] = set()
        for job in ready_jobs():
            attempt = self._place(job, fleet, verdicts)
            if attempt is None:
                waiting.add(job.pk)
            else:
                attempts.append(attempt)
        self._noted = {job_id: noted for job_id, noted in self._noted.items() if job_id in waiting}
        return attempts

    def _place(
        self, job: BuildJob, fleet: dict[UUID, ServerFacts], verdicts: dict[Needs, Choice]
    ) -> Attempt | None:
        needs, now = needs_of(job), timezone.now()
        choice = verdicts.get(needs)
        if choice is None:
            # One verdict a class of need and pass, judged for its oldest job; a claim makes it new.
            waited = waited_seconds(job, now=now)
            choice = verdicts[needs] = choose(fleet.values(), needs=needs, now=now, waited_seconds=waited)
        while choice.able:
            server = choice.able[0]
            try:
                attempt = claim_job(job.pk, server=BuildServer.objects.get(pk=server.id))
            except IllegalTransition:
                return None  # another dispatcher was faster, or it was cancelled
            except NoFreeSlot:
                fleet[server.id] = replace(server, held=server.slots)
            else:
                fleet[server.id] = replace(server, held=server.held + 1)
                verdicts.clear()
                if self._noted.pop(job.pk, None):
                    close_refusals(job.pk)
                return attempt
            verdicts.clear()
            choice = verdicts[needs] = choose(fleet.values(), needs=needs, now=now)
        self._note(job.pk, choice, fleet_empty=not fleet)
        return None

    def _note(self, job_id: UUID, choice: Choice, *, fleet_empty: bool) -> None:
        seen = frozenset((str(server.id), str(one.condition), one.detail) for server, one in choice.refusals)
        if self._noted.get(job_id) != seen:
            note_refusals(job_id, refusals=choice.refusals, fleet_empty=fleet_empty)
            self._noted[job_id] = seen
