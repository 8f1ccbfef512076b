"""Repairs what should never be and reports it; harmless when two do it, or when there is nothing to do."""

import logging
from datetime import timedelta

from django.utils import timezone

from buildboard.core.models import IdempotencyKey
from jobs.diagnosis.hosts import judge_ended_canaries
from jobs.execution.collect import note_forgotten
from jobs.execution.expire import expire_jobs
from jobs.execution.removal import finish_removals
from jobs.execution.requests import Requests
from jobs.logs import seal
from jobs.models import Attempt, Prediction, Refusal
from jobs.providers.fleet import FleetProvider
from jobs.queue.predictions import outlived
from jobs.queue.shares import outworn_shares
from jobs.states import ATTEMPT_ACTIVE, JOB_TERMINAL
from servers.drains import end_what_is_over
from servers.measured import SAMPLES_KEPT
from servers.models import BuildServer, ProbeSample, Slot
from servers.slots import fit_slots, free_slot

logger = logging.getLogger(__name__)

SLOT_GRACE = timedelta(seconds=30)
IDEMPOTENCY_KEPT = timedelta(days=1)
REFUSALS_KEPT = timedelta(days=30)
_MOST = 1000
_SEALING = Requests("jobs.tasks.seal_all", has_work=seal.has_work)


def sweep() -> dict[str, int]:
    """One pass; what it repaired, by name. Every query is bounded."""
    found = {
        "slots_freed": free_orphaned_slots(),
        "slots_fitted": fit_all_slots(),
        "canaries_judged": judge_ended_canaries(),
        "servers_put_back": end_what_is_over(),
        "servers_removed": finish_removals(),
        "secrets_forgotten": forget_secrets_of_deleted_servers(),
        "jobs_expired": expire_jobs(),
        "rows_pruned": prune(),
        "sealing_requested": _SEALING.make(),
    }
    if found["slots_freed"]:
        logger.warning(
            "Freed %s slots that no active attempt held", found["slots_freed"], extra={"action": "sweep"}
        )
    return found


def free_orphaned_slots() -> int:
    """Free slots whose holder is no active attempt; the grace keeps off claims that are being written."""
    before = timezone.now() - SLOT_GRACE
    held = Slot.objects.filter(holder__isnull=False, taken_at__lt=before).values_list("holder", flat=True)[
        :_MOST
    ]
    holders = {holder for holder in held if holder is not None}
    active = set(
        Attempt.objects.filter(pk__in=holders, status__in=ATTEMPT_ACTIVE).values_list("pk", flat=True)
    )
    return sum(free_slot(holder) for holder in holders - active)


def fit_all_slots() -> int:
    """Give every server as many slots as its limit says, whoever changed it."""
    fitted = 0
    for server in BuildServer.objects.all()[:_MOST]:
        if Slot.objects.filter(server=server, number__lte=server.max_concurrent_builds).count() != (
            server.max_concurrent_builds
        ):
            fit_slots(server)
            fitted += 1
    return fitted


def forget_secrets_of_deleted_servers() -> int:
    """Nobody will remove what these builds left, so nothing waits for what masks it; how many attempts."""
    left = Attempt.objects.filter(
        server__isnull=True,
        cleaned_at__isnull=True,
        completed_at__isnull=False,
        job__provider=FleetProvider.name,
    )
    ids = list(left.values_list("pk", flat=True)[:_MOST])
    if ids:
        note_forgotten(ids)
    return len(ids)


def prune() -> int:
    """Drop rows whose use is over: old idempotency keys, refusals of finished jobs, load samples, estimates, shares."""
    now = timezone.now()
    pruned = 0
    for rows in (
        IdempotencyKey.objects.filter(created_at__lt=now - IDEMPOTENCY_KEPT),
        Refusal.objects.filter(job__status__in=JOB_TERMINAL, until__lt=now - REFUSALS_KEPT),
        ProbeSample.objects.filter(at__lt=now - SAMPLES_KEPT),
        Prediction.objects.filter(outlived()),
        outworn_shares(),
    ):
        keys = list(rows.values_list("pk", flat=True)[:_MOST])
        if keys:
            pruned += rows.model.objects.filter(pk__in=keys).delete()[0]
    return pruned
