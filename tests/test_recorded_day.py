"""The replay of `make bench ARGS=estimates`: the first hours of its day, and that it tells bad estimates from good."""

from dataclasses import replace

import pytest

from bench import estimates_inside
from bench.estimates import JOBS
from bench.estimates_inside import Replay
from bench.recorded_day import Day, record_day
from jobs.queue import accuracy, choice, durations, margins, simulation
from jobs.queue.accuracy import Accuracy, judge_estimates, judge_waits
from jobs.queue.durations import Sample

SO_MANY = 120


@pytest.fixture(scope="module")
def hours() -> Day:
    """The nightly batch, which has to wait, and what comes around it."""
    day = record_day(jobs=JOBS)
    return replace(day, jobs=day.jobs[:SO_MANY])


@pytest.fixture(scope="module")
def replay(hours: Day) -> Replay:
    replay = Replay(hours)
    replay.run()
    return replay


def test_the_recorded_day_is_the_same_in_every_run(hours: Day) -> None:
    again = record_day(jobs=JOBS)

    assert list(hours.jobs) == list(again.jobs[:SO_MANY])
    assert list(hours.past) == list(again.past)


def test_every_job_that_completes_is_compared_with_what_was_told(hours: Day, replay: Replay) -> None:
    completed = sum(job.fails_after is None for job in hours.jobs)

    assert len(replay.ends) == len(replay.ends_when_it_came) == completed
    assert len(replay.starts) > SO_MANY / 4


def test_estimates_of_the_recorded_day_are_good(replay: Replay) -> None:
    assert _share(judge_estimates(replay.ends)) >= 72
    assert _share(judge_estimates(replay.ends_when_it_came)) >= 68
    assert _share(judge_waits(replay.starts)) >= 50


def test_estimates_from_durations_twice_as_long_are_found_to_be_bad(hours: Day) -> None:
    twice = Replay(replace(hours, past=[Sample(one.work, one.server, 2 * one.seconds) for one in hours.past]))

    twice.run()

    assert _share(judge_estimates(twice.ends)) < 40
    assert _share(judge_waits(twice.starts)) < 40


def test_it_is_the_boards_own_functions_that_are_judged() -> None:
    of_the_board = {
        accuracy: ["judge_estimates", "judge_waits"],
        choice: ["choose"],
        durations: ["Durations"],
        margins: ["margins_of"],
        simulation: ["simulate"],
    }

    for owner, names in of_the_board.items():
        for name in names:
            assert getattr(estimates_inside, name) is getattr(owner, name)


def _share(found: Accuracy | None) -> int:
    assert found is not None
    return found.within_25_percent
