"""Selections of attempts: which are active, and that those of a server are found however many ended there."""

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.models import Attempt
from jobs.states import AttemptStatus
from tests.factories import make_attempt, make_server

pytestmark = pytest.mark.django_db


def test_claimed_and_running_ones_are_active() -> None:
    made = {status: make_attempt(status=status) for status in AttemptStatus}

    active = set(Attempt.objects.active())

    assert active == {made[AttemptStatus.CLAIMED], made[AttemptStatus.RUNNING]}


@pytest.mark.sqlite_only
def test_those_of_a_server_are_found_by_an_index_whatever_ended_there() -> None:
    server = make_server()
    active = Attempt.objects.active()
    ended = Attempt.objects.filter(server=server, completed_at__gt=timezone.now() - timedelta(hours=1))

    of_all = active.filter(server__isnull=False).order_by().explain()
    of_one = active.filter(server=server).explain()
    by_age = active.filter(server=server).order_by("created_at").explain()
    lately = ended.order_by("-completed_at").explain()

    assert "USING INDEX attempt_active_of_server" in of_all
    assert "USING INDEX attempt_active_of_server (server_id=?)" in of_one
    assert "USING INDEX attempt_active_of_server (server_id=?)" in by_age
    assert "USING INDEX attempt_ended_of_server (server_id=? AND completed_at>?)" in lately
    assert "TEMP B-TREE" not in by_age + lately
