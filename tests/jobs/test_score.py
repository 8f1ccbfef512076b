"""The score of a server: each term by itself, from 0 to 1, and what they weigh by default."""

from typing import Any

import pytest

from jobs.queue.score import (
    NO_PAST,
    Past,
    Scoring,
    Weights,
    rounded,
    usual_scoring,
    utilisation,
    waiting_for_each,
)
from servers.fleet import ServerFacts
from tests.jobs.fleets import facts

NONE = dict.fromkeys(("utilisation", "waiting", "free", "cache", "speed"), 0.0)


def score(server: ServerFacts, scoring: Scoring, past: Past = NO_PAST) -> float:
    return rounded(scoring.of_load(server) + scoring.of_past(server.id, past=past))


def only(term: str, **fields: Any) -> Scoring:
    return Scoring(Weights(**NONE | {term: 1.0}), **fields)


@pytest.mark.parametrize(
    ("fields", "used"),
    [
        ({}, 0.0),
        ({"held": 1}, 0.25),
        ({"held": 5}, 1.0),  # its limit was lowered
        ({"cpu_percent": 30.0}, 0.3),
        ({"cpu_percent": 30.0, "memory_percent": 60.0, "storage_percent": 90.0}, 0.6),
        ({"cpu_percent": 30.0, "held": 2}, 0.5),
        ({"cpu_percent": 800.0, "memory_percent": 0.0}, 0.5),
    ],
)
def test_utilisation_is_what_is_measured_and_at_least_the_share_of_slots(
    fields: dict[str, Any], used: float
) -> None:
    server = facts(**fields)

    assert utilisation(server) == pytest.approx(used)
    assert score(server, only("utilisation")) == pytest.approx(1 - used)


@pytest.mark.parametrize(("held", "expected"), [(4, 0.0), (3, 0.5), (0, 0.8), (9, 0.0)])
def test_free_capacity_says_most_by_its_first_slot(held: int, expected: float) -> None:
    assert score(facts(held=held), only("free")) == expected


def test_each_waiting_job_counts_in_equal_parts_at_the_servers_that_fit_it() -> None:
    one, two, three = (facts(name).id for name in ("one", "two", "three"))

    waiting = waiting_for_each([(3, {one, two, three}), (4, {two}), (2, set())])

    assert waiting == {one: 1.0, two: 5.0, three: 1.0}
    scoring = only("waiting", waiting=waiting)
    assert [score(facts(name, slots=4), scoring) for name in ("one", "two", "nobody's")] == [
        0.8,
        0.444444444,
        1.0,
    ]


def test_a_repositorys_past_counts_for_the_servers_that_have_one() -> None:
    server, other = facts("one"), facts("two")
    past = Past(warmth={server.id: 0.75}, speed={server.id: 0.5})

    assert [score(one, only("cache"), past) for one in (server, other)] == [0.75, 0.0]
    assert [score(one, only("speed"), past) for one in (server, other)] == [0.5, 1.0]


def test_the_weights_are_those_of_the_settings() -> None:
    assert usual_scoring().weights == Weights(utilisation=0.4, waiting=0.3, free=0.3, cache=0.05, speed=0.1)


@pytest.mark.parametrize("slots", [2, 4, 8, 16, 64])
def test_by_default_a_cold_server_is_passed_over_up_to_three_eighths_of_its_slots_at_most(slots: int) -> None:
    usual = usual_scoring()
    cold = score(facts("cold", slots=slots), usual, Past(speed={facts("cold").id: 0.0}))
    knows = Past(warmth={facts("knows").id: 1.0})
    fuller = [
        held for held in range(slots) if score(facts("knows", slots=slots, held=held), usual, knows) >= cold
    ]

    assert max(fuller) <= slots * 3 / 8
