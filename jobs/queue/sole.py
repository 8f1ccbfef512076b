"""Which queued jobs a server alone could take: what its leaving would strand. It decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from jobs.models import BuildJob
from jobs.needs import Needs, read_needs
from jobs.queue.conditions import fits
from jobs.queue.order import PULLED
from servers.fleet import ServerFacts

MOST_JUDGED = 2000
MOST_CLASSES = 200  # of need: each may be asked of the whole fleet
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
    """Of the first 2,000 queued jobs, those that fit this server and no other; of the first 200 classes of need.

    Three queries. `fleet` is all servers; where the server is not among them it strands nothing.
    """
    queue = BuildJob.objects.queued().exclude(provider=PULLED)
    rows = list(queue.values_list("pk", "needs_key")[: MOST_JUDGED + 1])
    classes: dict[str, list[UUID]] = {}
    for job_id, key in rows[:MOST_JUDGED]:
        classes.setdefault(key or job_id.hex, []).append(job_id)
    judged = [ids[0] for ids in list(classes.values())[:MOST_CLASSES]]
    needs = read_needs(judged)
    here = next((server for server in fleet if server.id == server_id), None)
    others = [server for server in fleet if server is not here]
    stranding = {
        first for first in judged if here and first in needs and _fits_only(here, needs[first], others)
    }
    among = {job_id for ids in classes.values() if ids[0] in stranding for job_id in ids}
    stranded = [job_id for job_id, _ in rows if job_id in among]
    named = BuildJob.objects.in_bulk(stranded[:_NAMED])
    return Stranded(
        len(stranded),
        [named[job_id] for job_id in stranded[:_NAMED] if job_id in named],
        is_all=len(rows) <= MOST_JUDGED and len(classes) <= MOST_CLASSES,
    )


def _fits_only(here: ServerFacts, needs: Needs, others: Sequence[ServerFacts]) -> bool:
    """Asked of the server itself first, for it fits few classes; and no further than the first other one that fits."""
    return fits(here, needs=needs) and not any(fits(server, needs=needs) for server in others)
