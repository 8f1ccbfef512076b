"""How fast servers are beside each other, told apart from how long the works take."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.queue.speeds import speeds_of, trusted

quick = settings(max_examples=60, deadline=None)
WORKS = st.lists(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(-5, 10)), max_size=8).map(tuple), max_size=6
)


def built(*, takes: float, servers: dict[str, float], times: int = 1) -> list[tuple[str, float]]:
    """Builds of a work that takes so long, each so many times on servers so slow."""
    return [(name, math.log(takes * slow)) for name, slow in servers.items() for _ in range(times)]


def test_a_server_twice_as_slow_is_found_whatever_it_was_given_to_build() -> None:
    works = [
        built(takes=10, servers={"fast": 1, "usual": 2, "slow": 4}, times=8),
        built(takes=3000, servers={"usual": 2, "slow": 4}, times=8),
        built(takes=500, servers={"fast": 1, "usual": 2}, times=8),
    ]

    found = speeds_of(works)

    assert found["slow"] - found["usual"] == pytest.approx(math.log(2), rel=0.2)
    assert found["usual"] - found["fast"] == pytest.approx(math.log(2), rel=0.2)


def test_one_build_that_went_astray_moves_nobody() -> None:
    works = [built(takes=100, servers={"a": 1, "b": 1}, times=5) for _ in range(4)]

    assert speeds_of([*works[:-1], [*works[-1], ("b", math.log(1e6))]]) == {"a": 0, "b": 0}


def test_few_builds_are_believed_little() -> None:
    few, many = (speeds_of([built(takes=9, servers={"a": 1, "b": 4}, times=n)])["b"] for n in (2, 50))

    assert 0 < few < many <= math.log(2)
    assert [trusted(1.0, samples=n) for n in (0, 1, 2, 6)] == [0, pytest.approx(1 / 3), 0.5, 0.75]


def test_works_that_one_server_built_alone_tell_nothing() -> None:
    assert speeds_of([built(takes=9, servers={"a": 3}, times=9), [("a", 1.0), ("b", 2.0)], []]) == {}


@quick
@given(WORKS, st.floats(-5, 5))
def test_how_long_a_work_takes_changes_no_speed(works: list[list[tuple[str, float]]], longer: float) -> None:
    found = speeds_of([[(key, log + longer) for key, log in work] for work in works])

    assert found == pytest.approx(speeds_of(works), abs=1e-6)


@quick
@given(WORKS)
def test_nobody_is_further_off_than_builds_lie_apart(works: list[list[tuple[str, float]]]) -> None:
    logs = [log for work in works for _, log in work]

    for speed in speeds_of(works).values():
        assert abs(speed) <= 4 * (max(logs) - min(logs)) + 1e-9
