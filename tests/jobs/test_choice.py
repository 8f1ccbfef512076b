"""Which server takes a job: the least loaded goes first, and who is passed over for a minute."""

from dataclasses import replace

import pytest

from jobs.queue.choice import Judged, choose
from jobs.queue.conditions import Condition, Needs, Refused
from servers.fleet import ServerFacts, ToolchainFacts
from tests.jobs.fleets import NOW, X86, facts


def able(*servers: ServerFacts, waited: float = 0) -> list[str]:
    return [one.name for one in choose(servers, needs=X86, now=NOW, waited_seconds=waited).able]


def test_the_least_loaded_goes_first_then_the_cooler_then_the_one_with_more_room() -> None:
    servers = [
        facts("half", slots=2, held=1),
        facts("warm", slots=4, held=1, cpu_percent=40.0),
        facts("b", slots=4, held=1),
        facts("a", slots=4, held=1),
        facts("wide", slots=8, held=2),
        facts("idle", slots=1, held=0),
    ]

    assert able(*servers) == ["idle", "wide", "a", "b", "warm", "half"]


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
    over = Refused(Condition.CPU_LIMIT, "uses 90 % of its CPU, over its limit of 85 %", hard=False)
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
