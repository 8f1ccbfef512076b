"""Ranges of starts are made as wide as starts lay beside what was told."""

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.queue.lasting import Range
from jobs.queue.margins import LEAST, Margins, margins_of

TOLD = Range(90, 100, 110)
WAITS = st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), max_size=50)


def test_of_few_starts_nothing_is_concluded() -> None:
    assert margins_of([(100, 900)] * (LEAST - 1)) == Margins()
    assert Margins().widen(TOLD) == TOLD


def test_ranges_grow_to_where_eight_of_ten_lay() -> None:
    came = [50] + [100] * 17 + [200, 300]

    margins = margins_of([(100, one) for one in came])

    assert margins == Margins(1.0, 2.0)
    assert margins.widen(TOLD) == Range(90, 100, 200)


def test_ranges_never_shrink() -> None:
    assert margins_of([(100, 100)] * LEAST).widen(TOLD) == TOLD
    assert Margins(0.5, 3.0).widen(Range(10, 100, 500)) == Range(10, 100, 500)


@settings(max_examples=60, deadline=None)
@given(WAITS, st.floats(0, 1e4), st.floats(0, 1), st.floats(1, 5))
def test_a_widened_range_holds_the_old_one_and_its_middle(
    waits: list[tuple[float, float]], likely: float, low: float, high: float
) -> None:
    told = Range(low * likely, likely, high * likely)

    wider = margins_of(waits).widen(told)

    assert 0 <= wider.low <= told.low <= wider.likely == told.likely <= told.high <= wider.high
