"""How far apart samples lie: the factors between which eight of ten more are to fall."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.queue.spreads import spreads_of

quick = settings(max_examples=60, deadline=None)


def factors(*seconds: float, around: float) -> tuple[float, float]:
    low, high = spreads_of([math.log(one) for one in seconds], around=math.log(around))
    return round(low, 6), round(high, 6)


def test_they_are_percentiles_of_the_logarithms() -> None:
    """The tenth percentile of nine is the first, the ninetieth the last."""
    assert factors(*(1.1**power for power in range(1, 10)), around=1.1**5) == (
        round(1.1**4, 6),
        round(1.1**4, 6),
    )
    assert factors(*(1.4**power for power in range(1, 10)), around=1.4**3) == (
        round(1.4**2, 6),
        round(1.4**6, 6),
    )


def test_they_are_drawn_on_where_a_percentile_lies_outside_of_the_samples() -> None:
    assert factors(2, 4, around=2) == (round(2**0.7, 6), round(2**1.7, 6))


def test_nothing_is_ten_times_apart_nor_quite_regular() -> None:
    assert factors(*(2.0**power for power in range(1, 10)), around=32) == (10, 10)
    assert factors(100, 100, 100, around=100) == (1.1, 1.1)


def test_one_sample_gives_a_wide_range() -> None:
    assert factors(100, around=100) == (2, 2)


@quick
@given(st.lists(st.floats(-2, 14), min_size=1, max_size=20), st.floats(-2, 14))
def test_there_is_always_room_on_both_sides(logs: list[float], around: float) -> None:
    low, high = spreads_of(logs, around=around)

    assert 1.1 <= low <= 10
    assert 1.1 <= high <= 10
