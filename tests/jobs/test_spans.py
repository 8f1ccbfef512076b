"""Durations in words."""

from datetime import timedelta

import pytest

from jobs.queue.spans import change_words, in_about, past_words, wait_words

MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (2 * DAY, "2 days")],
)
def test_what_is_over_is_told_in_whole_units(seconds: float, text: str) -> None:
    assert past_words(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (59, "in less than a minute"),
        (MINUTE, "in about 1 minute"),
        (1.4 * HOUR, "in about 84 minutes"),
        (1.5 * HOUR, "in about 2 hours"),
    ],
)
def test_a_guess_is_told_in_a_sentence(seconds: float, words: str) -> None:
    assert in_about(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "none"), (3, "10s"), (44, "40s"), (130, "2m 10s"), (180, "3m"), (1570, "26m"), (3 * HOUR, "3h")],
)
def test_an_estimated_wait_is_told_coarsely(seconds: float, words: str) -> None:
    assert wait_words(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.9, "no change"), (45, "+45 s"), (-6 * MINUTE, "-6 min"), (2.5 * HOUR, "+2.5 h")],
)
def test_a_change_is_told_with_its_sign(seconds: float, words: str) -> None:
    assert change_words(seconds) == words
