"""What still runs on a server and until about when, by how long builds like it took."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from jobs.models import Attempt
from jobs.views.progress import progress_among
from jobs.views.still_running import StillRunning, about, still_running
from servers.models import BuildServer
from tests.factories import make_attempt, make_built, make_job, make_server

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    """However long after the import of this file a test runs."""
    with time_machine.travel(NOW):
        yield


def past(repository: str, *, minutes: int) -> None:
    make_built(60 * minutes, ended_at=NOW, source_repository=repository)


def running(server: BuildServer, repository: str, *, minutes: int) -> Attempt:
    at = NOW - timedelta(minutes=minutes)
    job = make_job("running", source_repository=repository, started_at=at, server=server)
    return make_attempt(job, server=server, started_at=at)


def shown(attempts: Sequence[Attempt]) -> StillRunning:
    return still_running(attempts, progress=progress_among(attempts))


def test_builds_are_told_with_their_end_and_those_without_one_first() -> None:
    server = make_server()
    past("https://git.example/long", minutes=60)
    past("https://git.example/short", minutes=10)
    long, short, over, new = (
        running(server, f"https://git.example/{name}", minutes=minutes)
        for name, minutes in (("long", 15), ("short", 5), ("short", 20), ("new", 1))
    )

    still = shown([long, short, over, new])

    assert [one.attempt for one in still.builds] == [new, long, short, over]
    assert [one.is_over for one in still.builds] == [False, False, False, True]
    assert still.last_ends_at == NOW + timedelta(minutes=45)
    assert (still.count, still.untold, still.left_out) == (4, 2, 0)


@pytest.mark.parametrize(
    ("moment", "words"),
    [("2026-01-16T14:05:59", "14:05 UTC"), ("2026-01-17T00:01:00", "2026-01-17 00:01 UTC")],
)
def test_an_end_on_another_day_names_the_day(moment: str, words: str) -> None:
    with time_machine.travel("2026-01-16T13:00:00Z", tick=False):
        assert about(datetime.fromisoformat(moment).replace(tzinfo=UTC)) == words


def test_of_many_the_first_are_named() -> None:
    server = make_server()

    still = shown([running(server, "https://git.example/new", minutes=1) for _ in range(10)])

    assert (len(still.shown), still.left_out, still.last_ends_at) == (8, 2, None)


def test_nothing_runs() -> None:
    assert shown([]).count == 0
