"""What a job has waited for, from intervals: one reason at a time, that of the server which came nearest."""

import uuid
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.queue.conditions import Condition, Kind
from jobs.queue.history import (
    ANOTHER_JOB,
    NO_SERVERS,
    RETRY_DELAY,
    UNSEEN,
    WORDS,
    Spell,
    Stood,
    Wait,
    kind_of,
    shares_of,
    spells_of,
    told_of,
)
from tests.jobs.fleets import NOW

NORTH, SOUTH, WEST = (uuid.UUID(int=number) for number in (1, 2, 3))


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def stood(server: uuid.UUID | None, reason: str, since: float, until: float | None = None) -> Stood:
    return Stood(server, reason, at(since), None if until is None else at(until))


def told(*rows: Stood, minutes: float = 14) -> str:
    return told_of(spells_of(rows, waits=[Wait(at(0), at(minutes))]))


def minutes_of(*rows: Stood, waits: list[Wait]) -> list[tuple[str, float]]:
    return [(one.reason, round(one.seconds / 60, 3)) for one in spells_of(rows, waits=waits)]


def test_minutes_are_told_by_reason() -> None:
    assert (
        told(stood(NORTH, "full", 0, 9), stood(NORTH, "draining", 9)) == "waited 14 min: 9 full, 5 draining"
    )


def test_one_reason_needs_no_number_of_its_own() -> None:
    assert told(stood(NORTH, "full", 0)) == "waited 14 min: full"


def test_who_did_not_wait_is_told_nothing() -> None:
    assert told(minutes=0) == ""
    assert told_of([]) == ""


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(NORTH, "architecture"), (SOUTH, "draining"), (WEST, "full")], "full"),
        ([(NORTH, "architecture"), (SOUTH, "draining")], "draining"),
        ([(NORTH, "architecture"), (SOUTH, "group"), (WEST, "group")], "group"),
        ([(NORTH, "full"), (NORTH, "architecture"), (SOUTH, "maintenance")], "maintenance"),
        ([(NORTH, "full"), (SOUTH, "memory_limit"), (WEST, "full")], "full"),
        ([(NORTH, "full"), (NORTH, "memory_limit")], "memory_limit"),
        ([(None, NO_SERVERS)], NO_SERVERS),
        ([(None, ANOTHER_JOB), (NORTH, "full")], ANOTHER_JOB),
    ],
)
def test_the_server_that_came_nearest_counts(rows: list[tuple[uuid.UUID | None, str]], reason: str) -> None:
    found = [stood(server, name, 0) for server, name in rows]

    assert minutes_of(*found, waits=[Wait(at(0), at(2))]) == [(reason, 2.0)]


def test_a_spell_says_of_how_many_servers_it_was() -> None:
    found = spells_of(
        [stood(NORTH, "full", 0), stood(SOUTH, "full", 1, 2), stood(WEST, "group", 0)],
        waits=[Wait(at(0), at(3))],
    )

    assert found == [Spell(at(0), at(3), "full", servers=2)]
    assert (found[0].kind, found[0].words) == (Kind.BUSY, "full")


def test_what_was_not_looked_at_is_said_but_not_the_time_between_two_looks() -> None:
    between = 3 / 60

    assert minutes_of(
        stood(NORTH, "full", between, 4),
        stood(SOUTH, "draining", 4 + between, 6),
        stood(NORTH, "full", 8),
        waits=[Wait(at(0), at(10))],
    ) == [
        ("full", 4 + between),
        ("draining", 2 - between),
        (UNSEEN, 2.0),
        ("full", 2.0),
    ]
    assert minutes_of(waits=[Wait(at(0), at(between))]) == [(UNSEEN, between)]


def test_only_the_time_in_the_queue_counts() -> None:
    waits = [Wait(at(0), at(3)), Wait(at(10), at(15), is_again=True)]

    assert minutes_of(stood(NORTH, "full", -5, 12), stood(NORTH, "offline", 12), waits=waits) == [
        ("full", 3.0),
        ("full", 2.0),
        ("offline", 3.0),
    ]


def test_before_another_try_it_is_not_due() -> None:
    waits = [Wait(at(0), at(1)), Wait(at(5), at(8), is_again=True)]

    assert minutes_of(stood(NORTH, "full", 0, 1), stood(NORTH, "full", 6), waits=waits) == [
        ("full", 1.0),
        (RETRY_DELAY, 1.0),
        ("full", 2.0),
    ]


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (1.5, "waited 90 s: 45 full, 45 draining"),
        (100, "waited 100 min: 50 full, 50 draining"),
        (10 * 60, "waited 10 h: 5 full, 5 draining"),
        (8 * 24 * 60, "waited 8 days: 4 full, 4 draining"),
    ],
)
def test_a_wait_is_told_in_the_unit_that_reads_best(minutes: float, words: str) -> None:
    half = minutes / 2

    assert told(stood(NORTH, "full", 0, half), stood(NORTH, "draining", half), minutes=minutes) == words


def test_many_reasons_are_told_together() -> None:
    reasons = ("full", "draining", "offline", "maintenance", "quarantined", "disabled")
    rows = [stood(NORTH, reason, 10 * at_, 10 * at_ + 10) for at_, reason in enumerate(reasons)]

    assert told(*rows, minutes=60) == (
        "waited 60 min: 10 full, 10 draining, 10 offline, 10 in maintenance, 20 for other reasons"
    )


def test_a_condition_of_another_release_has_a_name_all_the_same() -> None:
    assert told(stood(NORTH, "moon_phase", 0)) == "waited 14 min: moon phase"
    assert kind_of("moon_phase") is None


def test_every_condition_has_words() -> None:
    assert {str(one) for one in Condition} <= {str(one) for one in WORDS}


ROWS = st.lists(
    st.builds(
        lambda server, reason, since, length: stood(
            server, reason, since, since + length if length else None
        ),
        st.sampled_from([None, NORTH, SOUTH, WEST]),
        st.sampled_from([str(one) for one in WORDS]),
        st.integers(-20, 60),
        st.integers(0, 30),
    ),
    max_size=12,
)


@given(rows=ROWS, minutes=st.integers(1, 60))
def test_spells_cover_the_whole_wait_in_order_and_their_shares_add_up(
    rows: list[Stood], minutes: int
) -> None:
    spells = spells_of(rows, waits=[Wait(at(0), at(minutes))])

    assert (spells[0].since, spells[-1].until) == (at(0), at(minutes))
    assert all(one.until == after.since for one, after in pairwise(spells))
    assert all(one.reason != after.reason for one, after in pairwise(spells))
    assert sum(one.seconds for one in shares_of(spells)) == pytest.approx(minutes * 60)
    assert told_of(spells).startswith(f"waited {minutes} min: " if minutes >= 2 else "waited ")
