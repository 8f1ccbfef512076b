"""Keeps what a server has in order beside its builds: compares it with what is stored, clears it away.

Each now and then, by errands in other threads. It is not in charge of following builds (follow.py), nor of probes
(probing.py).
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from jobs.execution import collect
from jobs.execution.errands import Errands, Forgotten
from jobs.execution.reconcile import reconcile
from jobs.models import Attempt
from jobs.providers.base import BuildProvider
from jobs.providers.registry import provider_names
from servers.models import BuildServer

COMPARE_SECONDS = 300
FORGET_AGAIN_SECONDS = 30
FORGET_EVERY_SECONDS = 1.0  # every round would ask for what each build leaves once
FORGET_AT_ONCE = 40  # in one exec


class Upkeep:
    """One server's; only its follower calls this."""

    def __init__(self, server_id: UUID, errands: Errands) -> None:
        self._server_id = server_id
        self._errands = errands
        self._compare_after = 0.0
        self._forget_after = 0.0
        # The last of those that could not be removed: what ended later is not held up by them.
        self._passed: tuple[datetime, UUID] | None = None
        self._again_after = 0.0  # when all of them are tried again
        self._asked_at = timezone.now()

    def hurry(self) -> None:
        """The server is back: what was given up meanwhile is ended now."""
        self._compare_after = self._forget_after = self._again_after = 0.0

    def look(self) -> None:
        """Ask the server which runs it has; take what it answered."""
        runs = self._errands.listed()
        if runs is not None:
            reconcile(self._server_id, runs, asked_at=self._asked_at)
        now = time.monotonic()
        if not self._errands.is_listing and now >= self._compare_after:
            self._compare_after = now + COMPARE_SECONDS
            server = BuildServer.objects.to_reach(self._server_id)
            if server is not None:  # else it was deleted, and its follower ends with the lease
                self._asked_at = timezone.now()
                self._errands.list_runs(server)

    def forget(self, connect: Callable[[str, Attempt], BuildProvider]) -> None:
        """Remove from the server what finished attempts left there; a failure is tried again later."""
        done = self._errands.forgotten()
        if done is not None:
            collect.note_forgotten(done.attempts)
            self._pass_over(done)
        if self._errands.is_forgetting or time.monotonic() < self._forget_after:
            return
        self._forget_after = time.monotonic() + FORGET_EVERY_SECONDS
        left = self._next_left()
        known = provider_names()
        gone = [one.pk for one in left if one.job.provider not in known]
        if gone:
            collect.note_forgotten(gone)  # nobody can remove what they left any more
        removable = [(one, connect(one.job.provider, one)) for one in left if one.job.provider in known]
        if removable:
            self._errands.forget(removable)

    def _next_left(self) -> Sequence[Attempt]:
        """The oldest finished attempts that left something, but for those that were passed over."""
        rows = Attempt.objects.filter(
            server_id=self._server_id, cleaned_at__isnull=True, completed_at__isnull=False
        )
        if time.monotonic() >= self._again_after:
            self._passed = None
        if self._passed is not None:
            ended, last = self._passed
            rows = rows.filter(Q(completed_at__gt=ended) | Q(completed_at=ended, pk__gt=last))
        return list(rows.select_related("job", "server").order_by("completed_at", "pk")[:FORGET_AT_ONCE])

    def _pass_over(self, done: Forgotten) -> None:
        now = time.monotonic()
        if done.is_away:
            self._forget_after = now + FORGET_AGAIN_SECONDS
        elif done.left:
            if self._passed is None:
                self._again_after = now + FORGET_AGAIN_SECONDS
            last = Attempt.objects.filter(pk__in=done.left).order_by("completed_at", "pk").last()
            if last is not None and last.completed_at is not None:  # else it was deleted meanwhile
                self._passed = (last.completed_at, last.pk)
