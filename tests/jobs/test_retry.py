"""Whether a failed attempt is tried again, and how long that waits."""

import pytest

from jobs.retry import DEFAULT_RETRY_ON, retry_delay
from jobs.states import ErrorCategory


@pytest.mark.parametrize(
    ("attempts", "longest"),
    [(0, 5.0), (1, 5.0), (2, 10.0), (3, 20.0), (6, 160.0), (7, 300.0), (8, 300.0), (90, 300.0)],
)
def test_the_delay_doubles_up_to_a_bound_with_half_of_it_as_jitter(attempts: int, longest: float) -> None:
    delays = [
        retry_delay(ErrorCategory.SYSTEM, attempts=attempts, max_attempts=100, retry_on=DEFAULT_RETRY_ON)
        for _ in range(50)
    ]

    assert [delay for delay in delays if delay is None or not longest / 2 <= delay <= longest] == []
    assert len(set(delays)) > 1


@pytest.mark.parametrize(
    "category", [None, *(each for each in ErrorCategory if each != ErrorCategory.SYSTEM)]
)
def test_only_what_the_infrastructure_did_is_tried_again_by_default(category: ErrorCategory | None) -> None:
    assert retry_delay(category, attempts=1, max_attempts=9, retry_on=DEFAULT_RETRY_ON) is None


@pytest.mark.parametrize("category", ErrorCategory)
def test_a_submission_names_what_is_tried_again(category: ErrorCategory) -> None:
    assert retry_delay(category, attempts=1, max_attempts=2, retry_on=[category.value]) is not None
    assert retry_delay(category, attempts=1, max_attempts=2, retry_on=[]) is None


@pytest.mark.parametrize(("attempts", "again"), [(1, True), (2, True), (3, False), (4, False)])
def test_nothing_is_tried_more_often_than_its_limit(attempts: int, again: bool) -> None:
    delay = retry_delay(ErrorCategory.LOST, attempts=attempts, max_attempts=3, retry_on=["lost"])

    assert (delay is not None) is again
