"""Reading the builds that durations are learnt from."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from jobs.models import BuildJob
from jobs.queue.durations import SAMPLES, Basis, Learnt, Work
from jobs.queue.past_builds import learn_of, read_durations, work_of
from tests.factories import make_built, make_job

pytestmark = pytest.mark.django_db
MAIN = Work("https://git.example/demo.git", "main", "x86_64")


def told(found: Learnt | None) -> tuple[Basis, int, float] | None:
    return (found.basis, found.samples, round(found.likely)) if found else None


def completed(seconds: float, *, ago: int = 0, **fields: object) -> BuildJob:
    ended_at = timezone.now() - timedelta(minutes=ago)
    return make_built(seconds, ended_at=ended_at, **{"server_name": "one", **fields})


def test_reads_each_work_with_branch_and_server() -> None:
    for seconds in (10, 20, 30):
        completed(seconds)
    for seconds in (100, 200, 300):
        completed(seconds, server_name="two")
    completed(9000, source_repository="https://git.example/other.git")
    make_job("failed", started_at=timezone.now() - timedelta(seconds=7777))

    found = read_durations([MAIN])

    assert told(found.of(MAIN, server="one")) == (Basis.SERVER, 3, 23)
    assert told(found.of(MAIN, server="two")) == (Basis.SERVER, 3, 157)
    assert told(found.of(Work("new", "main", "x86_64"))) == (Basis.ARCHITECTURE, 7, 100)


def test_latest_come_first() -> None:
    for number in range(2 * SAMPLES):
        completed(10 if number < SAMPLES else 1000, ago=number)

    assert told(read_durations([MAIN]).of(MAIN)) == (Basis.BRANCH, SAMPLES, 10)


def test_jobs_take_as_long_as_their_like_where_they_run() -> None:
    for seconds in (10, 20, 30):
        completed(seconds)
        completed(10 * seconds, server_name="two")
    here, there = make_job("running", server_name="one"), make_job("running", server_name="two")
    unlike = make_job("running", source_repository="https://git.example/other.git")

    assert {name: round(one.likely) for name, one in learn_of([here, there, unlike]).items()} == {
        here.pk: 23,
        there.pk: 157,
    }
    assert learn_of([here])[here.pk].basis is Basis.SERVER


def test_number_of_queries_is_constant(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    jobs = [completed(60, source_repository=f"https://git.example/{number}.git") for number in range(40)]

    with django_assert_num_queries(2):
        read_durations([work_of(job) for job in jobs])
    with django_assert_num_queries(1):
        read_durations([MAIN], only_own=True)
    with django_assert_num_queries(0):
        assert learn_of([]) == {}
