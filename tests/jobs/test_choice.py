"""Which server takes a job: the best score goes first, who is passed over for a minute, and who is asked for."""

from dataclasses import replace
from uuid import UUID

import pytest

from jobs.needs import Needs
from jobs.queue.choice import Judged, choose
from jobs.queue.conditions import Condition, Refused
from jobs.queue.score import NO_PAST, Past
from servers.fleet import ServerFacts, ToolchainFacts
from tests.jobs.fleets import NOW, X86, facts


def able(*servers: ServerFacts, waited: float = 0) -> list[str]:
    return [one.name for one in choose(servers, needs=X86, now=NOW, waited_seconds=waited).able]


def test_the_least_loaded_goes_first_and_the_one_with_more_room() -> None:
    servers = [
        facts("half", slots=2, held=1),
        facts("hot", slots=4, held=1, cpu_percent=40.0),
        facts("b", slots=4, held=1),
        facts("a", slots=4, held=1),
        facts("wide", slots=8, held=2),
        facts("idle", slots=4, held=0),
    ]

    assert able(*servers) == ["idle", "wide", "a", "b", "hot", "half"]


def test_servers_that_suit_alike_are_drawn_by_lot_the_same_way_each_time() -> None:
    judged = Judged([facts(name) for name in "abcd"], needs=X86, now=NOW)
    again = Judged([facts(name) for name in "dcba"], needs=X86, now=NOW)
    chosen = {number: judged.best(job_id=UUID(int=number)) for number in range(40)}

    assert {server.name for server in chosen.values() if server} == set("abcd")
    assert {number: again.best(job_id=UUID(int=number)) for number in range(40)} == chosen
    assert judged.best() == facts("a")
    assert judged.choice_for(job_id=UUID(int=3)).able[0] == chosen[3]


def test_the_past_of_its_repository_decides_between_servers_that_are_loaded_alike_and_no_others() -> None:
    knows, cold = facts("knows", held=1), facts("cold", held=1)
    judged = Judged([knows, cold], needs=X86, now=NOW)
    past = Past(warmth={knows.id: 1.0})
    slow = Past(warmth={knows.id: 1.0}, speed={knows.id: 0.25, cold.id: 1.0})
    jobs = [UUID(int=number) for number in range(9)]

    assert [judged.best(job_id=job_id, past=past) for job_id in jobs] == [knows] * 9
    assert [judged.best(job_id=job_id, past=slow) for job_id in jobs] == [cold] * 9
    idle = replace(cold, held=0)
    judged.update(idle)
    assert [judged.best(job_id=job_id, past=past) for job_id in jobs] == [idle] * 9


@pytest.mark.parametrize(
    "away",
    [
        {"held": 4},
        {"enabled": False},
        {"draining": True},
        {"architectures": frozenset()},
        {"cpu_percent": 99.0},
    ],
)
def test_a_server_that_is_asked_for_with_a_fallback_goes_first_and_is_not_waited_for(
    away: dict[str, object],
) -> None:
    other, asked = facts("other"), facts("asked", held=3)
    needs = replace(X86, server="asked", server_id=str(asked.id), fallback=True)

    assert choose([other, asked], needs=needs, now=NOW).able == [asked, other]
    cannot = choose([other, replace(asked, **away)], needs=needs, now=NOW)  # type: ignore[arg-type]  # as given above
    assert cannot.able == [other]
    assert {server.name for server, _ in cannot.refusals} == {"asked"}


def test_a_server_that_is_asked_for_with_a_fallback_may_be_gone() -> None:
    needs = replace(X86, server="gone", fallback=True)

    assert choose([facts("one")], needs=needs, now=NOW).able == [facts("one")]


def picked(servers: list[ServerFacts], *, needs: Needs = X86, past: Past = NO_PAST) -> tuple[str, str]:
    found = Judged(servers, needs=needs, now=NOW).pick(job_id=UUID(int=1), past=past)
    return found.server.name, found.why


def test_why_a_server_was_chosen_is_told_in_a_sentence() -> None:
    one, two, busy = facts("one", cpu_percent=12.4), facts("two", cpu_percent=12.4), facts("busy", held=3)
    fleet = [one, two, busy]
    free = "4 of 4 slots free, 12% of its CPU in use"

    name, why = picked(fleet)
    assert name in {"one", "two"}
    assert why == f"The best of 3 that could take it, by lot among 2 alike: {free}."
    past = Past(warmth={one.id: 0.5}, speed={one.id: 1.0, two.id: 0.5})
    told = f"The best of 3 that could take it: {free}, has built this repository lately, has been the fastest at it."
    assert picked(fleet, past=past) == ("one", told)
    assert picked([two]) == ("two", "It was the only server that could take it.")
    asked = replace(X86, server="busy", server_id=str(busy.id), fallback=True)
    assert picked(fleet, needs=asked) == ("busy", "The job asks for it.")


def test_a_server_of_the_jobs_own_architecture_goes_before_one_that_cross_builds() -> None:
    cross = facts("cross", toolchains=(ToolchainFacts("gcc", "13.1.0", "riscv64"),))
    native = facts("native", architectures=frozenset({"riscv64"}), held=3)

    choice = choose([cross, native], needs=Needs("riscv64", "gcc"), now=NOW)

    assert choice.able == [native, cross]


def test_a_named_server_is_the_only_one() -> None:
    one, two = facts("one"), facts("two", held=3)

    choice = choose([one, two], needs=replace(X86, server="two", server_id=str(two.id)), now=NOW)

    assert choice.able == [two]
    assert choice.refusals == [(one, Refused(Condition.OTHER_SERVER, "is not the server that the job names"))]


HOT = facts("hot", cpu_percent=90.0)
FULL = facts("full", slots=1, held=1)
AWAY = facts("away", enabled=False)
FREE = facts("free", held=3)


@pytest.mark.parametrize(
    ("servers", "names"),
    [
        ([HOT], ["hot"]),
        ([HOT, AWAY], ["hot"]),
        ([HOT, FULL], []),
        ([HOT, FREE], ["free"]),
        ([HOT, facts("away and full", enabled=False, slots=1, held=1)], ["hot"]),
        ([HOT, facts("hotter", cpu_percent=99.0, held=1)], ["hot", "hotter"]),
    ],
)
def test_over_its_cpu_limit_a_server_is_passed_over_while_another_may_come_free(
    servers: list[ServerFacts], names: list[str]
) -> None:
    assert able(*servers) == names


@pytest.mark.parametrize(
    ("waited", "names"),
    [(0.0, ["free"]), (59.9, ["free"]), (60.0, ["free", "hot"]), (600.0, ["free", "hot"])],
)
def test_it_is_passed_over_for_one_minute_at_most(waited: float, names: list[str]) -> None:
    assert able(FREE, HOT, waited=waited) == names


def test_who_is_passed_over_is_told_and_who_is_taken_after_all_is_not() -> None:
    over = Refused(Condition.CPU_LIMIT, "uses 90% of its CPU, over its limit of 85%", hard=False)
    off = Refused(Condition.DISABLED, "is switched off")
    taken = Refused(Condition.FULL, "is full: its only slot is taken")

    assert choose([HOT, FULL], needs=X86, now=NOW).refusals == [(HOT, over), (FULL, taken)]
    assert choose([HOT, FREE], needs=X86, now=NOW).refusals == [(HOT, over)]
    assert choose([HOT, AWAY], needs=X86, now=NOW).refusals == [(AWAY, off)]


def test_no_server_at_all_is_no_choice() -> None:
    choice = choose([], needs=X86, now=NOW)

    assert (choice.able, choice.refusals) == ([], [])


def test_a_server_that_changed_is_judged_anew_without_the_others() -> None:
    one, two = facts("one"), facts("two", held=1)
    judged = Judged([one, two], needs=X86, now=NOW)
    assert judged.best() == one

    judged.update(replace(one, held=2))
    assert judged.best() == two

    full = replace(two, held=4)
    judged.update(full)
    judged.update(replace(one, held=4))
    assert judged.best() is None
    assert judged.choice.refusals[1] == (full, Refused(Condition.FULL, "is full: all 4 slots are taken"))

    judged.update(one)
    assert judged.best() == one


def test_a_server_over_its_cpu_limit_is_taken_once_those_that_were_busy_went_away() -> None:
    judged = Judged([HOT, FULL], needs=X86, now=NOW)
    assert judged.best() is None

    judged.update(replace(FULL, enabled=False))

    assert judged.has_room
    assert judged.best() == HOT
    assert judged.within_reach == {HOT.id}
