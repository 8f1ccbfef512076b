"""What holds of every choice of a server, whatever the fleet and the job: hypothesis looks for a counterexample."""

import operator
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jobs.needs import Needs
from jobs.queue.choice import Choice, Judged, choose
from jobs.queue.conditions import CPU_PATIENCE_SECONDS, DISK_FLOOR_MIB, Kind, judge
from jobs.queue.score import Past, Scoring, Weights, usual_scoring, waiting_for_each
from servers.fleet import TAKING, ServerFacts, ToolchainFacts
from servers.states import ServerStatus
from tests.jobs.fleets import NOW, X86, facts

quick = settings(max_examples=40, deadline=None)

ARCHITECTURES = st.sampled_from(["x86_64", "x86_64", "aarch64", "riscv64"])
PERCENT = st.sampled_from([None, 0.0, 20.0, 40.0, 84.9, 85.1, 90.0])
UNTIL = st.sampled_from([NOW - timedelta(minutes=1), NOW, NOW + timedelta(minutes=1)])
SIZE = st.sampled_from([None, 4, 8, 16])
TOOLS = st.builds(
    ToolchainFacts, st.sampled_from(["gcc", "clang"]), st.just("12.2"), st.just("") | ARCHITECTURES
)
LOAD: dict[str, st.SearchStrategy[Any]] = {
    "cpu_percent": PERCENT,
    "memory_percent": st.sampled_from([None, 10.0, 60.0]),
    "storage_percent": st.sampled_from([None, 10.0, 60.0]),
    "slots": st.integers(1, 6),
    "held": st.integers(0, 4),
}
ODDITIES: dict[str, st.SearchStrategy[Any]] = {
    "enabled": st.just(False),
    "status": st.sampled_from(ServerStatus),
    "followed": st.just(False),
    "pinned": st.just(False),
    "draining": st.just(True),
    "quarantined_since": st.just(NOW - timedelta(hours=1)),
    "quarantined_until": UNTIL,
    "canary_id": st.uuids(),
    "starts_refused_until": UNTIL,
    "architectures": st.frozensets(ARCHITECTURES, min_size=1, max_size=2),
    "toolchains": st.lists(TOOLS, max_size=3).map(tuple),
    "labels": st.just({}),
    "group": st.just(""),
    "cores": SIZE,
    "memory_mb": SIZE,
    "storage_gb": SIZE,
    "free_storage_mib": st.sampled_from([0, DISK_FLOOR_MIB - 1, DISK_FLOOR_MIB, 8191, 8192]),
    "cpu_limit_percent": st.just(50),
    "memory_percent": PERCENT,
    "storage_percent": PERCENT,
}
WISHES: dict[str, st.SearchStrategy[Any]] = {
    "architecture": ARCHITECTURES,
    "toolchain": st.sampled_from(["gcc", "gcc>=13", "clang"]),
    "labels": st.just((("disk", "nvme"),)),
    "group": st.just("north"),
    "server": st.sampled_from(["one", "gone"]),
    "fallback": st.booleans(),
    "cores": st.just(8),
    "memory_mb": st.just(8),
    "storage_gb": st.just(8),
    "crosses": st.booleans(),
}
NAMES = ["one", "two", "three", "four", "five"]


def some_of(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """None, one or two of these: with more, hardly any server would take any job."""
    one = st.sampled_from(sorted(fields)).flatmap(lambda name: st.tuples(st.just(name), fields[name]))
    return st.lists(one, max_size=2).map(dict)


SERVERS = st.builds(operator.or_, st.fixed_dictionaries(LOAD), some_of(ODDITIES))
FLEETS = st.lists(SERVERS, max_size=len(NAMES)).map(
    lambda rows: [facts(name, **row) for name, row in zip(NAMES, rows, strict=False)]
)
NEEDS = some_of(WISHES).map(lambda wishes: replace(X86, **wishes))
WAITED = st.sampled_from([0.0, 59.0, 60.0, 600.0])
JOBS = st.uuids()
SHARES = st.dictionaries(st.sampled_from([facts(name).id for name in NAMES]), st.floats(0, 1), max_size=5)
PASTS = st.builds(Past, SHARES, SHARES)


def names_of(servers: Sequence[ServerFacts]) -> list[str]:
    return [server.name for server in servers]


def is_free_to_build(server: ServerFacts, needs: Needs) -> bool:
    """All that the issue lists as hard, said once more and otherwise than the conditions say it."""
    targets = {tool.target_architecture for tool in server.toolchains}
    return (
        server.enabled
        and server.pinned
        and server.followed
        and server.status in TAKING
        and not server.draining
        and not any(
            until and until > NOW for until in (server.quarantined_until, server.starts_refused_until)
        )
        and (not server.quarantined_since or bool(server.quarantined_until and not server.canary_id))
        and needs.architecture in server.architectures | targets
        and all(server.labels.get(key) == value for key, value in needs.labels)
        and needs.group in ("", server.group)
        and needs.cores <= (server.cores or 0)
        and needs.memory_mb <= (server.memory_mb or 0)
        and (not needs.storage_gb or needs.storage_gb <= (server.free_storage_gb or 0))
        and (server.memory_percent or 0) <= server.memory_limit_percent
        and (server.storage_percent or 0) <= server.storage_limit_percent
        and (server.free_storage_mib is None or server.free_storage_mib >= DISK_FLOOR_MIB)
        and server.held < server.slots
    )


@quick
@given(FLEETS, NEEDS, WAITED)
def test_who_takes_a_job_meets_every_hard_condition_and_has_a_slot_under_its_limit(
    fleet: list[ServerFacts], needs: Needs, waited: float
) -> None:
    able = choose(fleet, needs=needs, now=NOW, waited_seconds=waited).able

    assert [server.name for server in able if not is_free_to_build(server, needs)] == []
    named = {server.name for server in able} - {needs.server}
    assert not named or needs.server == "" or needs.fallback


@quick
@given(FLEETS, NEEDS, WAITED)
def test_every_server_is_able_or_refused_for_a_reason_and_never_both(
    fleet: list[ServerFacts], needs: Needs, waited: float
) -> None:
    choice = choose(fleet, needs=needs, now=NOW, waited_seconds=waited)

    refused = {server.name for server, _ in choice.refusals}
    assert sorted([*names_of(choice.able), *refused]) == sorted(names_of(fleet))
    assert all(one.detail and one.kind in Kind for _, one in choice.refusals)


@quick
@given(FLEETS, NEEDS, WAITED)
def test_over_its_cpu_limit_one_is_taken_only_late_or_where_none_else_can_come_free(
    fleet: list[ServerFacts], needs: Needs, waited: float
) -> None:
    able = choose(fleet, needs=needs, now=NOW, waited_seconds=waited).able

    hot = [one for one in able if (one.cpu_percent or 0) > one.cpu_limit_percent]
    if hot and waited < CPU_PATIENCE_SECONDS:
        others = [
            judge(server, needs=needs, now=NOW, waited_seconds=waited)
            for server in fleet
            if server not in hot
        ]
        assert able == hot
        assert all(any(one.kind is not Kind.BUSY for one in refused) for refused in others)


@quick
@given(FLEETS, NEEDS, WAITED, JOBS, PASTS, st.randoms(use_true_random=False))
def test_the_same_facts_give_the_same_answer_in_whatever_order_they_come(
    fleet: list[ServerFacts], needs: Needs, waited: float, job_id: UUID, past: Past, luck: Any
) -> None:
    shuffled = luck.sample(fleet, len(fleet))

    def chosen(servers: list[ServerFacts]) -> Choice:
        return choose(servers, needs=needs, now=NOW, waited_seconds=waited, job_id=job_id, past=past)

    assert chosen(fleet) == chosen(fleet)
    assert chosen(shuffled).able == chosen(fleet).able
    judged = Judged(shuffled, needs=needs, now=NOW, waited_seconds=waited)
    assert judged.best(job_id=job_id, past=past) == next(iter(chosen(fleet).able), None)
    assert judged.has_room is bool(chosen(fleet).able)


RELIEF = st.sampled_from(
    [
        lambda one: {"held": max(0, one.held - 1)},
        lambda one: {"slots": one.slots + 1},
        lambda one: {"cpu_percent": None if one.cpu_percent is None else one.cpu_percent / 2},
        lambda one: {"memory_percent": None if one.memory_percent is None else one.memory_percent / 2},
        lambda one: {"storage_percent": None if one.storage_percent is None else one.storage_percent / 2},
    ]
)


@quick
@given(FLEETS, NEEDS, WAITED, JOBS, PASTS, RELIEF, st.integers(0, 4))
def test_freeing_load_never_makes_a_server_worse(
    fleet: list[ServerFacts], needs: Needs, waited: float, job_id: UUID, past: Past, relief: Any, at: int
) -> None:
    assume(at < len(fleet))

    def place_of_it(servers: list[ServerFacts]) -> int:
        choice = choose(servers, needs=needs, now=NOW, waited_seconds=waited, job_id=job_id, past=past)
        names = names_of(choice.able)
        return names.index(fleet[at].name) if fleet[at].name in names else len(NAMES)

    freer = replace(fleet[at], **relief(fleet[at]))

    assert place_of_it([*fleet[:at], freer, *fleet[at + 1 :]]) <= place_of_it(fleet)
    assert usual_scoring().of_load(freer) >= usual_scoring().of_load(fleet[at])


@quick
@given(FLEETS, NEEDS, WAITED, JOBS, st.lists(st.tuples(st.integers(0, 4), SERVERS), max_size=4))
def test_a_fleet_that_is_judged_change_by_change_is_judged_as_it_is(
    fleet: list[ServerFacts],
    needs: Needs,
    waited: float,
    job_id: UUID,
    changes: list[tuple[int, dict[str, Any]]],
) -> None:
    judged = Judged(fleet, needs=needs, now=NOW, waited_seconds=waited)
    for at, fields in changes:
        assume(at < len(fleet))
        fleet[at] = facts(fleet[at].name, **fields)
        judged.update(fleet[at])

    anew = Judged(fleet, needs=needs, now=NOW, waited_seconds=waited)
    assert judged.choice_for(job_id=job_id) == anew.choice_for(job_id=job_id)
    assert judged.within_reach == anew.within_reach


@quick
@given(SERVERS, PASTS, st.floats(0, 1e6), st.lists(st.floats(0, 100), min_size=5, max_size=5))
def test_a_score_lies_between_nothing_and_the_sum_of_the_weights(
    fields: dict[str, Any], past: Past, waiting: float, given_weights: list[float]
) -> None:
    server, weights = facts(**fields), Weights(*given_weights)

    scoring = Scoring(weights, {server.id: waiting})
    score = scoring.of_load(server) + scoring.of_past(server.id, past=past)

    assert -1e-9 <= score <= sum(given_weights) + 1e-6


@quick
@given(st.lists(st.tuples(st.integers(0, 50), st.frozensets(JOBS, max_size=5)), max_size=6))
def test_each_job_that_some_server_fits_is_waited_for_exactly_once(
    classes: list[tuple[int, frozenset[UUID]]],
) -> None:
    waiting = waiting_for_each(classes)

    assert sum(waiting.values()) == pytest.approx(sum(jobs for jobs, servers in classes if servers))
