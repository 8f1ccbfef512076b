"""Reads what was tried on a server and on its peers lately, as plain values for host_fault.py. It decides nothing.

A bounded number of rows by indexes, however much is stored: the last attempts of the server, those of the same
repositories elsewhere, those that failed alike, and what others began since. Read when an attempt failed, in a short
task; one query where the server did not fail often enough to be suspected at all.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from jobs.diagnosis.host_fault import LEAST_BUILDS, Came, Tried
from jobs.models import Attempt, BuildJob
from jobs.needs import Needs, read_needs
from jobs.queue.conditions import fits
from jobs.states import AttemptStatus, ErrorCategory, JobStatus, Phase
from servers.fleet import ServerFacts, load_fleet

WINDOW = timedelta(hours=6)
OWN_ATTEMPTS = 30
SAME_JOBS = 300
OTHERS = 100
_CAME = {
    AttemptStatus.COMPLETED: Came.PASSED,
    AttemptStatus.FAILED: Came.FAILED,
    AttemptStatus.LOST: Came.FAILED,
    AttemptStatus.RUNNING: Came.RUNS,
}
_ENDED = [status for status, came in _CAME.items() if came is not Came.RUNS]
_BEGAN = (Phase.BUILDING, Phase.COLLECTING)
_WHOLE_COMMIT = 40
# What makes two jobs of one repository and commit the same work; the submission is not read whole.
_WORK = (
    *("job__source_repository", "job__target_architecture", "job__required_toolchain"),
    *("job__spec__build_command", "job__spec__build_config", "job__spec__environment"),
)
_FIELDS = (
    *("pk", "server_id", "job_id", "job__retry_of_id", "job__commit_hash", "resolved_commit"),
    *("status", "phase", "started_at", "completed_at"),
    *("error_category", "error_fingerprint", "error_message"),
    *_WORK,
)


def read_evidence(server_id: UUID, *, start: datetime) -> list[Tried]:
    """What was tried there and on its peers since then; empty: it hardly failed."""
    ended = Attempt.objects.filter(server_id=server_id, completed_at__gte=start, status__in=_ENDED)
    own = read_tried(ended.order_by("-completed_at")[:OWN_ATTEMPTS], now=timezone.now())
    failed = [one for one in own if one.came is Came.FAILED]
    return [*with_bounds(own), *read_peers(failed, start=start)] if len(failed) >= LEAST_BUILDS else []


def read_peers(failed: list[Tried], *, start: datetime) -> list[Tried]:
    """What other servers made of the same repositories and failures, and what they began since the first of these."""
    if not failed:
        return []
    own, now = failed[0].server_id, timezone.now()
    elsewhere = Attempt.objects.filter(server__isnull=False).exclude(server_id=own)
    signs = {one.fingerprint for one in failed} - {""}
    alike = elsewhere.filter(error_fingerprint__in=signs, completed_at__gte=start)
    rows = (
        elsewhere.filter(job_id__in=_jobs_to_compare(failed, start=start), status__in=_CAME),
        alike.exclude(error_fingerprint="").order_by("-completed_at")[:OTHERS],
    )
    found = {one.attempt_id: one for some in rows for one in read_tried(some, now=now)}
    return list(found.values())


def read_tried(attempts: "QuerySet[Attempt]", *, now: datetime) -> list[Tried]:
    """These attempts as plain values, without those that never began on their server or were cancelled."""
    return [one for row in attempts.values(*_FIELDS) if (one := _tried(row, now=now)) is not None]


def with_bounds(tried: Sequence[Tried]) -> list[Tried]:
    """The same, with which of them no other server of the fleet could have been given. Four queries; none for none.

    By what the servers are, not by how they were at that time: whether others got on then is judged besides.
    """
    needs = read_needs({one.job for one in tried})
    fleet = load_fleet() if needs else []
    return [replace(one, is_bound=_is_bound(one, needs.get(one.job), fleet)) for one in tried]


def _is_bound(one: Tried, needs: Needs | None, fleet: Sequence[ServerFacts]) -> bool:
    others = (server for server in fleet if server.id != one.server_id)
    return needs is None or not any(fits(server, needs=needs) for server in others)


def _jobs_to_compare(failed: Collection[Tried], *, start: datetime) -> set[UUID]:
    """Jobs of the same repositories, and those that passed or run since the first failure."""
    repositories = {one.repository for one in failed}
    first = min(one.started_at for one in failed)
    same = BuildJob.objects.filter(source_repository__in=repositories, created_at__gte=start - WINDOW)
    since = BuildJob.objects.filter(started_at__gte=first)
    # Of all that ended: with its status asked for, SQLite would rather look through every job that ever passed.
    ended = since.filter(completed_at__gte=first).order_by("-completed_at").values_list("pk", "status")
    return {
        *same.order_by("-created_at").values_list("pk", flat=True)[:SAME_JOBS],
        *(job_id for job_id, status in ended[:OTHERS] if status == JobStatus.COMPLETED),
        *since.filter(status=JobStatus.RUNNING).order_by().values_list("pk", flat=True)[:OTHERS],
    }


def _tried(row: dict[str, Any], *, now: datetime) -> Tried | None:
    came = _CAME.get(AttemptStatus(row["status"]))
    if came is None or row["started_at"] is None:
        return None
    # A build that says itself that it cannot be built so tells nothing of its server, unless it passes elsewhere.
    is_own_word = row["error_category"] == ErrorCategory.CHECKOUT
    asked = row["job__commit_hash"]
    return Tried(
        attempt_id=row["pk"],
        server_id=row["server_id"],
        job=row["job__retry_of_id"] or row["job_id"],
        repository=row["job__source_repository"],
        work=hashlib.sha256(json.dumps([row[name] for name in _WORK], sort_keys=True).encode()).hexdigest(),
        commit=row["resolved_commit"] or (asked if len(asked) >= _WHOLE_COMMIT else ""),
        came=came,
        began=is_own_word or row["phase"] in _BEGAN,
        seconds=((row["completed_at"] or now) - row["started_at"]).total_seconds(),
        started_at=row["started_at"],
        fingerprint="" if is_own_word else row["error_fingerprint"],
        message=row["error_message"],
    )
