"""Remembers that a server refused to start a build for a reason of its own, so that no other build is sent there.

It lasts a minute, or until a check of the whole way has passed. It is not in charge of the status (health.py): such
a server answers, and what runs there goes on.
"""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from buildboard.core.audit import record_event
from buildboard.core.doorbell import ring_on_commit
from servers.models import BuildServer

REFUSED_SECONDS = 60


def note_refused_start(server_id: UUID, *, reason: str) -> None:
    """It refused: choose another one for a minute. An event tells the first time in a row."""
    now = timezone.now()
    recent = Q(starts_refused_until__gte=now - timedelta(seconds=REFUSED_SECONDS))
    with transaction.atomic():
        row = BuildServer.objects.filter(pk=server_id)
        is_news = not row.filter(recent, starts_refused_reason=reason).exists()
        row.update(
            starts_refused_until=now + timedelta(seconds=REFUSED_SECONDS), starts_refused_reason=reason
        )
        if is_news:
            record_event("server", subject_id=server_id, kind="start_refused", reason=reason)


def forget_refused_start(server_id: UUID) -> None:
    """The way was tried and is free, or leads to another machine now: builds may be sent there."""
    refused = BuildServer.objects.filter(pk=server_id, starts_refused_until__isnull=False)
    if refused.update(starts_refused_until=None, starts_refused_reason=""):
        ring_on_commit("queue")
