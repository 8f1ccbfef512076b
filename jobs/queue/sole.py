"""Which queued jobs a server alone could take: what its leaving would strand. It decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from jobs.models import BuildJob
from jobs.needs import Needs, read_needs
from jobs.queue.conditions import Kind, judge
from jobs.queue.order import PULLED
from servers.fleet import ServerFacts

MOST_JUDGED = 2000
_NAMED = 5


@dataclass(frozen=True)
class Stranded:
    """How many queued jobs no other server fits, and the first of them. `is_all`: the whole queue was looked at."""

    count: int = 0
    jobs: Sequence[BuildJob] = ()
    is_all: bool = True

    @property
    def more(self) -> int:
        """Those that are not named."""
        return self.count - len(self.jobs)


def jobs_only_for(server_id: UUID, *, fleet: Sequence[ServerFacts]) -> Stranded:
    """Of the first 2,000 queued jobs, those that fit this server and no other. A query for every 200, and two."""
    queue = BuildJob.objects.queued().exclude(provider=PULLED)
    ids = list(queue.values_list("pk", flat=True)[: MOST_JUDGED + 1])
    needs = read_needs(ids[:MOST_JUDGED])
    stranding = {one for one in set(needs.values()) if _fits_only(server_id, one, fleet)}
    stranded = [job_id for job_id in ids if needs.get(job_id) in stranding]
    named = BuildJob.objects.in_bulk(stranded[:_NAMED])
    return Stranded(
        len(stranded),
        [named[job_id] for job_id in stranded[:_NAMED] if job_id in named],
        len(ids) <= MOST_JUDGED,
    )


def _fits_only(server_id: UUID, needs: Needs, fleet: Sequence[ServerFacts]) -> bool:
    now = timezone.now()
    fitting = (
        server.id
        for server in fleet
        if all(one.kind is not Kind.IMPOSSIBLE for one in judge(server, needs=needs, now=now))
    )
    return list(fitting) == [server_id]
