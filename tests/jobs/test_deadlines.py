"""Who waits no longer, and what is said: pure."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.needs import Needs
from jobs.queue.choice import Judged
from jobs.queue.conditions import Condition, Refused
from jobs.queue.deadlines import Wait, is_impossible, why_it_ends
from jobs.queue.verdicts import ServerVerdict
from servers.fleet import ServerFacts
from servers.states import ServerStatus
from tests.jobs.fleets import NOW, facts

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = 86_400
ARM = ServerVerdict(facts("arm"), (Refused(Condition.ARCHITECTURE, "does not build x86_64"),))
FULL = ServerVerdict(facts("full"), (Refused(Condition.FULL, "is full: all 4 slots are taken"),))
AWAY = ServerVerdict(facts("away"), (Refused(Condition.OFFLINE, "is offline: no answer"),))
FREE = ServerVerdict(facts("free"))


def ends(wait: Wait, *servers: ServerVerdict, after: timedelta = timedelta(days=2)) -> str | None:
    return why_it_ends(wait, servers=servers, now=START + after, impossible_seconds=DAY)


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        ([FULL, ARM], "full is full: all 4 slots are taken. arm does not build x86_64."),
        ([AWAY], "No build server that fits is in service. away is offline: no answer."),
        ([ARM], "No build server can take it. arm does not build x86_64."),
        ([], "There is no build server yet."),
        ([FREE, FULL], "There is room for it now, but others stand before it in the queue."),
        (
            [FULL] * 6,
            f"{'full is full: all 4 slots are taken. ' * 5}1 more server does not take it either.",
        ),
        (
            [FULL] * 7,
            f"{'full is full: all 4 slots are taken. ' * 5}2 more servers do not take it either.",
        ),
    ],
)
def test_job_past_its_own_deadline_is_told_what_stood_in_the_way(
    servers: list[ServerVerdict], told: str
) -> None:
    wait = Wait(since=START, deadline=START + timedelta(minutes=12))

    assert ends(wait, *servers, after=timedelta(minutes=12) - timedelta(microseconds=1)) is None
    told = f"It waited 12 min for a server, longer than its queue timeout allows. {told}"
    assert ends(wait, *servers, after=timedelta(minutes=12)) == told


def test_what_held_it_up_before_any_server_was_asked_is_said_instead() -> None:
    wait = Wait(since=START, deadline=START, hindrance="It needs another job that did not complete yet.")

    assert ends(wait, FREE, after=timedelta(seconds=5)) == (
        "It waited 5 s for a server, longer than its queue timeout allows. "
        "It needs another job that did not complete yet."
    )


@pytest.mark.parametrize("servers", [[ARM], []])
def test_impossible_job_ends_after_the_set_time(servers: list[ServerVerdict]) -> None:
    wait = Wait(since=START - timedelta(days=9), impossible_since=START)

    assert ends(wait, *servers, after=timedelta(seconds=DAY - 1)) is None
    told = ends(wait, *servers, after=timedelta(days=3))
    assert told is not None
    assert told.startswith("For 3 days there was no server that could ever take it. ")


@pytest.mark.parametrize("server", [FULL, AWAY, FREE])
def test_a_server_that_fits_ends_no_wait_however_long_it_is_busy_or_away(server: ServerVerdict) -> None:
    assert ends(Wait(since=START, impossible_since=START), ARM, server, after=timedelta(days=400)) is None
    assert ends(Wait(since=START), server, after=timedelta(days=400)) is None


@pytest.mark.parametrize(
    ("server", "impossible"),
    [
        (facts("able"), False),
        (facts("full", slots=1, held=1), False),
        (facts("hot", cpu_percent=99.0), False),
        (facts("away", status=ServerStatus.OFFLINE), False),
        (facts("off", enabled=False), False),
        (facts("unmeasured", memory_mb=None), False),
        (facts("arm", architectures=frozenset({"aarch64"})), True),
        (facts("arm", architectures=frozenset({"aarch64"}), enabled=False), True),
        (facts("small", memory_mb=1), True),
        (None, True),
    ],
)
def test_impossible_is_what_no_server_could_take_if_it_were_free_and_in_service(
    server: ServerFacts | None, impossible: bool
) -> None:
    needs = Needs("x86_64", memory_mb=512)
    fleet = [facts("other", group="arm", architectures=frozenset({"aarch64"}))] if server else []

    assert is_impossible(Judged(fleet, needs=needs, now=NOW))
    assert is_impossible(Judged([*fleet, server] if server else [], needs=needs, now=NOW)) == impossible
