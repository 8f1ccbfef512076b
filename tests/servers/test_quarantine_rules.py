"""Quarantine by its rules: how long it is, how far, and which servers are spared. Pure."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers import quarantine
from servers.states import quarantine_stage
from tests.jobs.fleets import facts

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
CANARY = uuid.uuid4()


@pytest.mark.parametrize(
    ("since", "until", "canary", "expected"),
    [
        (None, None, None, "none"),
        (None, NOW - HOUR, None, "none"),
        (NOW - HOUR, NOW + HOUR, None, "held"),
        (NOW - HOUR, None, None, "held"),
        (NOW - HOUR, NOW, None, "canary_due"),
        (NOW - HOUR, NOW, CANARY, "canary_runs"),
    ],
)
def test_the_stage_follows_from_the_columns(
    since: datetime | None, until: datetime | None, canary: uuid.UUID | None, expected: str
) -> None:
    assert quarantine_stage(since=since, until=until, canary_id=canary, now=NOW) == expected


def test_the_wait_doubles_from_a_minute_to_an_hour() -> None:
    waits = [quarantine.wait_seconds(level) for level in (1, 2, 3, 6, 7, 8, 30_000)]

    assert waits == [60, 120, 240, 1920, 3600, 3600, 3600]


@pytest.mark.parametrize(
    ("good", "expected"), [(0 * HOUR, 3), (HOUR - MINUTE, 3), (HOUR, 2), (2.5 * HOUR, 1), (100 * HOUR, 0)]
)
def test_each_good_hour_takes_one_doubling_back(good: timedelta, expected: int) -> None:
    assert quarantine.level_left(3, ended_at=NOW - good, now=NOW) == expected


def test_a_server_that_never_was_in_quarantine_begins_anew() -> None:
    assert quarantine.level_left(0, ended_at=None, now=NOW) == 0


OUT: dict[str, Any] = {"quarantined_since": NOW, "quarantined_until": NOW + HOUR}


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], "it is the last server in service that builds i686"),
        ([{"status": "offline"}], "it is the last server in service that builds i686"),
        ([{"draining": True}], "it is the last server in service that builds i686"),
        ([{"enabled": False}], "it is the last server in service that builds i686"),
        ([{"pinned": False}], "it is the last server in service that builds i686"),
        ([OUT], "it is the last server in service that builds i686"),
        ([{"architectures": frozenset({"x86_64"})}], "it is the last server in service that builds i686"),
        ([{}], ""),
        ([{"status": "degraded"}], ""),
        ([OUT, {}], "half of the servers that build i686 are in quarantine already"),
        ([OUT, {}, {}], ""),
        ([OUT, OUT, {}, {}], "half of the servers that build i686 are in quarantine already"),
    ],
)
def test_half_of_the_servers_and_the_last_one_are_spared(others: list[dict[str, Any]], expected: str) -> None:
    fleet = [facts("one"), *(facts(f"other {number}", **fields) for number, fields in enumerate(others))]

    assert quarantine.why_spared(fleet[0], fleet) == expected


@given(
    st.lists(st.sets(st.sampled_from(["x86_64", "i686", "aarch64"]), min_size=1), min_size=1, max_size=12),
    st.lists(st.integers(0, 11), max_size=30),
)
def test_whoever_is_accused_in_whatever_order_half_stays_and_never_nobody(
    machines: list[set[str]], accused: list[int]
) -> None:
    fleet = [facts(f"s{number}", architectures=frozenset(built)) for number, built in enumerate(machines)]
    for number in accused:
        which = number % len(fleet)
        is_in = fleet[which].quarantined_since is None
        if is_in and not quarantine.why_spared(fleet[which], fleet):
            fleet[which] = replace(fleet[which], quarantined_since=NOW)
    for architecture in ("x86_64", "i686", "aarch64"):
        able = [one for one in fleet if architecture in one.architectures]
        left = [one for one in able if one.quarantined_since is None]
        assert 2 * len(left) >= len(able)
