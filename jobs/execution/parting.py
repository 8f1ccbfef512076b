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
    """Whether nothing that has ended names it any more; False when time was up first.

    `until` is in seconds of time.monotonic(). At least one round is made. What has not ended is left as it is.
    """
    attempts = Attempt.objects.filter(server=server, status__in=ATTEMPT_TERMINAL)
    ended = BuildJob.objects.filter(status__in=JOB_TERMINAL)
    steps: tuple[Callable[[], int], ...] = (
        lambda: _part(attempts, server=None),
        lambda: _part(ended.filter(server=server), server=None),
        lambda: _part(ended.filter(requested_server=server), requested_server=None),
        lambda: refusals.part_from(server.pk, name=server.name, most=AT_ONCE),
        lambda: predictions.part_from(server.pk, most=AT_ONCE),
    )
    for step in steps:
        while step() == AT_ONCE:
            if time.monotonic() > until:
                return False
    return True


def _part(rows: "QuerySet[Attempt] | QuerySet[BuildJob]", **columns: None) -> int:
    """Write these columns of the first of the rows; how many."""
    ids = list(rows.order_by().values_list("pk", flat=True)[:AT_ONCE])
    return rows.model._default_manager.filter(pk__in=ids).update(**columns)
