"""One pass over the queue: who is taken, in which order, and when the reasons of the others are written."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from buildboard.core.audit import BOARD
from jobs.execution import dispatch
from jobs.execution.dispatch import Dispatcher
from jobs.execution.fleet_pass import KEPT_OF_A_CLASS
from jobs.lifecycle import request_cancel
from jobs.models import Attempt, BuildJob, Refusal
from jobs.queue.refusals import MOST_SERVERS
from jobs.states import JobStatus, Priority
from servers.fleet import ServerFacts, Tools, load_fleet, takes_jobs
from servers.models import BuildServer
from servers.starts import note_refused_start
from servers.states import ServerStatus
from tests.factories import make_followed, make_job, make_server, make_user

pytestmark = pytest.mark.django_db


def test_free_slots_go_to_the_first_in_order_over_several_pages() -> None:
    make_followed(max_concurrent_builds=20)
    low = [make_job(priority=Priority.LOW) for _ in range(10)]
    high = [make_job(priority=Priority.HIGH) for _ in range(15)]

    attempts = Dispatcher().dispatch()

    assert [attempt.job_id for attempt in attempts] == [job.pk for job in [*high, *low[:5]]]


def test_bell_gives_out_slots_and_leaves_the_reasons_to_the_next_whole_look() -> None:
    server = make_followed(max_concurrent_builds=1)
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


def test_bell_looks_no_further_when_only_servers_out_of_service_have_free_slots() -> None:
    make_followed(max_concurrent_builds=1)
    make_server(enabled=False)
    jobs = [make_job() for _ in range(20)]

    with CaptureQueriesContext(connection) as captured:
        attempts = Dispatcher().dispatch(explain=False)

    assert [attempt.job_id for attempt in attempts] == [jobs[0].pk]
    pages = [one["sql"] for one in captured.captured_queries if '"rank_ms"' in one["sql"]]
    assert len(pages) == 1


def test_server_that_showed_another_key_takes_nothing_whatever_its_status() -> None:
    make_followed(max_concurrent_builds=1)
    ssh = {"transport": "ssh", "hostname": "h", "ssh_username": "u", "host_key": "pinned"}
    BuildServer.objects.update(status=ServerStatus.ONLINE, seen_host_key="another", **ssh)
    make_job()

    attempts = Dispatcher().dispatch()

    assert attempts == []
    assert list(Refusal.objects.values_list("condition", flat=True)) == ["unpinned"]
    assert not takes_jobs(BuildServer.objects.get())
    BuildServer.objects.update(seen_host_key="")
    assert len(Dispatcher().dispatch()) == 1


def test_server_below_the_disk_floor_draws_no_job() -> None:
    low, roomy = make_followed(max_concurrent_builds=9), make_followed(max_concurrent_builds=1)
    BuildServer.objects.filter(pk=low.pk).update(free_storage_mib=10)
    jobs = [make_job() for _ in range(2)]

    attempts = Dispatcher().dispatch()

    assert [(attempt.job_id, attempt.server_id) for attempt in attempts] == [(jobs[0].pk, roomy.pk)]
    refused = Refusal.objects.values_list("job", "server", "condition", "hard", "detail")
    assert (
        jobs[1].pk,
        low.pk,
        "disk_floor",
        True,
        "has only 10 MiB free of the 256 MiB that a build needs",
    ) in refused


def test_server_that_refused_a_start_is_passed_over_until_it_may_be_asked_again() -> None:
    full, other = make_followed(max_concurrent_builds=9), make_followed(max_concurrent_builds=1)
    note_refused_start(full.pk, reason="Its disk is full.")
    jobs = [make_job() for _ in range(2)]

    attempts = Dispatcher().dispatch()

    assert [(attempt.job_id, attempt.server_id) for attempt in attempts] == [(jobs[0].pk, other.pk)]
    full.refresh_from_db()
    assert not takes_jobs(full)
    BuildServer.objects.update(starts_refused_until=timezone.now())
    assert [attempt.server_id for attempt in Dispatcher().dispatch()] == [full.pk]


def test_job_that_no_server_can_take_does_not_hold_up_those_behind_it() -> None:
    make_followed(max_concurrent_builds=1)
    make_job(target_architecture="s390x", priority=Priority.HIGH)
    job = make_job()

    attempts = Dispatcher().dispatch(explain=False)

    assert [attempt.job_id for attempt in attempts] == [job.pk]


def open_refusals() -> list[tuple[object, str]]:
    rows = Refusal.objects.filter(until__isnull=True).order_by("job__created_at", "condition")
    return list(rows.values_list("job", "condition"))


def test_refusals_open_change_and_close_with_the_servers_conditions() -> None:
    server = make_followed(max_concurrent_builds=1)
    BuildServer.objects.filter(pk=server.pk).update(draining=True, memory_percent=90.0)
    job = make_job()
    dispatcher = Dispatcher()
    dispatcher.dispatch()
    assert open_refusals() == [(job.pk, "draining"), (job.pk, "memory_limit")]

    BuildServer.objects.filter(pk=server.pk).update(draining=False, memory_percent=95.0)
    dispatcher.dispatch()
    (row,) = Refusal.objects.filter(until__isnull=True)
    assert (row.condition, row.detail) == ("memory_limit", "uses 95% of its memory, over its limit of 85%")
    (ended,) = Refusal.objects.filter(until__isnull=False)
    assert (ended.condition, ended.until is not None and ended.until > ended.since) == ("draining", True)

    BuildServer.objects.filter(pk=server.pk).update(draining=True)
    dispatcher.dispatch()
    assert Refusal.objects.filter(condition="draining").count() == 2

    BuildServer.objects.filter(pk=server.pk).update(draining=False, memory_percent=1.0)
    assert [attempt.job_id for attempt in dispatcher.dispatch()] == [job.pk]
    assert open_refusals() == []
    assert Refusal.objects.count() == 3


def test_refusal_says_whether_it_is_hard_and_keeps_its_beginning_whoever_looks_again() -> None:
    hot = make_followed(max_concurrent_builds=1)
    make_followed(max_concurrent_builds=1, held=1)
    BuildServer.objects.filter(pk=hot.pk).update(cpu_percent=99.0)
    make_job()
    Dispatcher().dispatch()
    first = list(Refusal.objects.order_by("condition").values_list("condition", "hard", "since"))

    BuildServer.objects.filter(pk=hot.pk).update(cpu_percent=97.0)
    Dispatcher().dispatch()  # of another process, or of this one after a new start

    assert [(condition, hard) for condition, hard, _ in first] == [("cpu_limit", False), ("full", True)]
    again = Refusal.objects.filter(until__isnull=True).order_by("condition")
    assert list(again.values_list("condition", "hard", "since")) == first
    assert "97%" in again[0].detail


@pytest.mark.parametrize("restarted", [False, True])
def test_refusals_of_jobs_that_ended_or_are_elsewhere_close_with_the_next_look(restarted: bool) -> None:
    make_followed(max_concurrent_builds=1, held=1)
    ended, elsewhere, stays = [make_job() for _ in range(3)]
    dispatcher = Dispatcher()
    dispatcher.dispatch()
    assert [job_id for job_id, _ in open_refusals()] == [ended.pk, elsewhere.pk, stays.pk]

    request_cancel(ended, actor=BOARD)
    BuildJob.objects.filter(pk=elsewhere.pk).update(status=JobStatus.CLAIMED)
    (Dispatcher() if restarted else dispatcher).dispatch()

    assert open_refusals() == [(stays.pk, "full")]


def test_refusals_are_kept_of_the_first_jobs_of_each_class_and_of_the_nearest_servers() -> None:
    make_followed(max_concurrent_builds=1, held=1)
    far = [make_server(architectures=["aarch64"]) for _ in range(MOST_SERVERS)]
    jobs = [make_job() for _ in range(KEPT_OF_A_CLASS + 1)]
    other = make_job(group="south")
    dispatcher = Dispatcher()

    dispatcher.dispatch()

    kept = Refusal.objects.filter(until__isnull=True)
    assert set(kept.values_list("job", flat=True)) == {job.pk for job in (*jobs[:-1], other)}
    assert kept.filter(job=jobs[0], condition="full").count() == 1
    assert kept.filter(job=jobs[0], condition="architecture").count() == len(far) - 1

    request_cancel(jobs[0], actor=BOARD)
    dispatcher.dispatch()
    assert set(kept.values_list("job", flat=True)) == {job.pk for job in (*jobs[1:], other)}


def test_unchanged_refusals_cost_no_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    make_followed(max_concurrent_builds=1, held=1)
    for _ in range(30):
        make_job()
    dispatcher = Dispatcher()
    dispatcher.dispatch()

    with django_assert_num_queries(4):  # the queue, slots, servers and toolchains
        dispatcher.dispatch()


def test_high_job_that_is_new_leaves_an_older_one_its_right_to_a_server_over_its_cpu_limit() -> None:
    hot = make_followed(max_concurrent_builds=1)
    make_followed(max_concurrent_builds=1, held=1)
    BuildServer.objects.filter(pk=hot.pk).update(cpu_percent=99.0)
    old = make_job(created_at=timezone.now() - timedelta(minutes=2))
    make_job(priority=Priority.HIGH)

    attempts = Dispatcher().dispatch()

    assert [(attempt.job_id, attempt.server_id) for attempt in attempts] == [(old.pk, hot.pk)]


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"draining": True},
        {"status": ServerStatus.MAINTENANCE},
        {"transport": "ssh", "hostname": "h", "ssh_username": "u", "host_key": ""},
        {
            "quarantine_kind": "hand",
            "quarantined_since": timezone.now(),
            "quarantined_until": timezone.now() + timedelta(hours=1),
        },
    ],
)
def test_server_that_is_taken_out_of_service_during_the_look_gets_no_job(
    change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_followed(max_concurrent_builds=1)
    job = make_job()
    load = load_fleet

    def load_then_change(*, tools: Tools | None = None) -> list[ServerFacts]:
        fleet = load(tools=tools)
        BuildServer.objects.filter(pk=server.pk).update(**change)
        return fleet

    monkeypatch.setattr(dispatch, "load_fleet", load_then_change)

    assert Dispatcher().dispatch() == []
    assert BuildJob.objects.get(pk=job.pk).status == JobStatus.QUEUED


def test_job_waits_for_the_server_that_it_names() -> None:
    named = make_followed(max_concurrent_builds=1, held=1)
    make_followed(max_concurrent_builds=1)
    job = make_job(requested_server=named, spec={"server_id": named.name})
    dispatcher = Dispatcher()
    assert dispatcher.dispatch() == []

    named.slots.update(holder=None)
    attempts = dispatcher.dispatch()

    assert [(attempt.job_id, attempt.server_id) for attempt in attempts] == [(job.pk, named.pk)]


def test_bell_over_a_long_queue_looks_at_classes_that_have_room_and_at_new_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "MANY", 2)
    full = make_followed(max_concurrent_builds=1, held=1)
    BuildServer.objects.filter(pk=make_followed(max_concurrent_builds=9).pk).update(architectures=["aarch64"])
    long_ago = timezone.now() - timedelta(hours=1)
    waiting = [make_job(created_at=long_ago) for _ in range(3)]
    dispatcher = Dispatcher()
    assert dispatcher.dispatch() == []

    back = make_job(created_at=long_ago, target_architecture="aarch64")
    new = make_job(target_architecture="aarch64")
    assert [attempt.job_id for attempt in dispatcher.dispatch(explain=False)] == [new.pk]
    assert [attempt.job_id for attempt in dispatcher.dispatch()] == [back.pk]

    full.slots.update(holder=None)
    rung = dispatcher.dispatch(explain=False)
    assert [attempt.job_id for attempt in rung] == [min(job.pk for job in waiting)]


def test_bell_over_a_longer_queue_than_it_reads_gives_everybody_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And classes whose first job stands further behind."""
    monkeypatch.setattr(dispatch, "MANY", 2)
    monkeypatch.setattr(dispatch, "MOST_AT_A_BELL", 4)
    north = make_followed(max_concurrent_builds=3, held=3, group="north")
    south = make_followed(max_concurrent_builds=1, held=1, group="south")
    ann, bob = make_user(), make_user()
    minutes_ago = timezone.now() - timedelta(minutes=9)
    for second in range(8):
        at = minutes_ago + timedelta(seconds=second)
        make_job(created_by=ann, created_at=at, group="north", needs_key="n")
    at = minutes_ago + timedelta(seconds=20)
    last = make_job(created_by=bob, created_at=at, group="north", needs_key="n")
    other = make_job(created_by=ann, created_at=at + timedelta(seconds=1), group="south", needs_key="s")
    dispatcher = Dispatcher()
    assert dispatcher.dispatch() == []

    for server in (north, south):
        server.slots.update(holder=None)
    rung = dispatcher.dispatch(explain=False)

    assert len(rung) == 4
    assert {last.pk, other.pk} <= {attempt.job_id for attempt in rung}


def test_each_claim_costs_the_same_however_long_the_queue(
    django_assert_max_num_queries: Callable[[int], AbstractContextManager[CaptureQueriesContext]],
) -> None:
    counts = []
    for count in (5, 10, 20):
        Attempt.objects.all().delete()
        BuildJob.objects.all().delete()
        BuildServer.objects.all().delete()
        make_followed(max_concurrent_builds=count)
        make_followed(max_concurrent_builds=count)
        for number in range(4 * count):
            make_job(group="" if number % 2 else "south")
        with django_assert_max_num_queries(10_000) as captured:
            assert len(Dispatcher().dispatch(explain=False)) == 2 * count
        counts.append(len(captured.captured_queries))

    a_job = (counts[1] - counts[0]) / 10
    assert counts[2] - counts[1] == pytest.approx(a_job * 20, abs=4)  # a page of the queue more or less


def test_what_another_dispatcher_took_meanwhile_is_passed_over_without_a_look_at_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_followed(max_concurrent_builds=9)
    taken, left = [make_job() for _ in range(20)], make_job()
    load = load_fleet

    def load_then_take(*, tools: Tools | None = None) -> list[ServerFacts]:
        BuildJob.objects.filter(pk__in=[job.pk for job in taken]).update(status=JobStatus.CLAIMED)
        return load(tools=tools)

    monkeypatch.setattr(dispatch, "load_fleet", load_then_take)

    with CaptureQueriesContext(connection) as captured:
        attempts = Dispatcher().dispatch(explain=False)

    assert [attempt.job_id for attempt in attempts] == [left.pk]
    looks = [one["sql"] for one in captured.captured_queries if '"source_repository" FROM' in one["sql"]]
    assert len(looks) == 2  # the first of those that were taken, and the one that was left
