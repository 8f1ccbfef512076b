"""Whom a queued job waits behind, would overtake with another priority or let pass; and the change, with its event.

Jobs of its own architecture count: one of another waits for other servers. It is told by rank; whose turn it is among
several submitters of one class (fairness.py) may still differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from buildboard.core.audit import Actor
from jobs.errors import FieldError, InvalidSubmission
from jobs.lifecycle import change_priority
from jobs.models import BuildJob
from jobs.queue.order import PULLED, overtaken_by
from jobs.states import Priority
from jobs.validation import Invalid, check_priority_reason

NAMED = 10
_SHOWN = ("source_repository", "branch", "priority", "target_architecture")


@dataclass(frozen=True)
class Passing:
    """The queued jobs on the other side of a change of priority, and the first of them in the queue's order."""

    priority: Priority
    is_raised: bool
    count: int = 0
    jobs: Sequence[BuildJob] = ()

    @property
    def more(self) -> int:
        """Those that are not named."""
        return self.count - len(self.jobs)

    @property
    def told(self) -> str:
        """`It overtakes 3 jobs.`, `2 jobs overtake it.`, or that nothing changes now."""
        if not self.count:
            return "It overtakes nobody now." if self.is_raised else "Nobody overtakes it now."
        if self.is_raised:
            return f"It overtakes {self.count} job{'' if self.count == 1 else 's'}."
        return f"{self.count} job{' overtakes' if self.count == 1 else 's overtake'} it."

    @property
    def told_with_names(self) -> str:
        """The same to go before their names."""
        return f"{self.told.removesuffix('.')}:" if self.count else self.told

    @property
    def data(self) -> dict[str, Any]:
        """For the event: how many, and the first by id; nothing when nobody is passed."""
        if not self.count:
            return {}
        ids = [str(job.pk) for job in self.jobs]
        return {"overtakes" if self.is_raised else "lets_pass": self.count, "jobs": ids}


def passing_of(job: BuildJob, *, priority: Priority) -> Passing:
    """Whom this queued job would pass with this priority. Two queries; one when there is nobody."""
    is_raised = priority > job.priority
    if priority == job.priority:
        return Passing(priority, is_raised)
    queue = BuildJob.objects.queued().filter(overtaken_by(job, priority=priority))
    rivals = queue.filter(target_architecture=job.target_architecture).exclude(provider=PULLED)
    count = rivals.count()
    return Passing(priority, is_raised, count, list(rivals.only(*_SHOWN)[:NAMED]) if count else ())


def choices_of(job: BuildJob) -> list[Passing]:
    """Whom it would pass with each priority, the highest first; with its own nobody. Two queries for each other one."""
    return [passing_of(job, priority=one) for one in reversed(Priority)]


def ahead_of(job: BuildJob, *, limit: int = NAMED) -> list[BuildJob]:
    """Of the queued jobs that this one waits behind, those of its architecture, the first ones. One query."""
    queue = BuildJob.objects.queued().filter(target_architecture=job.target_architecture)
    before = Q(rank_ms__lt=job.rank_ms) | Q(rank_ms=job.rank_ms, created_at__lt=job.created_at)
    return list(queue.filter(before).exclude(provider=PULLED).only(*_SHOWN)[:limit])


def reprioritise(job: BuildJob, *, priority: Priority, actor: Actor, reason: str) -> BuildJob:
    """Raise or lower a queued job; its event keeps why, and whom it passed.

    Raises InvalidSubmission without a reason, IllegalTransition if it waits no more.
    """
    try:
        reason = check_priority_reason(reason)
    except Invalid as error:
        raise InvalidSubmission([FieldError("reason", str(error))]) from error
    passing = passing_of(job, priority=priority)
    return change_priority(job, priority=priority, actor=actor, reason=reason, passed=passing.data)
