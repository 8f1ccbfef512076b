"""What a drain would do to those who wait, from facts: who ends when, and how the wait of each architecture changes."""

import uuid
from typing import Any

import pytest

from jobs.needs import Needs
from jobs.queue.drain_impact import DrainImpact, Ending, WaitChange, impact_of
from jobs.queue.durations import Durations, Sample, Work
from jobs.queue.lasting import Range
from jobs.queue.simulation import Queued, QueueFacts, Running
from servers.fleet import ServerFacts
from tests.jobs.fleets import NOW, facts

X86, ARM = Work("demo", "main", "x86_64"), Work("demo", "main", "aarch64")
TEN_MINUTES = Durations([Sample(work, "", 600.0) for work in (X86, ARM) for _ in range(9)])
NORTH = facts("north", architectures=frozenset({"x86_64"}), slots=1)
SOUTH = facts("south", architectures=frozenset({"x86_64"}), slots=1)
WEST = facts("west", architectures=frozenset({"aarch64"}), slots=1)


def job(number: int, work: Work = X86) -> Queued:
    return Queued(uuid.UUID(int=number), Needs(work.architecture), work)


def on(server: ServerFacts, number: int, *, elapsed: float = 0.0) -> Running:
    return Running(uuid.UUID(int=number), server.id, X86, elapsed)


def impact(server: ServerFacts, *fleet: ServerFacts, **given: Any) -> DrainImpact:
    played = QueueFacts(**{"now": NOW, "fleet": fleet, "durations": TEN_MINUTES, **given})
    return impact_of(played, server_id=server.id)


def changes(found: DrainImpact) -> list[tuple[str, int, bool]]:
    return [(one.architecture, one.jobs, bool(one.longer and one.longer > 300)) for one in found.changes]


def test_those_who_wait_wait_longer_without_it() -> None:
    queue = [job(number) for number in range(10, 16)]

    found = impact(NORTH, NORTH, SOUTH, queue=queue)

    assert changes(found) == [("x86_64", 6, True)]
    assert (found.held_back, found.is_told, found.left_out) == (0, True, 0)


def test_what_it_does_not_build_waits_no_longer() -> None:
    found = impact(WEST, NORTH, WEST, queue=[job(10), job(11)])

    assert [(one.architecture, one.words) for one in found.changes] == [
        ("aarch64", "no start until another server is there"),
        ("x86_64", "no change"),
    ]


def test_jobs_that_nobody_else_in_service_takes_are_held_back() -> None:
    queue = [job(10, ARM), job(11, ARM), job(12)]

    found = impact(WEST, NORTH, WEST, queue=queue)

    assert found.held_back == 2
    assert found.changes[0].after is None
    assert found.told == "aarch64: no start until another server is there; x86_64: no change"


def test_what_runs_there_ends_there() -> None:
    long, short = on(NORTH, 1), on(NORTH, 2, elapsed=500.0)

    found = impact(NORTH, facts("north", slots=2, held=2), SOUTH, running=[long, short, on(SOUTH, 3)])

    assert [one.job_id for one in found.running] == [short.id, long.id]
    assert found.empty_in is not None
    assert found.running[-1].ends_in is not None
    assert found.empty_in.likely == found.running[-1].ends_in.likely > 500


def test_without_past_builds_only_what_runs_is_known() -> None:
    one = on(NORTH, 1)

    found = impact(
        NORTH, facts("north", held=1), SOUTH, running=[one], queue=[job(10)], durations=Durations()
    )

    assert found == DrainImpact(running=[Ending(one.id)], changes=[], is_told=False)


def test_an_idle_server_is_empty_at_once() -> None:
    found = impact(NORTH, NORTH, SOUTH)

    assert (found.running, found.empty_in, found.changes) == ([], Range(0.0, 0.0, 0.0), [])


def test_a_server_that_takes_nothing_changes_nothing() -> None:
    away = facts("north", draining=True, slots=1)

    found = impact(away, away, SOUTH, queue=[job(10), job(11)])

    assert [one.words for one in found.changes] == ["no change"]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (10.0, 10.4, "no change"),
        (10.0, 40.0, "+30 s"),
        (0.0, 360.0, "+6 min"),
        (600.0, 300.0, "-5 min"),
        (0.0, 9000.0, "+2.5 h"),
        (0.0, None, "no start until another server is there"),
    ],
)
def test_a_change_is_told_in_words(before: float, after: float | None, words: str) -> None:
    assert WaitChange("x86_64", 1, before, after).words == words
