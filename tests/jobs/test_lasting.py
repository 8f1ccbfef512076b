"""How long a build lasts in each play of the simulation, and what is left of one that runs."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.queue.durations import Basis, Learnt
from jobs.queue.lasting import PLAYS, lasting, left, left_between, play_order, range_of_plays

LEARNT = Learnt(50, 100, 300, Basis.BRANCH, 9)
quick = settings(max_examples=60, deadline=None)
SPREADS = st.floats(1.1, 10)
LEARNED = st.builds(
    lambda likely, below, above: Learnt(likely / below, likely, likely * above, Basis.BRANCH, 9),
    st.floats(1, 1e5),
    SPREADS,
    SPREADS,
)


def test_durations_spread_as_learnt() -> None:
    plays = lasting(LEARNT)

    found = range_of_plays(plays)
    assert len(plays) == PLAYS
    assert sum(one < 100 for one in plays) == PLAYS / 2
    assert (40 < found.low < 60, 95 < found.likely < 110, 270 < found.high < 400) == (True, True, True)


def test_each_duration_comes_once_over_the_plays_in_an_order_of_the_jobs_own() -> None:
    orders = [play_order(uuid.UUID(int=number)) for number in range(50)]

    assert all(sorted(order) == list(range(PLAYS)) for order in orders)
    assert orders[7] == [1, 7, 13, 5, 9, 8, 3, 10, 6, 11, 2, 14, 12, 0, 15, 4]
    assert len({tuple(order) for order in orders}) > 40


def test_what_has_not_begun_has_all_left() -> None:
    assert left(LEARNT, elapsed_seconds=0) == lasting(LEARNT)


@pytest.mark.parametrize(("elapsed", "low", "high"), [(10, 30, 400), (100, 5, 400), (290, 1, 500)])
def test_what_has_run_lasts_as_long_as_those_that_ran_longer(elapsed: float, low: float, high: float) -> None:
    found = left_between(LEARNT, elapsed_seconds=elapsed)

    assert low < found.low < found.likely < found.high < high


def test_past_all_that_was_learnt_it_is_given_a_share_of_its_time() -> None:
    found = left(Learnt(90, 100, 110, Basis.BRANCH, 9), elapsed_seconds=10_000)

    assert max(found) <= 2000
    assert 900 <= range_of_plays(found).likely <= 1100


@quick
@given(LEARNED, st.floats(0, 1e6))
def test_something_is_always_left(learnt: Learnt, elapsed: float) -> None:
    plays = left(learnt, elapsed_seconds=elapsed)

    assert all(one > 0 for one in plays)
    assert plays == sorted(plays)


@quick
@given(LEARNED, st.floats(0, 1))
def test_it_never_ends_earlier_for_having_run(learnt: Learnt, share: float) -> None:
    elapsed = share * learnt.likely

    whole = [elapsed + one for one in left(learnt, elapsed_seconds=elapsed)]

    assert all(ran >= fresh * 0.999 for ran, fresh in zip(whole, lasting(learnt), strict=True))
