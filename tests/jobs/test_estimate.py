"""The estimate of a queued job's wait: the pure rule, and what it is fed with."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from jobs.models import BuildJob
from jobs.queue.estimate import Estimate, estimate_of_job, estimate_of_queue, estimate_wait, queue_state
from jobs.queue.order import place_of
from tests.factories import make_job, make_server


@pytest.mark.parametrize(
    ("ahead", "building", "slots", "durations", "seconds"),
    [
        # a free slot: at once
        (0, 0, 1, [100.0], 0),
        (1, 0, 2, [100.0], 0),
        (0, 3, 4, [100.0], 0),
        # all slots taken: half a build until the first comes free, then one after the other
        (0, 1, 1, [100.0], 50),
        (1, 1, 1, [100.0], 150),
        (2, 1, 1, [100.0], 250),
        (2, 2, 2, [100.0], 150),
        # the first two take the free slots
        (2, 0, 2, [100.0], 50),
        (3, 0, 2, [100.0], 100),
        # the median, not the mean
        (0, 1, 1, [10.0, 100.0, 10_000.0], 50),
        # nobody takes jobs now: as if one slot came
        (0, 0, 0, [100.0], 50),
        # more builds than slots, after a limit was lowered
        (0, 5, 2, [100.0], 50),
    ],
)
def test_wait_from_history(
    ahead: int, building: int, slots: int, durations: list[float], seconds: int
) -> None:
    estimate = estimate_wait(ahead=ahead, queued=9, building=building, slots=slots, durations=durations)

    assert estimate == Estimate(seconds, "history")


def test_wait_without_history_is_the_seeds() -> None:
    assert estimate_wait(ahead=0, queued=2, building=0, slots=4, durations=[]) == Estimate(600, "default")


def _finished(seconds: float, *, architecture: str = "x86_64") -> None:
    now = timezone.now()
    started = now - timedelta(seconds=seconds)
    make_job("completed", target_architecture=architecture, started_at=started, completed_at=now)


@pytest.mark.django_db
def test_empty_queue_has_no_wait() -> None:
    assert estimate_of_queue(queue_state()) == Estimate(0, "default")
    _finished(60)
    assert estimate_of_queue(queue_state()) == Estimate(0, "history")


@pytest.mark.django_db
def test_queue_counts_slots_of_servers_that_take_jobs() -> None:
    _finished(100)
    make_server(max_concurrent_builds=2)
    make_server(max_concurrent_builds=50, enabled=False)
    make_server(max_concurrent_builds=50, status="offline")
    make_server(max_concurrent_builds=50, draining=True)
    for _ in range(3):
        make_job()

    assert estimate_of_queue(queue_state()) == Estimate(100, "history")


def estimate(job: BuildJob, *, slots: int, building: int) -> Estimate:
    return estimate_of_job(job, place=place_of(job), state=queue_state(), slots=slots, building=building)


@pytest.mark.django_db
def test_job_is_estimated_by_its_architecture() -> None:
    _finished(100)
    _finished(1000, architecture="aarch64")
    job, other = make_job(), make_job(target_architecture="aarch64")

    assert estimate(job, slots=1, building=1) == Estimate(50, "history")
    assert estimate(other, slots=1, building=1) == Estimate(500, "history")
    assert estimate(other, slots=1, building=0) == Estimate(0, "history")


@pytest.mark.django_db
def test_first_job_of_an_architecture_borrows_the_durations_of_others() -> None:
    _finished(100)
    job = make_job(target_architecture="riscv64")

    assert estimate(job, slots=0, building=0) == Estimate(50, "history")


@pytest.mark.django_db
def test_number_of_queries_is_constant(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for _ in range(20):
        _finished(60)
        make_server()
        job = make_job()

    with django_assert_num_queries(3):
        estimate_of_queue(queue_state())
    with django_assert_num_queries(3):
        estimate(job, slots=1, building=1)
