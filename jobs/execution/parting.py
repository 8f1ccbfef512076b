"""Takes a server that is about to be deleted from the rows of what ended there, a few at a time.

The database would do it with the deletion, in one transaction that holds up everybody for as long as a long history
takes. What the server was called stays on each row. It does not decide that a server goes: removal.py does.
"""

import time
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

from jobs.models import Attempt, BuildJob, Prediction, Refusal
from jobs.queue import predictions, refusals
from jobs.states import ATTEMPT_TERMINAL, JOB_TERMINAL
from servers.models import BuildServer

AT_ONCE = 500  # rows of one transaction: few enough to keep nobody waiting


def has_long_history(server: BuildServer) -> bool:
    """Whether more rows name it than are to be changed in one transaction. Five queries at most."""
    own = {"server": server}
    named: tuple[QuerySet[Any], ...] = (
        Attempt.objects.filter(**own),
        BuildJob.objects.filter(**own),
        BuildJob.objects.filter(requested_server=server),
        Refusal.objects.filter(**own),
        Prediction.objects.filter(**own),
    )
    return any(len(rows.order_by().values_list("pk")[:AT_ONCE]) == AT_ONCE for rows in named)


def part_from(server: BuildServer, *, until: float) -> bool:
    """Whether nothing that has ended names it any more; False when the time was up before, `until` of the clock.

    `until` is in seconds of time.monotonic(). At least one round is made. What has not ended is left as it is.
    """
    steps: tuple[Callable[[BuildServer], int], ...] = (
        _part_attempts,
        _part_jobs,
        _part_requests,
        lambda one: refusals.part_from(one.pk, name=one.name, most=AT_ONCE),
        lambda one: predictions.part_from(one.pk, most=AT_ONCE),
    )
    for step in steps:
        while step(server) == AT_ONCE:
            if time.monotonic() > until:
                return False
    return True


def _part_attempts(server: BuildServer) -> int:
    rows = Attempt.objects.filter(server=server, status__in=ATTEMPT_TERMINAL).order_by()
    ids = list(rows.values_list("pk", flat=True)[:AT_ONCE])
    return Attempt.objects.filter(pk__in=ids).update(server=None)


def _part_jobs(server: BuildServer) -> int:
    rows = BuildJob.objects.filter(server=server, status__in=JOB_TERMINAL).order_by()
    ids = list(rows.values_list("pk", flat=True)[:AT_ONCE])
    return BuildJob.objects.filter(pk__in=ids).update(server=None)


def _part_requests(server: BuildServer) -> int:
    rows = BuildJob.objects.filter(requested_server=server, status__in=JOB_TERMINAL).order_by()
    ids = list(rows.values_list("pk", flat=True)[:AT_ONCE])
    return BuildJob.objects.filter(pk__in=ids).update(requested_server=None)
