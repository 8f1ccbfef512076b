"""One pass over the queue: who is taken, in which order, and when the reasons of the others are written."""

import pytest

from jobs.execution.dispatch import Dispatcher
from jobs.models import BuildJob, Refusal
from jobs.states import JobStatus, Priority
from servers.leases import acquire_lease
from servers.models import BuildServer
from tests.factories import make_job, make_server

pytestmark = pytest.mark.django_db


def make_followed(*, slots: int) -> BuildServer:
    server = make_server(max_concurrent_builds=slots)
    assert acquire_lease(server.pk, runner="runner-1") is not None
    return server


def test_free_slots_go_to_the_first_in_order_over_several_pages() -> None:
    make_followed(slots=20)
    low = [make_job(priority=Priority.LOW) for _ in range(10)]
    high = [make_job(priority=Priority.HIGH) for _ in range(15)]

    attempts = Dispatcher().dispatch()

    assert [attempt.job_id for attempt in attempts] == [job.pk for job in [*high, *low[:5]]]


def test_bell_gives_out_slots_and_leaves_the_reasons_to_the_next_whole_look() -> None:
    server = make_followed(slots=1)
    first, second, third = [make_job() for _ in range(3)]
    dispatcher = Dispatcher()

    rung = dispatcher.dispatch(explain=False)

    assert [attempt.job_id for attempt in rung] == [first.pk]
    assert dispatcher.dispatch(explain=False) == []
    assert not Refusal.objects.exists()

    assert dispatcher.dispatch() == []
    assert sorted(Refusal.objects.values_list("job", "condition")) == sorted(
        (job.pk, "full") for job in (second, third)
    )
    server.slots.update(holder=None)
    assert [attempt.job_id for attempt in dispatcher.dispatch(explain=False)] == [second.pk]
    assert [row.job_id for row in Refusal.objects.filter(until__isnull=True)] == [third.pk]
    assert BuildJob.objects.get(pk=second.pk).status == JobStatus.CLAIMED


def test_job_that_no_server_can_take_does_not_hold_up_those_behind_it() -> None:
    make_followed(slots=1)
    make_job(target_architecture="s390x", priority=Priority.HIGH)
    job = make_job()

    attempts = Dispatcher().dispatch(explain=False)

    assert [attempt.job_id for attempt in attempts] == [job.pk]
