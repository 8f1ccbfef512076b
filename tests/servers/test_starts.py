"""A server that refused to start a build is remembered for a minute, and told once in a row."""

from datetime import timedelta

import pytest
from django.utils import timezone

from buildboard.core.models import Event
from servers.models import BuildServer
from servers.starts import REFUSED_SECONDS, forget_refused_start, note_refused_start
from tests.factories import make_server

pytestmark = pytest.mark.django_db


def told() -> list[str]:
    return list(Event.objects.filter(kind="start_refused").values_list("reason", flat=True))


def test_refusals_in_a_row_are_one_event_and_each_lasts_a_minute() -> None:
    server = make_server()
    began = timezone.now()
    note_refused_start(server.pk, reason="Full.")
    BuildServer.objects.update(starts_refused_until=began)  # the minute has just passed

    note_refused_start(server.pk, reason="Full.")

    server.refresh_from_db()
    assert server.starts_refused_until is not None
    assert server.starts_refused_until >= began + timedelta(seconds=REFUSED_SECONDS)
    assert told() == ["Full."]


def test_another_reason_or_one_after_a_pause_is_news() -> None:
    server = make_server()
    note_refused_start(server.pk, reason="Full.")
    note_refused_start(server.pk, reason="No /proc.")
    long_ago = timezone.now() - timedelta(seconds=REFUSED_SECONDS + 1)
    BuildServer.objects.update(starts_refused_until=long_ago)

    note_refused_start(server.pk, reason="No /proc.")

    assert told() == ["Full.", "No /proc.", "No /proc."]


def test_forgotten_it_may_be_asked_again() -> None:
    server, other = make_server(), make_server()
    for one in (server, other):
        note_refused_start(one.pk, reason="Full.")

    forget_refused_start(server.pk)

    rows = BuildServer.objects.order_by("created_at").values_list("starts_refused_reason", flat=True)
    assert list(rows) == ["", "Full."]
