"""Why each of many queued jobs waits, in few words: impossible, offline and busy are three things."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from jobs.models import JobDependency
from jobs.queue.outlook import outlook_of_queue, outlooks_among
from servers.fleet import load_fleet
from tests import factories
from tests.factories import make_job

pytestmark = pytest.mark.django_db
make_followed = partial(factories.make_followed, max_concurrent_builds=1)
LONG_AGO = timezone.now() - timedelta(minutes=2)  # more than it waits for a cooler server


@pytest.mark.parametrize(
    ("servers", "job", "told"),
    [
        (
            [{"name": "north", "held": 1}],
            {},
            ("Waiting for a slot", "north is busy", "busy"),
        ),
        (
            [{"name": "north", "status": "maintenance"}],
            {},
            ("No build server that fits is in service", "it starts when north leaves maintenance", "offline"),
        ),
        (
            [{"name": "north"}],
            {"group": "south"},
            (
                "No build server can take it",
                "it starts when north is put into the group south",
                "impossible",
            ),
        ),
        ([{"name": "north"}], {}, ("About to start", "north has room now", None)),
        (
            [{"name": "hot", "cpu_percent": 99}, {"name": "full", "held": 1}],
            {},
            ("Waiting for a slot", "2 servers that fit are busy", "busy"),
        ),
        (
            [{"name": "hot", "cpu_percent": 99}, {"name": "full", "held": 1}],
            {"created_at": LONG_AGO},
            ("About to start", "hot has room now", None),
        ),
        (
            [{"name": "north"}, {"name": "south"}],
            {},
            ("About to start", "2 servers have room now", None),
        ),
        (
            [],
            {},
            (
                "There is no build server yet",
                "it starts when a build server is added that builds x86_64",
                "impossible",
            ),
        ),
        (
            [{"name": "north"}],
            {"provider": "orchestrator"},
            ("Waiting for an orchestrator", "it is pulled by one, no build server takes it", None),
        ),
    ],
)
def test_each_kind_of_waiting_is_told(
    servers: list[dict[str, Any]], job: dict[str, Any], told: tuple[str, str, str | None]
) -> None:
    for fields in servers:
        make_followed(**fields)
    waiting = make_job(**job)

    found = outlooks_among([waiting.pk])[waiting.pk]
    (first,) = outlook_of_queue(load_fleet(), limit=5)

    assert (found.told, found.detail, found.kind) == told
    assert (first.told, first.detail, first.kind, first.position) == (*told, 1)
    assert found.is_blocked is (told[2] in ("impossible", "offline"))


def test_what_does_not_wait_for_a_server_says_so() -> None:
    make_followed("north")
    later = make_job(not_before=timezone.now() + timedelta(minutes=1))
    needing = make_job()
    JobDependency.objects.create(job=needing, needs=later)

    found = outlooks_among([later.pk, needing.pk])

    assert [(found[one.pk].told, found[one.pk].kind) for one in (later, needing)] == [
        ("Waits before its next try", None),
        ("Needs another job", None),
    ]


def test_what_waits_no_more_is_left_out() -> None:
    assert outlooks_among([make_job("running").pk]) == {}


@pytest.mark.parametrize("jobs", [1, 3])
def test_many_cost_as_many_queries_as_one(
    jobs: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_followed("north", held=1)
    ids = [make_job(needs_key="k").pk for _ in range(jobs)]

    with django_assert_num_queries(
        13
    ):  # fleet 3, jobs, needs, the last forecast; without one the queue is played: 7
        found = outlooks_among(ids)
    with django_assert_num_queries(0):
        assert outlooks_among([]) == {}

    assert [one.told for one in found.values()] == ["Waiting for a slot"] * jobs
