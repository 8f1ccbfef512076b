"""The queue played over the fleet: single plays that can be told by hand, and what holds of every one of them."""

import uuid
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.needs import Needs
from jobs.queue.durations import Durations, Sample, Work
from jobs.queue.lasting import Range
from jobs.queue.simulation import Expected, Queued, QueueFacts, Running, simulate, with_job, without_server
from servers.fleet import ServerFacts
from tests.jobs.fleets import NOW, facts

quick = settings(max_examples=60, deadline=None)
WORK = Work("https://git.example/demo.git", "main", "x86_64")
ARM = Work("https://git.example/demo.git", "main", "aarch64")


def samples(work: Work, *seconds: float) -> list[Sample]:
    return [Sample(work, "one", one) for one in seconds]


# Always about so long: ten percent more or less.
LASTS = Durations(samples(WORK, 100, 100, 100) + samples(ARM, 1000, 1000, 1000))


def number(at: int) -> UUID:
    return uuid.UUID(int=at)


def queued(at: int, *, work: Work = WORK, ready_in: float = 0.0) -> Queued:
    return Queued(number(at), Needs(architecture=work.architecture), work, ready_in)


def running(at: int, server: ServerFacts, *, elapsed: float = 0.0, work: Work = WORK) -> Running:
    return Running(number(at), server.id, work, elapsed)


def board(*fleet: ServerFacts, queue: list[Queued] | None = None, **fields: object) -> QueueFacts:
    return QueueFacts(NOW, fleet, queue=queue or [], **{"durations": LASTS, **fields})  # type: ignore[arg-type]  # of tests


def start_of(found: Expected | None) -> float:
    assert found is not None
    assert found.start is not None
    assert found.start.low <= found.start.likely <= found.start.high
    return found.start.likely


def starts(given: QueueFacts) -> dict[int, float]:
    """About when each queued job starts, to the nearest twenty seconds."""
    found = simulate(given).jobs
    return {
        one.id.int: 20 * round(start_of(found.get(one.id)) / 20) for one in given.queue if one.id in found
    }


def test_a_free_slot_is_taken_at_once() -> None:
    server = facts("one", slots=2)

    found = simulate(board(server, queue=[queued(1)]))

    assert found.jobs[number(1)].start == Range(0, 0, 0)
    assert 90 < found.jobs[number(1)].end.low < 100 < found.jobs[number(1)].end.high < 112
    assert found.jobs[number(1)].server_id == server.id
    assert found.free_in == {server.id: Range(0, 0, 0)}


def test_one_slot_takes_one_after_the_other() -> None:
    assert starts(board(facts("one", slots=1), queue=[queued(1), queued(2), queued(3)])) == {
        1: 0,
        2: 100,
        3: 200,
    }


def test_what_runs_is_waited_for() -> None:
    server = facts("one", slots=1, held=1)
    given = board(server, queue=[queued(1)], running=[running(9, server, elapsed=60)])

    assert starts(given) == {1: 40}
    assert 30 < simulate(given).free_in[server.id].likely < 50
    assert simulate(given).jobs[number(9)].start is None


def test_a_slot_of_which_nothing_is_known_comes_free_like_any_other() -> None:
    given = board(facts("one", slots=1, held=1), queue=[queued(1)])

    found = simulate(given)

    assert 80 < start_of(found.jobs[number(1)]) < 1100
    assert list(found.jobs) == [number(1)]


def test_one_class_never_holds_up_another() -> None:
    one, two = facts("one", slots=1), facts("two", slots=1, architectures=frozenset({"aarch64"}))
    queue = [queued(1, work=ARM), queued(2, work=ARM), queued(3)]

    assert starts(board(one, two, queue=queue)) == {1: 0, 2: 1000, 3: 0}


def test_a_server_takes_the_first_of_all_that_it_fits() -> None:
    both = facts("one", slots=1, held=1, architectures=frozenset({"x86_64", "aarch64"}))
    queue = [queued(1), queued(2, work=ARM), queued(3)]
    given = board(both, queue=queue, running=[running(9, both, elapsed=80)])

    assert starts(given) == {1: 20, 2: 120, 3: 1120}


def test_a_retry_is_not_started_before_its_time_and_keeps_its_place() -> None:
    given = board(facts("one", slots=1), queue=[queued(1, ready_in=50), queued(2), queued(3)])

    assert starts(given) == {1: 100, 2: 0, 3: 200}


def test_a_retry_that_is_due_on_an_idle_server_starts_then() -> None:
    assert starts(board(facts("one", slots=1), queue=[queued(1, ready_in=60)])) == {1: 60}


@pytest.mark.parametrize(
    "fields",
    [{"draining": True}, {"enabled": False}, {"status": "offline"}, {"followed": False}, {"slots": 0}],
)
def test_servers_out_of_service_start_nothing(fields: dict[str, object]) -> None:
    assert simulate(board(facts("one", **fields), queue=[queued(1)])).jobs == {}


def test_over_a_limit_it_waits_until_a_build_there_ends() -> None:
    over = facts("one", slots=2, held=1, memory_percent=95.0)
    given = board(over, queue=[queued(1)], running=[running(9, over, elapsed=60)])

    assert starts(given) == {1: 40}
    assert simulate(replace(given, fleet=[replace(over, held=0)], running=[])).jobs == {}


def test_more_builds_than_slots_have_to_end_first() -> None:
    server = facts("one", slots=1, held=2)
    runs = [running(8, server, elapsed=80), running(9, server, elapsed=20)]

    assert starts(board(server, queue=[queued(1)], running=runs)) == {1: 80}


def test_nothing_is_told_before_the_first_build() -> None:
    server = facts("one", slots=1)

    found = simulate(board(server, facts("two", slots=1, held=1), queue=[queued(1)], durations=Durations()))

    assert (found.jobs, found.free_in) == ({}, {server.id: Range(0, 0, 0)})


# ---- what if ----------------------------------------------------------------------------------------------
def test_a_job_more_stands_where_it_is_put() -> None:
    given = board(facts("one", slots=1), queue=[queued(1), queued(2)])

    assert starts(with_job(given, queued(3))) == {1: 0, 2: 100, 3: 200}
    assert starts(with_job(given, queued(3), position=1)) == {3: 0, 1: 100, 2: 200}
    assert starts(with_job(given, queued(2), position=1)) == {2: 0, 1: 100}


def test_without_a_server_others_wait_longer_and_what_runs_there_ends() -> None:
    one, two = facts("one", slots=1, held=1), facts("two", slots=1, held=1)
    runs = [running(8, one, elapsed=50), running(9, two, elapsed=90)]
    given = board(one, two, queue=[queued(1), queued(2)], running=runs)

    less = without_server(given, two.id)

    assert starts(given) == {1: 20, 2: 60}  # ten and fifty seconds, to the nearest twenty
    assert starts(less) == {1: 60, 2: 160}
    assert simulate(less).jobs[number(9)].end == simulate(given).jobs[number(9)].end


# ---- always -----------------------------------------------------------------------------------------------
ARCHITECTURES = st.sampled_from(["x86_64", "aarch64"])
SERVERS = st.builds(
    lambda architectures, slots, held, draining: {
        "architectures": architectures,
        "slots": slots,
        "held": held,
        "draining": draining,
    },
    st.frozensets(ARCHITECTURES, min_size=1),
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(0, 4).map(lambda one: one == 0),
)
JOBS = st.tuples(ARCHITECTURES, st.sampled_from([0.0, 0.0, 30.0]))
SECONDS = st.lists(st.floats(1, 1e4), min_size=1, max_size=5)


@st.composite
def boards(draw: st.DrawFn) -> QueueFacts:
    fleet = [facts(f"server-{at}", **fields) for at, fields in enumerate(draw(st.lists(SERVERS, max_size=4)))]
    asked = draw(st.lists(JOBS, max_size=12))
    queue = [
        Queued(number(at), Needs(architecture=name), replace(WORK, architecture=name), ready_in)
        for at, (name, ready_in) in enumerate(asked)
    ]
    runs = [
        Running(number(1000 + 10 * at + one), server.id, WORK, draw(st.floats(0, 1e4)))
        for at, server in enumerate(fleet)
        for one in range(draw(st.integers(0, server.held)))
    ]
    durations = Durations(samples(WORK, *draw(SECONDS)) + samples(ARM, *draw(SECONDS)))
    return QueueFacts(NOW, fleet, runs, queue, durations)


@quick
@given(boards())
def test_the_same_facts_give_the_same_answer(given: QueueFacts) -> None:
    assert simulate(given) == simulate(given)


@quick
@given(boards())
def test_whoever_fits_a_server_in_service_starts_and_nobody_else(given: QueueFacts) -> None:
    built = {name for one in given.fleet if one.slots and not one.draining for name in one.architectures}

    found = simulate(given).jobs

    waiting = {one.id for one in given.queue if one.needs.architecture in built}
    assert set(found) == waiting | {one.id for one in given.running}


@quick
@given(boards())
def test_ranges_are_in_order_and_nothing_starts_before_it_may(given: QueueFacts) -> None:
    found = simulate(given).jobs

    for one in given.queue:
        if one.id in found:
            expected = found[one.id]
            assert expected.start is not None
            assert one.ready_in_seconds <= expected.start.low <= expected.start.likely <= expected.start.high
            assert expected.start.low < expected.end.low <= expected.end.likely <= expected.end.high


@quick
@given(boards())
def test_within_a_class_who_is_ready_starts_in_order(given: QueueFacts) -> None:
    found = simulate(given).jobs

    last: dict[str, float] = {}
    for one in given.queue:
        if one.ready_in_seconds or one.id not in found:
            continue
        start = start_of(found[one.id])
        assert start >= last.get(one.needs.architecture, 0.0) - 1e-6
        last[one.needs.architecture] = start


@quick
@given(boards())
def test_a_job_at_the_end_delays_nobody_before_it(given: QueueFacts) -> None:
    alone = simulate(given)
    more = simulate(with_job(given, queued(500)))

    ready = {one.id for one in given.queue if not one.ready_in_seconds}
    later = any(one.ready_in_seconds for one in given.queue)
    assert later or {one: more.jobs.get(one) for one in ready} == {one: alone.jobs.get(one) for one in ready}
