"""The queue's order: priority, then age; who waits for a time or for another job is not in it."""

import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from buildboard.core.audit import BOARD
from buildboard.core.models import User
from jobs.lifecycle import change_priority
from jobs.models import BuildJob, JobDependency
from jobs.needs import Needs, key_of, needs_of, read_needs
from jobs.queue import order as order_of_queue
from jobs.queue.order import (
    Place,
    first_in_order,
    overtaken_by,
    place_of,
    ranked_jobs,
    ready_jobs,
    waiting_of,
)
from jobs.states import JobStatus, Priority
from tests.factories import make_job, make_server, make_user

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
        ({"server_id": "x", "server_fallback": True}, Needs("x86_64", server="x", fallback=True)),
        ({"server_id": "auto", "server_fallback": True}, Needs("x86_64")),
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


def test_old_job_goes_before_a_new_one_of_higher_priority(settings: LazySettings) -> None:
    settings.AGEING_SECONDS = 100
    low = make_job(created_at=at(0), priority=Priority.LOW)
    soon, later = (make_job(created_at=at(seconds), priority=Priority.HIGH) for seconds in (199, 201))
    normal = make_job(created_at=at(150), priority=Priority.NORMAL)

    assert ready() == [soon.pk, low.pk, later.pk, normal.pk]


def test_changed_priority_changes_the_place_and_who_is_overtaken_is_known_before() -> None:
    order = [make_job(created_at=at(seconds)) for seconds in range(4)]
    last = order[3]
    queue = BuildJob.objects.queued()
    assert list(queue.filter(overtaken_by(last, priority=Priority.URGENT))) == order[:3]
    assert list(queue.filter(overtaken_by(order[0], priority=Priority.LOW))) == order[1:]
    assert list(queue.filter(overtaken_by(last, priority=Priority.NORMAL))) == []

    change_priority(last, priority=Priority.HIGH, actor=BOARD, reason="release")

    assert ready() == [job.pk for job in (last, *order[:3])]
    assert place_of(last).position == 1


def submit_as(user: User | None, count: int, **fields: Any) -> list[BuildJob]:
    key = key_of(needs_of(BuildJob(target_architecture="x86_64", **fields)))
    return [make_job(created_by=user, needs_key=key, **fields) for _ in range(count)]


def test_submitters_take_turns_and_every_place_is_told_so() -> None:
    ann, bob = make_user(), make_user(share_weight=2)
    of_ann = submit_as(ann, 6)
    other = make_job(target_architecture="aarch64")
    of_bob = submit_as(bob, 2)

    order = [of_ann[0], *of_bob, *of_ann[1:4], other, *of_ann[4:]]
    assert ready() == [job.pk for job in order]
    assert first_in_order(4) == [job.pk for job in order[:4]]
    assert [place_of(job).position for job in order] == list(range(1, 10))
    newcomer = BuildJob(created_by=bob, needs_key=of_bob[0].needs_key, target_architecture="x86_64")
    assert place_of(newcomer) == Place(5, 4)


def test_one_job_of_each_class_is_asked_for_its_needs(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for group in ("", "north", "south"):
        submit_as(None, 10, group=group)

    with django_assert_num_queries(2) as captured:
        found = ready_jobs()

    assert captured.captured_queries[1]["sql"].count("x86_64") == 0
    assert Counter(job.needs.group for job in found) == {"": 10, "north": 10, "south": 10}
    assert all(job.needs == needs_of(BuildJob.objects.get(pk=job.id)) for job in found[:15])


@pytest.mark.parametrize("seed", range(5))
def test_no_page_loses_a_job_though_others_come_and_go(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_of_queue, "_PAGE", 7)
    order, chance, seen = make_many(60), Random(seed), []

    for number, job in enumerate(ranked_jobs()):
        seen.append(job.id)
        gone = chance.sample(order, 2)
        BuildJob.objects.filter(pk__in=gone).exclude(pk__in=order[-20:]).update(status=JobStatus.CLAIMED)
        make_job(created_at=at(-number), priority=chance.choice(Priority.values))

    assert [one for one in seen if one in order[-20:]] == order[-20:]
    assert len(set(seen)) == len(seen)
