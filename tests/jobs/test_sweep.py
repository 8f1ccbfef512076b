"""The sweep: what it repairs and drops, and what it leaves alone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from buildboard.core.audit import BOARD
from jobs.execution.sweep import sweep
from jobs.models import Attempt
from jobs.states import AttemptStatus
from servers.models import ProbeSample
from servers.registry import delete_server
from tests.factories import make_attempt, make_server

pytestmark = pytest.mark.django_db
NOTHING = {
    "slots_freed": 0,
    "slots_fitted": 0,
    "canaries_judged": 0,
    "servers_put_back": 0,
    "servers_removed": 0,
    "secrets_forgotten": 0,
    "jobs_expired": 0,
    "rows_pruned": 0,
    "sealing_requested": 0,
}


def make_ended() -> Attempt:
    return make_attempt(
        status=AttemptStatus.COMPLETED,
        server=make_server(),
        completed_at=timezone.now(),
        masked_values="encrypted",
    )


def test_secrets_of_a_build_go_with_its_server() -> None:
    gone, stays, runs = make_ended(), make_ended(), make_attempt(masked_values="encrypted")
    assert gone.server is not None
    delete_server(gone.server, actor=BOARD)

    assert sweep() == NOTHING | {"secrets_forgotten": 1}
    assert sweep() == NOTHING

    kept = dict(Attempt.objects.values_list("pk", "masked_values"))
    assert kept == {gone.pk: "", stays.pk: "encrypted", runs.pk: "encrypted"}


def test_samples_are_kept_for_a_week() -> None:
    server, now = make_server(), timezone.now()
    for days in (1, 6, 8, 30):
        ProbeSample.objects.create(server=server, at=now - timedelta(days=days))

    assert sweep()["rows_pruned"] == 2
    assert [(now - at).days for at in ProbeSample.objects.order_by("-at").values_list("at", flat=True)] == [
        1,
        6,
    ]
