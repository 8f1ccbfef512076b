"""Acts on what failures tell of their servers: quarantine, its end through a canary build, and new jobs for victims.

Called when an attempt has ended, by a short task that may run twice or late. The verdicts are host_fault.py's, the
quarantine is written by servers/quarantine.py.
"""

import logging
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from buildboard.core.audit import BOARD, record_event
from buildboard.core.permissions import Right, Role, rights_of_role
from jobs.diagnosis.evidence import WINDOW, read_evidence, read_peers, read_tried, with_bounds
from jobs.diagnosis.host_fault import Accusation, CanaryVerdict, judge_canary, judge_host
from jobs.errors import QueueFull
from jobs.lifecycle import retry_job
from jobs.models import Attempt, BuildJob
from jobs.needs import needs_of
from jobs.outcomes import Excuse, Outcome
from jobs.states import ATTEMPT_ACTIVE, AttemptStatus, ErrorCategory, JobStatus, Phase
from servers import quarantine
from servers.models import BuildServer
from servers.states import QuarantineKind

logger = logging.getLogger(__name__)

MOST_EXCUSED = 1  # so often a job is queued again for a server's fault
MOST_AS_CANARY = 3  # the same of one that was given to a server on trial
CANARY_GRACE = timedelta(seconds=30)
_FAILED = (AttemptStatus.FAILED, AttemptStatus.LOST)
_SUBMITTERS = [role for role in Role if Right.SUBMIT in rights_of_role(role)]


def judge_server(attempt_id: UUID) -> None:
    """Look at the server on which this attempt ended, and at those on which the same job was tried before."""
    attempt = Attempt.objects.select_related("server", "job").filter(pk=attempt_id).first()
    if attempt is None or attempt.server is None or attempt.status in ATTEMPT_ACTIVE:
        return
    if attempt.server.canary_id == attempt.pk:
        _take_canary_in(attempt, attempt.server)
    elif attempt.status in _FAILED:
        _judge(attempt.server)
    if attempt.status == AttemptStatus.COMPLETED:
        _judge_where_it_failed(attempt)
    if attempt.status in _FAILED and attempt.job.excused_attempts:
        _reconsider(attempt)


def judge_ended_canaries() -> int:
    """Do what a task that was lost did not: free servers on trial whose build is over; how many."""
    freed = 0
    rows = BuildServer.objects.filter(canary_id__isnull=False).values_list("pk", "canary_id")
    for server_id, canary in [(server_id, canary) for server_id, canary in rows if canary]:
        attempt = Attempt.objects.filter(pk=canary).first()
        if attempt is None:
            freed += quarantine.free_canary(server_id, canary=canary)
        elif attempt.completed_at is not None and attempt.completed_at < timezone.now() - CANARY_GRACE:
            judge_server(attempt.pk)
            freed += 1
    return freed


def excuse_of(attempt: Attempt, *, outcome: Outcome) -> Excuse | None:
    """Why a build that fails now is queued again though its submission does not ask for that; None: it is not.

    Its server is on trial or was found out, and it never began there or failed like those that told. A job of one
    attempt at most (`max_attempts` 1) is never repeated, nor one that says itself that it cannot be built, that takes
    no other server, or of which nobody knows whether it still runs. The server's row is taken as it was read with the
    attempt.
    """
    server, job = attempt.server, attempt.job
    if server is None or not outcome.failed or outcome.category == ErrorCategory.CHECKOUT:
        return None
    if server.quarantined_since is None or not _may_be_repeated(job, status=outcome.status):
        return None
    needs = needs_of(job)
    # By name only: another server with its labels, tools and size may come while it waits, but none of that name.
    if needs.server and not needs.fallback:
        return None
    never_began = attempt.phase in (Phase.CONNECTING, Phase.CHECKOUT)
    is_alike = bool(outcome.fingerprint) and outcome.fingerprint in (server.quarantine_signs or ())
    if not never_began and not is_alike:
        return None
    is_sign = bool(outcome.fingerprint) and server.quarantine_kind == QuarantineKind.FAULT
    if server.canary_id == attempt.pk and job.excused_attempts < MOST_AS_CANARY:
        return Excuse(f"{server.name} is on trial after a quarantine, so it is queued again.", is_sign)
    if is_sign and job.excused_attempts < MOST_EXCUSED:
        return Excuse(f"It is the fault of {server.name}, which is in quarantine, so it is queued again.")
    return None


def _may_be_repeated(job: BuildJob, *, status: AttemptStatus) -> bool:
    """Not what may be tried once only, nor what may still run somewhere, unless its submission allows for that."""
    is_sure = status != AttemptStatus.LOST or ErrorCategory.LOST in (job.spec.get("retry_on") or ())
    return job.max_attempts > 1 and is_sure


# ---- a server in service ----------------------------------------------------------------------------------


def _judge(server: BuildServer) -> None:
    """Again for one that is out already: builds that ran there have ended since, or the task was cut short before."""
    if server.quarantine_kind not in ("", QuarantineKind.FAULT):
        return
    accusation = _accusation_of(server)
    if accusation is None:
        return
    begun = quarantine.quarantine_for_fault(server.pk, reason=accusation.reason, signs=accusation.signs)
    if begun:
        extra = {"action": "quarantine", "server": str(server.pk)}
        logger.warning("%s is in quarantine: %s", server.name, accusation.reason, extra=extra)
    if begun or server.quarantine_kind == QuarantineKind.FAULT:
        _excuse_victims(accusation, server_name=server.name)


def _judge_where_it_failed(attempt: Attempt) -> None:
    """It passed at last: that speaks against servers on which it failed before, though nothing fails there now."""
    jobs = [attempt.job_id, attempt.job.retry_of_id]
    failed = Attempt.objects.filter(
        job_id__in=jobs, status__in=_FAILED, completed_at__gte=timezone.now() - WINDOW
    )
    elsewhere = failed.exclude(server_id=attempt.server_id).values("server_id")
    for server in BuildServer.objects.filter(pk__in=elsewhere, canary_id__isnull=True):
        _judge(server)


def _accusation_of(server: BuildServer) -> Accusation | None:
    """As things are, or, of one that is out, as they were then with what came to light since."""
    looked_at = server.quarantined_since or timezone.now()
    start = max(filter(None, (looked_at - WINDOW, server.quarantine_ended_at)))
    return judge_host(server.pk, read_evidence(server.pk, start=start))


def _reconsider(attempt: Attempt) -> None:
    """A victim failed elsewhere, too: what it was taken from may be no longer accused of anything."""
    jobs = [attempt.job_id, attempt.job.retry_of_id]
    accused = Attempt.objects.filter(job_id__in=jobs, host_fault=True).exclude(server_id=attempt.server_id)
    servers = BuildServer.objects.filter(
        pk__in=accused.values("server_id"), quarantine_kind=QuarantineKind.FAULT
    )
    for server in servers:
        if _accusation_of(server) is None:
            quarantine.acquit(
                server.pk,
                reason="What failed there failed on another server, too: it was not this one's fault.",
            )


# ---- its victims ------------------------------------------------------------------------------------------


def _excuse_victims(accusation: Accusation, *, server_name: str) -> None:
    """Queue what failed for good by its fault once more, each once; those that were tried again are left alone."""
    reason = f"It failed by the fault of {server_name}, which is in quarantine since."
    victims = Attempt.objects.filter(pk__in=accusation.victims, host_fault=False)
    for attempt in victims.select_related("job", "job__created_by").order_by("created_at"):
        row = Attempt.objects.filter(pk=attempt.pk, host_fault=False)
        try:
            with transaction.atomic():
                if row.update(host_fault=True) and _is_final(attempt):
                    _queue_once_more(attempt.job, reason=reason)
        except QueueFull as error:
            with transaction.atomic():
                row.update(host_fault=True)
                told = f"{reason} It was not queued again: {error}"
                record_event("job", subject_id=attempt.job_id, kind="retry_withheld", reason=told)


def _is_final(attempt: Attempt) -> bool:
    """Whether its job failed with it, may be repeated, is wanted still, and was not repeated by anybody."""
    job = attempt.job
    if job.status != JobStatus.FAILED or not _may_be_repeated(job, status=AttemptStatus(attempt.status)):
        return False
    owner_may = job.created_by is None or Right.SUBMIT in job.created_by.rights
    if job.cancel_requested_at is not None or not owner_may:
        return False
    return not job.attempt_set.filter(number__gt=attempt.number).exists() and not job.retries.exists()


def _queue_once_more(job: BuildJob, *, reason: str) -> None:
    """Once, while it is wanted and its owner may submit. Raises QueueFull; nothing is written then."""
    wanted = BuildJob.objects.filter(
        Q(created_by__isnull=True) | Q(created_by__is_active=True, created_by__role__in=_SUBMITTERS),
        cancel_requested_at__isnull=True,
    )
    rows = wanted.filter(pk=job.pk, status=JobStatus.FAILED, excused_attempts__lt=MOST_EXCUSED)
    if rows.update(excused_attempts=MOST_EXCUSED):
        retry_job(job, actor=BOARD, user=job.created_by, reason=reason, excused=True)


# ---- a server on trial ------------------------------------------------------------------------------------


def _take_canary_in(attempt: Attempt, server: BuildServer) -> None:
    """What the one build of a server on trial tells of it."""
    now = timezone.now()
    tried = with_bounds(read_tried(Attempt.objects.filter(pk=attempt.pk), now=now))
    if not tried:
        quarantine.free_canary(server.pk, canary=attempt.pk)
        return
    own = Attempt.objects.filter(job_id=attempt.job_id, server_id=server.pk)
    others = [*read_tried(own, now=now), *read_peers(tried, start=now - WINDOW)]
    verdict = judge_canary(tried[0], others, signs=frozenset(server.quarantine_signs or ()))
    name = str(attempt.job)
    if verdict is CanaryVerdict.WELL:
        quarantine.end_by_canary(server.pk, canary=attempt.pk, reason=f"Its trial build, {name}, went well.")
    elif verdict is CanaryVerdict.UNWELL:
        reason = f"Its trial build, {name}, failed by its fault: {attempt.error_message}"
        quarantine.keep_longer(server.pk, canary=attempt.pk, reason=reason)
    elif verdict is CanaryVerdict.UNSURE:
        reason = f"Its trial build, {name}, failed, and it is not known yet whose fault that was."
        quarantine.keep_longer(server.pk, canary=attempt.pk, reason=reason, is_worse=False)
    else:
        quarantine.free_canary(server.pk, canary=attempt.pk)
