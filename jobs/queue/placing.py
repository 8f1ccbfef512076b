"""The fleet judged for one queued job with all that dispatch weighs, so that who is named first is who takes it.

The choice itself is choice.py's, which dispatch asks, too. Here is read what it is asked with beside fleet and needs:
what the servers have of the repository, and who else waits for them. Of a job that is not stored nobody knows the lot
that it will draw among servers that suit it alike: the first of them by name stands for all.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from jobs.models import BuildJob
from jobs.queue.choice import Judged
from jobs.queue.experience import read_past
from jobs.queue.order import Waiting, ranked_jobs
from jobs.queue.score import usual_scoring, waiting_for_each
from jobs.queue.verdicts import ServerVerdict, verdicts_of
from servers.fleet import ServerFacts

_MOST_WAITING = 2000  # jobs of the queue, by rank
_MOST_CLASSES = 20  # those of which most jobs wait


def judge_for(
    job: BuildJob, *, waiting: Waiting, fleet: Sequence[ServerFacts], now: datetime
) -> list[ServerVerdict]:
    """Every server, those that take the job now first, in dispatch's order. No query where fewer than two are able.

    Else three for the repository's past and the queue, one more for each 1,000 jobs of it and 200 classes.
    """
    judged = Judged(fleet, needs=waiting.needs, now=now, waited_seconds=waiting.waited_seconds(now))
    if judged.able_count < 2:
        return verdicts_of(judged.choice)
    past = read_past(job.source_repository, architecture=waiting.needs.architecture, fleet=fleet)
    scoring = usual_scoring(waiting=_waiting_beside(job.pk, fleet=fleet, now=now))
    judged.renew({server.id: server for server in fleet}, now=now, scoring=scoring)
    return verdicts_of(judged.choice_for(job_id=None if job._state.adding else job.pk, past=past))


def _waiting_beside(job_id: UUID, *, fleet: Sequence[ServerFacts], now: datetime) -> dict[UUID, float]:
    """How many other jobs wait for each server."""
    others = [one for one in ranked_jobs(limit=_MOST_WAITING) if one.id != job_id]
    needs = {one.key: one.needs for one in others}
    classes = Counter(one.key for one in others).most_common(_MOST_CLASSES)
    return waiting_for_each(
        (count, Judged(fleet, needs=needs[key], now=now).within_reach) for key, count in classes
    )
