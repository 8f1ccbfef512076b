"""Keeps the refusals of the last look at a job as rows, with their history. Nobody else writes `Refusal`."""

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from jobs.models import Refusal
from jobs.queue.choice import Refused
from servers.fleet import ServerFacts

NO_SERVERS = "no_servers"


def note_refusals(
    job_id: UUID, *, refusals: Iterable[tuple[ServerFacts, Refused]], fleet_empty: bool
) -> None:
    """Write what changed since the last look: new refusals open, those that no longer hold close."""
    wanted: dict[tuple[UUID | None, str], tuple[str, bool]] = {
        (server.id, str(one.condition)): (one.detail[:255], one.hard) for server, one in refusals
    }
    if fleet_empty:
        wanted[(None, NO_SERVERS)] = ("there is no build server yet", True)
    with transaction.atomic():
        now = timezone.now()
        open_rows = {
            (row.server_id, row.condition): row
            for row in Refusal.objects.filter(job_id=job_id, until__isnull=True)
        }
        gone = [row.pk for key, row in open_rows.items() if key not in wanted]
        if gone:
            Refusal.objects.filter(pk__in=gone).update(until=now)
        for key, (detail, hard) in wanted.items():
            row = open_rows.get(key)
            if row is not None and row.detail != detail:
                Refusal.objects.filter(pk=row.pk).update(detail=detail, hard=hard)
        Refusal.objects.bulk_create(
            [
                Refusal(
                    job_id=job_id, server_id=server, condition=condition, detail=detail, hard=hard, since=now
                )
                for (server, condition), (detail, hard) in wanted.items()
                if (server, condition) not in open_rows
            ],
            ignore_conflicts=True,  # another dispatcher wrote the same
        )


def close_refusals(job_id: UUID) -> None:
    """The job was placed or ended: nothing refuses it any more."""
    Refusal.objects.filter(job_id=job_id, until__isnull=True).update(until=timezone.now())
