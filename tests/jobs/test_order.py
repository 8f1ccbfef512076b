"""The queue's order: priority, then age; who waits for a time or for another job is not in it."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from jobs.models import BuildJob, JobDependency
from jobs.needs import Needs, needs_of, read_needs
from jobs.queue import order as order_of_queue
from jobs.queue.order import Place, place_of, ranked_jobs, ready_jobs, waiting_of
from jobs.states import JobStatus, Priority
from tests.factories import make_job, make_server

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def make_many(count: int) -> list[uuid.UUID]:
    """Jobs of all priorities, three of each moment; their ids in the order of the queue."""
    jobs = BuildJob.objects.bulk_create(
        BuildJob(
            source_repository="https://git.example/demo.git",
            target_architecture="x86_64",
            priority=Priority.values[number % 4],
            created_at=at(number // 12),
        )
        for number in range(count)
    )
    return [job.pk for job in sorted(jobs, key=lambda job: (-job.priority, job.created_at, str(job.pk)))]


def ready() -> list[uuid.UUID]:
    return [job.id for job in ready_jobs()]


def test_jobs_go_by_priority_then_by_age() -> None:
    young = make_job(created_at=at(9))
    low = make_job(created_at=at(0), priority=Priority.LOW)
    old = make_job(created_at=at(1))
    urgent = make_job(created_at=at(10), priority=Priority.URGENT)
    high = make_job(created_at=at(5), priority=Priority.HIGH)

    order = [urgent, high, old, young, low]
    assert ready() == [job.pk for job in order]
    assert [place_of(job).position for job in order] == [1, 2, 3, 4, 5]


def test_only_queued_jobs_of_the_fleet_are_looked_at() -> None:
    queued = make_job()
    make_job(provider="orchestrator")
    for status in set(JobStatus) - {JobStatus.QUEUED}:
        make_job(status)

    assert ready() == [queued.pk]


def test_a_job_is_looked_at_once_it_is_due() -> None:
    due = make_job(not_before=timezone.now() - timedelta(seconds=1), created_at=at(1))
    make_job(not_before=timezone.now() + timedelta(hours=1), created_at=at(0))

    assert ready() == [due.pk]


@pytest.mark.parametrize("status", sorted(set(JobStatus) - {JobStatus.COMPLETED}))
def test_a_job_waits_until_all_that_it_needs_is_completed(status: str) -> None:
    job = make_job()
    for needed in (make_job(JobStatus.COMPLETED), open_one := make_job(status)):
        JobDependency.objects.create(job=job, needs=needed)
    assert job.pk not in ready()

    BuildJob.objects.filter(pk=open_one.pk).update(status=JobStatus.COMPLETED, completed_at=timezone.now())
    assert ready() == [job.pk]


def test_pages_follow_on_each_other_without_a_gap_or_a_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_of_queue, "_PAGE", 100)
    order = make_many(230)

    assert ready() == order
    for index in (0, 99, 100, 199, 200, 229):
        assert place_of(BuildJob.objects.get(pk=order[index])) == Place(index + 1, index)


def test_jobs_that_are_claimed_meanwhile_push_nobody_off_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_of_queue, "_PAGE", 8)
    order = make_many(30)
    seen = []

    for job in ranked_jobs():
        seen.append(job.id)
        BuildJob.objects.filter(pk=job.id).update(status=JobStatus.CLAIMED)

    assert seen == order


@pytest.mark.parametrize("limit", [0, 1, 8, 9, 15])
def test_no_more_than_the_limit_is_read(limit: int) -> None:
    order = make_many(20)

    assert [job.id for job in ready_jobs(limit=limit)] == order[:limit]


@pytest.mark.sqlite_only
def test_the_queue_is_read_by_its_index_and_not_sorted() -> None:
    rows = BuildJob.objects.ready().exclude(provider="orchestrator")

    plan = rows[:8].explain()

    assert "USING INDEX job_queued" in plan
    assert "TEMP B-TREE" not in plan


FULL_SPEC = {
    "server_id": "north",
    "min_cpu_cores": 4,
    "min_memory_mb": 512,
    "min_storage_gb": 10,
    "build_command": None,
    "build_config": {"kernel_config": "defconfig"},
}


def test_needs_are_read_from_the_job_and_its_submission() -> None:
    server = make_server("north")
    job = make_job(
        required_toolchain="gcc-12",
        required_labels={"site": "north", "disk": "nvme"},
        group="arm",
        requested_server=server,
        spec=FULL_SPEC,
    )

    assert needs_of(job) == Needs(
        architecture="x86_64",
        toolchain="gcc-12",
        labels=(("disk", "nvme"), ("site", "north")),
        group="arm",
        server="north",
        server_id=str(server.pk),
        cores=4,
        memory_mb=512,
        storage_gb=10,
        crosses=True,
    )
    assert read_needs([job.pk]) == {job.pk: needs_of(job)}


@pytest.mark.parametrize(
    ("spec", "needs"),
    [
        ({}, Needs("x86_64")),
        ({"min_cpu_cores": None, "server_id": "auto"}, Needs("x86_64")),
        ({"build_config": {"kernel_config": ""}}, Needs("x86_64", crosses=True)),
        ({"build_config": {"kernel_config": ""}, "build_command": "make"}, Needs("x86_64")),
        ({"server_id": "removed"}, Needs("x86_64", server="removed")),
    ],
)
def test_needs_that_are_not_given_are_none(spec: dict[str, object], needs: Needs) -> None:
    job = make_job(spec=spec)

    assert needs_of(job) == needs
    assert read_needs([job.pk]) == {job.pk: needs}


def test_known_needs_are_not_read_again_but_those_of_a_named_server(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    server = make_server("north")
    jobs = [make_job(created_at=at(number)) for number in range(3)]
    known: dict[str, Needs] = {}

    with django_assert_num_queries(2):
        first = list(ready_jobs(known))
    with django_assert_num_queries(1):
        assert list(ready_jobs(known)) == first
    named = make_job(created_at=at(9), requested_server=server, spec={"server_id": "north"})
    assert len(list(ready_jobs(known))) == 4
    server.delete()
    with django_assert_num_queries(2):
        again = list(ready_jobs(known))

    assert [job.id for job in again] == [job.pk for job in (*jobs, named)]
    assert again[-1].needs == Needs("x86_64", server="north")


def test_a_job_waits_since_it_was_made_or_since_its_next_try_was_due() -> None:
    job = make_job(created_at=at(0))
    again = make_job(created_at=at(1), not_before=at(60))

    assert [waiting_of(job).waited_seconds(at(seconds)) for seconds in (90, 0, -5)] == [90.0, 0.0, 0.0]
    assert waiting_of(again).waited_seconds(at(90)) == 30.0
    assert [one.waited_seconds(at(90)) for one in ready_jobs()] == [90.0, 30.0]


def test_rivals_are_those_for_the_same_architecture() -> None:
    make_job(created_at=at(0), target_architecture="aarch64")
    make_job(created_at=at(1))
    make_job(created_at=at(9))
    job = make_job(created_at=at(2))

    assert place_of(job) == Place(position=3, rivals_ahead=1)
