"""Short tasks that the runner has done beside itself: one of a kind at a time, and none for nothing."""

import pytest

from buildboard.core.enqueue import is_queued
from jobs.execution.requests import Requests
from jobs.models import KeptForecast
from jobs.queue import predictions
from jobs.tasks import foresee_queue
from tests.factories import make_job

pytestmark = pytest.mark.django_db


def test_a_forecast_is_asked_for_while_jobs_wait_or_run_and_once_at_a_time() -> None:
    requests = Requests("jobs.tasks.foresee_queue", has_work=predictions.is_due)

    assert requests.make() == 0
    make_job()
    assert (requests.make(), requests.make()) == (1, 0)
    assert is_queued(requests._row)


def test_the_task_keeps_a_forecast() -> None:
    make_job()

    foresee_queue()

    assert KeptForecast.objects.get().looked_at == 1
