"""Estimates as they are kept: what is written when, what came beside it, and how good they have been."""

import uuid
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from jobs.models import BuildJob, KeptForecast, Prediction
from jobs.queue import predictions
from jobs.queue.accuracy import Accuracy, Estimated, judge_estimates, judge_waits, track_record
from jobs.queue.durations import Basis
from jobs.queue.forecast import Foreseen
from jobs.queue.lasting import Range
from jobs.queue.margins import Margins
from jobs.queue.predictions import (
    MOST_OF_A_JOB,
    current_of,
    is_due,
    is_fresh,
    keep,
    note_what_came,
    outlived,
    refresh,
)
from jobs.queue.simulation import Expected, Forecast
from servers.models import BuildServer
from tests.factories import make_attempt, make_built, make_followed, make_job, make_server

NOW = timezone.now().replace(microsecond=0)


def foresee(job: BuildJob, start: float | None, *, end: float, at: datetime = NOW) -> Foreseen:
    """That it starts and ends after so many seconds, ten percent more or less."""
    server = BuildServer.objects.first() or make_server()
    expected = Expected(
        Range(0.9 * start, start, 1.1 * start) if start is not None else None,
        Range(0.9 * end, end, 1.1 * end),
        server.pk,
        Basis.BRANCH,
        7,
    )
    return Foreseen(at, Forecast({job.pk: expected}, {}), 1, 0, {})


def rows(job: BuildJob) -> list[tuple[str, int, bool]]:
    kept = Prediction.objects.filter(job=job).order_by("made_at", "pk")
    return list(kept.values_list("stage", "number", "is_current"))


def move(job: BuildJob, status: str, **fields: object) -> None:
    BuildJob.objects.filter(pk=job.pk).update(status=status, **fields)


# ---- keeping ----------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_first_estimate_is_kept_as_moments() -> None:
    job = make_job()

    assert keep(foresee(job, 100, end=300)) == 1

    told = current_of([job.pk])[job.pk]
    assert told.start is not None
    assert (told.start.low - NOW, told.start.likely - NOW, told.end.high - NOW) == (
        timedelta(seconds=90),
        timedelta(seconds=100),
        timedelta(seconds=330),
    )
    assert (told.made_at, told.basis, told.samples) == (NOW, Basis.BRANCH, 7)


@pytest.mark.django_db
def test_what_comes_true_is_not_written_again() -> None:
    job = make_job()
    keep(foresee(job, 600, end=900))

    later = NOW + timedelta(seconds=60)
    assert keep(foresee(job, 540, end=840, at=later)) == 0
    assert keep(foresee(job, 500, end=800, at=later)) == 0  # off, but by little
    assert keep(foresee(job, 1200, end=1500, at=later)) == 1
    assert rows(job) == [("queued", 1, False), ("queued", 2, True)]


@pytest.mark.django_db
def test_of_one_job_so_many_are_kept_and_the_last_is_written_over() -> None:
    job = make_job()
    for number in range(MOST_OF_A_JOB + 3):
        keep(foresee(job, 2.0**number, end=2.0**number * 60, at=NOW + timedelta(seconds=20 * number)))

    assert [number for _, number, _ in rows(job)] == list(range(1, MOST_OF_A_JOB + 1))
    assert [is_current for _, _, is_current in rows(job)] == [False] * (MOST_OF_A_JOB - 1) + [True]
    assert current_of([job.pk])[job.pk].made_at == NOW + timedelta(seconds=200)


@pytest.mark.django_db
def test_what_nobody_can_tell_any_more_is_taken_back() -> None:
    job = make_job()
    keep(foresee(job, 100, end=300))

    keep(Foreseen(NOW, Forecast({}, {}), 0, 0, {}))

    assert current_of([job.pk]) == {}
    keep(foresee(job, 100, end=300))
    assert rows(job) == [("queued", 1, False), ("queued", 2, True)]


@pytest.mark.django_db
def test_a_job_that_was_removed_meanwhile_stops_no_other() -> None:
    gone, job = make_job(), make_job()
    both = {
        **foresee(gone, 100, end=300).forecast.jobs,
        **foresee(job, 100, end=300).forecast.jobs,
    }
    gone.delete()

    keep(Foreseen(NOW, Forecast(both, {}), 2, 0, {}))

    assert list(current_of([gone.pk, job.pk])) == [job.pk]


# ---- comparing --------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_start_and_end_are_noted_beside_every_estimate() -> None:
    job = make_job()
    keep(foresee(job, 100, end=300))
    keep(foresee(job, 500, end=900, at=NOW + timedelta(seconds=50)))
    start, end = NOW + timedelta(seconds=450), NOW + timedelta(seconds=800)

    move(job, "running", started_at=start)
    note_what_came()
    keep(foresee(job, None, end=400, at=start))
    move(job, "completed", completed_at=end)
    note_what_came()

    kept = Prediction.objects.filter(job=job).order_by("pk").values_list("stage", "started_at", "ended_at")
    assert list(kept) == [("queued", start, end), ("queued", start, end), ("active", None, end)]
    assert not Prediction.objects.filter(is_current=True).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_what_came_otherwise_is_not_compared(status: str) -> None:
    job = make_job()
    keep(foresee(job, 100, end=300))

    move(job, status, started_at=NOW + timedelta(seconds=90), completed_at=NOW + timedelta(seconds=95))
    note_what_came()

    found = Prediction.objects.get(job=job)
    assert (found.started_at, found.ended_at, found.is_current) == (
        NOW + timedelta(seconds=90),
        None,
        False,
    )


@pytest.mark.django_db
def test_a_job_cancelled_in_the_queue_never_started() -> None:
    job = make_job()
    keep(foresee(job, 100, end=300))

    move(job, "cancelled", completed_at=NOW)
    note_what_came()

    assert Prediction.objects.filter(started_at__isnull=True, is_current=False).count() == 1


# ---- how good ---------------------------------------------------------------------------------------------
def test_accuracy_counts_what_was_near_and_what_was_in_range() -> None:
    estimates = [
        Estimated(50, 100, 150, came=100),
        Estimated(50, 100, 150, came=130),  # 23% less than what came
        Estimated(50, 100, 150, came=140),
        Estimated(99, 100, 101, came=120),
        Estimated(99, 100, 101, came=1000),
    ]

    assert judge_estimates(estimates) == Accuracy(5, 60, 60)
    assert judge_estimates([]) is None


def test_what_starts_at_once_as_was_told_does_not_flatter() -> None:
    assert judge_waits([Estimated(0, 1, 2, came=1)]) is None
    assert judge_waits([Estimated(0, 1, 2, came=100), Estimated(0, 1, 2, came=1)]) == Accuracy(1, 0, 0)


@pytest.mark.django_db
def test_first_estimates_of_the_latest_jobs_are_judged() -> None:
    for wait in (100, 100, 400):
        job = make_job()
        keep(foresee(job, 100, end=300))
        keep(foresee(job, 4000, end=9000, at=NOW + timedelta(seconds=1)))
        start = NOW + timedelta(seconds=wait)
        move(job, "running", started_at=start)
        note_what_came()
        keep(foresee(job, None, end=200, at=start))
        move(job, "completed", completed_at=start + timedelta(seconds=210))
        note_what_came()

    found = track_record()

    assert (found.starts, found.ends) == (Accuracy(3, 67, 67), Accuracy(3, 100, 100))


@pytest.mark.django_db
def test_without_any_it_says_so() -> None:
    found = track_record()

    assert (found.starts, found.ends) == (None, None)
    assert found.of_starts == "How good estimates of a start are is not known yet."


# ---- a whole pass -----------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_pass_keeps_the_queue_and_is_not_repeated_at_once() -> None:
    end = timezone.now()
    for _ in range(3):
        make_built(100, ended_at=end)
    server = make_followed(max_concurrent_builds=1)
    make_attempt(make_job("running", server=server), "running", server=server)
    waiting = make_job()

    assert is_due()
    assert refresh() == 2
    assert refresh() == 0  # another one has just done it

    kept = KeptForecast.objects.get()
    assert (kept.looked_at, kept.left_out, list(kept.waits), list(kept.free_in)) == (
        1,
        0,
        ["x86_64"],
        [str(server.pk)],
    )
    assert kept.next_at > timezone.now()
    assert waiting.pk in current_of([waiting.pk])


@pytest.mark.parametrize(("seconds", "holds"), [(31, True), (129, True), (130, False)])
def test_a_forecast_that_took_long_to_make_holds_until_the_next_one_is_overdue(
    seconds: int, holds: bool
) -> None:
    kept = KeptForecast(made_at=NOW, next_at=NOW + timedelta(seconds=100))

    assert is_fresh(kept, now=NOW + timedelta(seconds=seconds)) is holds


def test_a_forecast_that_was_never_made_does_not_hold() -> None:
    assert not is_fresh(KeptForecast(made_at=None, next_at=NOW), now=NOW)


def test_a_wider_range_moves_the_ends_that_follow() -> None:
    expected = Expected(Range(90, 100, 110), Range(290, 300, 320), uuid.uuid4(), Basis.BRANCH, 7)
    job_id = uuid.uuid4()
    foreseen = Foreseen(NOW, Forecast({job_id: expected}, {}), 1, 0, {"x86_64": Range(90, 100, 110)})

    wider = foreseen.widened(Margins(0.5, 2.0))

    found = wider.forecast.jobs[job_id]
    assert (found.start, found.end) == (Range(50, 100, 200), Range(250, 300, 400))
    assert wider.waits == {"x86_64": Range(50, 100, 200)}


@pytest.mark.django_db
def test_nothing_is_due_on_an_idle_board() -> None:
    make_job("completed")

    assert not is_due()


@pytest.mark.django_db
def test_old_estimates_are_outlived_but_for_those_that_hold() -> None:
    old, held = make_job(), make_job()
    for job in (old, held):
        keep(foresee(job, 100, end=300))
        Prediction.objects.filter(job=job).update(made_at=NOW - predictions.KEPT - timedelta(days=1))
    Prediction.objects.filter(job=old).update(is_current=False)
    Prediction.objects.filter(job=held).update(is_current=True)

    assert list(Prediction.objects.filter(outlived()).values_list("job", flat=True)) == [old.pk]
