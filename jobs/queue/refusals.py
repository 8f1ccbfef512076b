"""Keeps the refusals of the last look at a job as rows, with their history. Nobody else writes `Refusal`.

What a page says of now is judged anew (explain.py); these rows tell what stood in the way before.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from jobs.models import BuildJob, Refusal
from jobs.queue.conditions import Refused
from jobs.queue.history import NO_SERVERS
from servers.fleet import ServerFacts

MOST_SERVERS = 50  # whose refusals are kept of one job, those that come nearest first
_CLOSED_AT_ONCE = 500

Key = tuple[UUID | None, str]


class Found(NamedTuple):
    """What one server refuses a class of need by one condition."""

    detail: str
    hard: bool
    server_name: str


Look = dict[Key, Found]


def look_of(refusals: Iterable[tuple[ServerFacts, Refused]], *, fleet_empty: bool) -> Look:
    """What one look at a class of need found, as it is kept: by server and condition, in words."""
    if fleet_empty:
        return {(None, NO_SERVERS): Found("there is no build server yet", hard=True, server_name="")}
    servers: dict[UUID, list[Refused]] = {}
    names: dict[UUID, str] = {}
    for server, one in refusals:
        names[server.id] = server.name
        servers.setdefault(server.id, []).append(one)
    nearest = sorted(servers, key=lambda server_id: max(one.kind.distance for one in servers[server_id]))
    return {
        (server_id, str(one.condition)): Found(one.detail[:255], one.hard, names[server_id])
        for server_id in nearest[:MOST_SERVERS]
        for one in servers[server_id]
    }


def note_refusals(looks: Mapping[UUID, Look]) -> None:
    """Write what changed of these jobs: new refusals open, those that no longer hold close.

    One query; another for the classes of jobs with new ones, and a transaction, only when another dispatcher has not
    written the same before.
    """
    gone: list[int] = []
    changed: list[Refusal] = []
    standing: set[tuple[UUID, Key]] = set()
    for row in Refusal.objects.filter(job_id__in=looks, until__isnull=True):
        key: Key = (row.server_id, row.condition)
        found = looks[row.job_id].get(key)
        if found is None:
            gone.append(row.pk)
            continue
        standing.add((row.job_id, key))
        if (row.detail, row.hard, row.server_name) != found:
            row.detail, row.hard, row.server_name = found
            changed.append(row)
    now = timezone.now()
    new = [
        _row(job_id, key, found, since=now)
        for job_id, look in looks.items()
        for key, found in look.items()
        if (job_id, key) not in standing
    ]
    _name_classes(new)
    if gone or changed or new:
        with transaction.atomic():
            for at in range(0, len(gone), _CLOSED_AT_ONCE):
                rows = Refusal.objects.filter(pk__in=gone[at : at + _CLOSED_AT_ONCE], until__isnull=True)
                rows.update(until=now)
            Refusal.objects.bulk_update(changed, ["detail", "hard", "server_name"], batch_size=200)
            Refusal.objects.bulk_create(new, ignore_conflicts=True)  # another dispatcher may write the same


def _row(job_id: UUID, key: Key, found: Found, *, since: datetime) -> Refusal:
    server_id, condition = key
    return Refusal(
        job_id=job_id,
        server_id=server_id,
        server_name=found.server_name,
        condition=condition,
        detail=found.detail,
        hard=found.hard,
        since=since,
    )


def _name_classes(rows: Collection[Refusal]) -> None:
    """Note on each row of which class its job is. One query; none for none."""
    if not rows:
        return
    jobs = BuildJob.objects.filter(pk__in={row.job_id for row in rows}).order_by()
    keys = dict(jobs.values_list("pk", "needs_key"))
    for row in rows:
        row.needs_key = keys.get(row.job_id, "")


def part_from(server_id: UUID, *, name: str, most: int) -> int:
    """Leave only its name on what a server refused, as far as it is over, since it is to be deleted; how many rows."""
    rows = Refusal.objects.filter(server_id=server_id, until__isnull=False).order_by()
    ids = list(rows.values_list("pk", flat=True)[:most])
    return Refusal.objects.filter(pk__in=ids).update(server=None, server_name=name)


def close_refusals(job_id: UUID) -> None:
    """The job was placed: nothing refuses it any more."""
    Refusal.objects.filter(job_id=job_id, until__isnull=True).update(until=timezone.now())


def close_all_but(job_ids: Collection[UUID]) -> None:
    """Close what stands of other jobs: they were placed, ended, or are not at the head of their class now."""
    found = Refusal.objects.filter(until__isnull=True).order_by().values_list("job_id", flat=True).distinct()
    others = [job_id for job_id in found if job_id not in job_ids]
    for at in range(0, len(others), _CLOSED_AT_ONCE):
        rows = Refusal.objects.filter(job_id__in=others[at : at + _CLOSED_AT_ONCE], until__isnull=True)
        rows.update(until=timezone.now())
