"""What is told of waits, starts and ends: kept, played on the spot, or guessed; and what it costs."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from jobs.models import BuildJob, KeptForecast
from jobs.queue import predictions
from jobs.queue.accuracy import Accuracy, TrackRecord
from jobs.queue.durations import Basis
from jobs.queue.estimate import (
    Estimate,
    Foresight,
    estimate_of_job,
    estimate_of_queue,
    queue_state,
    told_if_submitted,
)
from jobs.queue.order import place_of
from servers.models import BuildServer
from servers.slots import take_slot
from tests.factories import make_attempt, make_built, make_followed, make_job

pytestmark = pytest.mark.django_db


def finished(seconds: float, *, times: int = 3, architecture: str = "x86_64") -> None:
    """Builds that took so long; three of them, alike, give a range of ten percent either way."""
    for _ in range(times):
        make_built(seconds, target_architecture=architecture)


def running(server: BuildServer, *, seconds: float, **fields: object) -> BuildJob:
    """A build that holds a slot there."""
    started = timezone.now() - timedelta(seconds=seconds)
    job = make_job("running", server=server, server_name=server.name, started_at=started, **fields)
    attempt = make_attempt(job, "running", server=server, server_name=server.name, started_at=started)
    assert take_slot(server, holder=attempt.pk) is not None
    return job


def wait_of_queue() -> Estimate:
    return estimate_of_queue(queue_state(), waits=Foresight().waits)


def near(found: Estimate, seconds: float) -> bool:
    return found.basis == "history" and abs(found.seconds - seconds) <= 0.15 * seconds + 2


def test_empty_queue_has_no_wait() -> None:
    assert wait_of_queue() == Estimate(0, "default")
    finished(60)
    assert wait_of_queue() == Estimate(0, "history")


def test_without_history_the_wait_is_the_seeds() -> None:
    make_followed()
    make_job(), make_job()

    assert wait_of_queue() == Estimate(600, "default")


def test_queue_waits_for_what_runs_and_for_those_before() -> None:
    finished(1000)
    server = make_followed(max_concurrent_builds=1)
    running(server, seconds=400)
    make_job()

    found = wait_of_queue()

    assert near(found, 600 + 1000)
    assert found.range is not None
    assert found.range.low < found.range.likely < found.range.high


def test_a_full_fleet_lets_wait_though_nobody_is_queued() -> None:
    finished(1000)
    running(make_followed(max_concurrent_builds=1), seconds=400)

    assert near(wait_of_queue(), 600)


def test_the_longest_wait_of_what_is_built_counts() -> None:
    finished(1000)
    running(make_followed(max_concurrent_builds=1), seconds=100)
    make_followed(architectures=["aarch64"])

    assert near(wait_of_queue(), 900)
    assert Foresight().waits["aarch64"].high == 0


def test_with_no_server_in_service_it_is_as_if_one_slot_came() -> None:
    finished(100)
    make_followed(status="offline")
    make_job(), make_job()

    assert wait_of_queue() == Estimate(201, "history")


def told_of(job: BuildJob) -> Estimate:
    told = Foresight().of([job]).get(job.pk)
    return estimate_of_job(job, told=told, place=place_of(job), total_queued=queue_state().total_queued)


def test_job_waits_for_those_before_it_on_servers_that_fit() -> None:
    finished(1000)
    finished(50, architecture="aarch64")
    running(make_followed(max_concurrent_builds=1), seconds=400)
    running(
        make_followed(max_concurrent_builds=1, architectures=["aarch64"]),
        seconds=20,
        target_architecture="aarch64",
    )
    first, second, other = make_job(), make_job(), make_job(target_architecture="aarch64")

    assert near(told_of(first), 600)
    assert near(told_of(second), 1600)
    assert near(told_of(other), 30)
    told = told_of(first).told
    assert told is not None
    assert (told.basis, told.samples) == (Basis.REPOSITORY, 3) or told.basis is Basis.BRANCH


def test_job_that_no_server_in_service_fits_is_guessed_by_its_place() -> None:
    finished(100)
    make_job(), make_job(target_architecture="aarch64")
    job = make_job()

    assert told_of(job) == Estimate(201, "history")


def test_without_history_each_queued_job_counts() -> None:
    make_followed()
    make_job()

    assert told_of(make_job()) == Estimate(600, "default")


def test_a_job_that_is_not_submitted_is_told_by_its_place() -> None:
    finished(1000)
    running(make_followed(max_concurrent_builds=1), seconds=400)
    make_job()
    fields = {"source_repository": "https://git.example/demo.git", "target_architecture": "x86_64"}

    starts = []
    for place in (1, 2):
        found = told_if_submitted(BuildJob(**fields), position=place)
        assert found is not None
        assert found.start is not None
        starts.append((found.start.likely - timezone.now()).total_seconds())

    assert [round(seconds, -3) for seconds in starts] == [1000, 2000]
    assert not BuildJob.objects.filter(status="queued").exclude(created_at__lt=timezone.now()).exists()


# ---- kept forecasts ---------------------------------------------------------------------------------------
def test_what_is_kept_is_told_without_playing_again() -> None:
    finished(1000)
    server = make_followed(max_concurrent_builds=1)
    running(server, seconds=400)
    job = make_job()
    predictions.refresh()
    BuildServer.objects.update(status="offline")  # a play would tell nothing now

    assert near(told_of(job), 600)
    assert near(wait_of_queue(), 1600)
    assert 500 < Foresight().free_in[server.pk].likely < 700


def test_what_is_kept_grows_old() -> None:
    finished(1000)
    running(make_followed(max_concurrent_builds=1), seconds=400)
    job = make_job()
    predictions.refresh()
    KeptForecast.objects.update(next_at=timezone.now() - timedelta(minutes=1))
    BuildServer.objects.update(status="offline")

    assert Foresight().of([job]) == {}


def test_a_job_that_is_newer_than_what_is_kept_is_played() -> None:
    finished(1000)
    running(make_followed(max_concurrent_builds=1), seconds=400)
    predictions.refresh()

    assert near(told_of(make_job()), 600)


def test_track_record_is_told_however_old() -> None:
    record = {"starts": {"estimates": 9, "within_25_percent": 78, "in_range": 80}, "ends": None}
    KeptForecast.objects.create(
        pk=1, made_at=timezone.now() - timedelta(days=1), next_at=timezone.now(), track_record=record
    )

    assert Foresight().track_record == TrackRecord(starts=Accuracy(9, 78, 80))
    assert Foresight().track_record.of_starts == (
        "Of the last 9 estimates of a start, 80% had it in their range, 78% were within 25% of it."
    )


def test_track_record_of_one_estimate_names_no_share() -> None:
    told = [TrackRecord(starts=Accuracy(1, share, share)).of_starts for share in (100, 0)]

    assert told == [
        "The only estimate of a start so far had it in its range.",
        "The only estimate of a start so far did not have it in its range.",
    ]


def test_number_of_queries_is_constant(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for number in range(20):
        finished(60, times=1)
        server = make_followed()
        job = make_job(branch=f"branch-{number}")
        running(server, seconds=10)
    predictions.refresh()

    with django_assert_num_queries(1):
        state = queue_state()
    with django_assert_num_queries(1):
        estimate_of_queue(state, waits=Foresight().waits)
    with django_assert_num_queries(2):
        Foresight().of([job])
