"""The last hour of a server's slots: attempts lie in as many rows as slots were full."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.models import Attempt, BuildJob
from jobs.states import AttemptStatus
from jobs.views.slot_chart import MOST_ROWS, draw_slots

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def ran(begin: int, end: int | None, status: str = AttemptStatus.COMPLETED, *, number: int = 1) -> Attempt:
    """An attempt from so many minutes ago to so many; None: it still runs."""
    return Attempt(
        job=BuildJob(source_repository="https://git.example/demo.git", branch="<b>main</b>"),
        number=number,
        status=AttemptStatus.RUNNING if end is None else status,
        started_at=NOW - timedelta(minutes=begin),
        completed_at=None if end is None else NOW - timedelta(minutes=end),
    )


def test_builds_at_the_same_time_lie_in_rows_of_their_own_and_a_free_row_is_used_again() -> None:
    chart = draw_slots(
        [ran(60, 30), ran(50, 40, AttemptStatus.FAILED), ran(35, None), ran(20, 10)], slots=2, now=NOW
    )

    assert [(bar.x, bar.y, bar.colour) for bar in chart.bars] == [
        (44.0, 4, "f-ok"),
        (162.7, 24, "f-bad"),
        (340.7, 24, "f-run"),
        (518.7, 4, "f-ok"),
    ]
    assert chart.bars[0].width == 355.0
    assert chart.rows == [("slot 1", 15), ("slot 2", 35)]
    assert chart.height == 60
    assert chart.sentence == (
        "Builds in the last hour: 2 completed, 1 failed, 1 running; the slots were busy 71% of it."
    )


def test_what_began_earlier_is_cut_and_what_ended_earlier_is_left_out() -> None:
    chart = draw_slots([ran(90, 45), ran(200, 61)], slots=3, now=NOW)

    assert [(bar.x, bar.width) for bar in chart.bars] == [(44.0, 177.0)]
    assert len(chart.rows) == 3
    assert draw_slots([ran(200, 61)], slots=1, now=NOW).sentence == "No build ran there in the last hour."


def test_more_rows_than_can_be_drawn_are_counted_and_not_drawn() -> None:
    chart = draw_slots([ran(30, None) for _ in range(MOST_ROWS + 4)], slots=2, now=NOW)

    assert len(chart.bars) == len(chart.rows) == MOST_ROWS
    assert f"{MOST_ROWS + 4} running" in chart.sentence


@pytest.mark.parametrize(
    ("status", "colour", "told"),
    [
        (AttemptStatus.LOST, "f-bad", "1 lost"),
        (AttemptStatus.CANCELLED, "f-off", "1 cancelled"),
        (AttemptStatus.CLAIMED, "f-run", "1 running"),
    ],
)
def test_each_end_has_its_colour_and_word(status: str, colour: str, told: str) -> None:
    chart = draw_slots([ran(30, 15, status, number=2)], slots=1, now=NOW)

    (bar,) = chart.bars
    assert (bar.colour, bar.title) == (colour, f"demo <b>main</b>: {status} (attempt 2)")
    assert chart.sentence == f"Builds in the last hour: {told}; the slots were busy 25% of it."


def test_what_never_began_is_left_out() -> None:
    released = Attempt(job=BuildJob(), number=1, status=AttemptStatus.RELEASED, completed_at=NOW)

    assert draw_slots([released], slots=1, now=NOW).bars == []


def test_when_more_ran_than_are_drawn_it_says_so() -> None:
    chart = draw_slots([ran(30, 0)], slots=1, now=NOW, is_whole=False)

    assert chart.sentence == (
        "The latest builds of the last hour: 1 completed; the slots were busy at least 50% of it."
    )
