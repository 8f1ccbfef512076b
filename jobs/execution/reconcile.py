"""Compares what a server says it has with what is stored here, so that nothing given up goes on there for ever.

It changes one thing: a run there whose attempt has ended here, whatever was thought to be left of it, is to be
removed again, which ends it first (errands.py). Runs of unknown ids are another board's and left alone; what
runs here and is not there is a poll's to find. It is not in charge of asking.
"""

import contextlib
import logging
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from buildboard.core.audit import record_event
from jobs.models import Attempt
from servers.frames import RunListing, RunState

logger = logging.getLogger(__name__)

MOST_RUNS = 20_000
_AT_ONCE = 500  # ids in one query


def reconcile(server_id: UUID, runs: Sequence[RunListing], *, asked_at: datetime) -> int:
    """Have every run that ended here and goes on there ended and removed; how many there are.

    What ended here only after `asked_at`, when the server was asked, did so there too as it should.
    """
    states = {}
    for run in runs[:MOST_RUNS]:
        with contextlib.suppress(ValueError):  # a folder that only looks like one of a run
            states[UUID(run.id)] = run.state
    ids = list(states)
    running: list[UUID] = []
    for at in range(0, len(ids), _AT_ONCE):
        ended = Attempt.objects.filter(
            pk__in=ids[at : at + _AT_ONCE], server_id=server_id, completed_at__lt=asked_at
        )
        found = list(ended.values_list("pk", flat=True))
        ended.filter(cleaned_at__isnull=False).update(cleaned_at=None)
        running += [one for one in found if states[one] is not RunState.DONE]
    if running:
        record_event(
            "server",
            subject_id=server_id,
            kind="reconciled",
            reason=f"Given up here and still there, so ended now: {len(running)}",
            data={"attempts": [str(one) for one in running[:100]]},
        )
        extra = {"action": "reconcile", "server": str(server_id)}
        logger.info("Builds that were given up are still there: %s", len(running), extra=extra)
    return len(running)
