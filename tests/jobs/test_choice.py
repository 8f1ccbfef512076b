"""Which server takes a job: each condition has its words and its kind, and the least loaded goes first."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.queue.choice import Condition, Kind, Needs, Refused, choose, judge
from servers.fleet import ServerFacts, ToolchainFacts
from servers.states import ServerStatus

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
X86 = Needs(architecture="x86_64")
OTHER = "00000000-0000-0000-0000-000000000009"


def facts(name: str = "one", **fields: Any) -> ServerFacts:
    defaults: dict[str, Any] = {
        "id": uuid.UUID(int=1),
        "architectures": frozenset({"x86_64", "i686"}),
        "toolchains": (ToolchainFacts("gcc", "12.2.0"),),
        "labels": {"disk": "nvme"},
        "group": "north",
        "cores": 8,
        "memory_mb": 1024,
        "storage_gb": 100,
    }
    return ServerFacts(name=name, **defaults | fields)


def able(*servers: ServerFacts, waited: float = 0) -> list[str]:
    return [one.name for one in choose(servers, needs=X86, now=NOW, waited_seconds=waited).able]


def test_a_server_that_meets_all_is_refused_nothing() -> None:
    needs = Needs("i686", "gcc-12", (("disk", "nvme"),), "north", str(uuid.UUID(int=1)), 8, 1024, 100)

    assert judge(facts(), needs=needs, now=NOW) == []


@pytest.mark.parametrize(
    ("needed", "has", "condition", "detail"),
    [
        ({"server_id": OTHER}, {}, "other_server", "the job names another server"),
        ({"architecture": "riscv64"}, {}, "architecture", "builds i686, x86_64, not riscv64"),
        ({}, {"architectures": frozenset()}, "architecture", "builds none, not x86_64"),
        ({"toolchain": "clang"}, {}, "toolchain", "has no clang for x86_64"),
        ({"toolchain": "gcc-13"}, {}, "toolchain", "has no gcc-13 for x86_64"),
        (
            {"labels": (("disk", "hdd"), ("site", "a"))},
            {},
            "labels",
            "lacks the label disk=hdd, site=a",
        ),
        ({"group": "south"}, {}, "group", "is not in the group south"),
        ({"cores": 9}, {}, "cores", "has 8 cores, 9 are needed"),
        ({"cores": 9}, {"cores": None}, "cores", "its cores are not known yet, 9 are needed"),
        ({"memory_mb": 1025}, {}, "memory", "has 1024 MB of memory, 1025 are needed"),
        ({"storage_gb": 101}, {}, "storage", "has 100 GB of storage, 101 are needed"),
    ],
)
def test_what_a_server_is_not_makes_it_impossible(
    needed: dict[str, Any], has: dict[str, Any], condition: str, detail: str
) -> None:
    refused = judge(facts(**has), needs=replace(X86, **needed), now=NOW)

    assert refused == [Refused(Condition(condition), detail)]
    assert refused[0].kind is Kind.IMPOSSIBLE


@pytest.mark.parametrize(
    ("has", "condition", "detail"),
    [
        ({"enabled": False}, "disabled", "is switched off"),
        ({"pinned": False}, "unpinned", "its host key is not accepted yet"),
        ({"status": ServerStatus.MAINTENANCE}, "maintenance", "is in maintenance"),
        (
            {"status": ServerStatus.MAINTENANCE, "status_reason": "New disk."},
            "maintenance",
            "is in maintenance: New disk.",
        ),
        ({"status": ServerStatus.OFFLINE}, "offline", "is offline"),
        (
            {"status": ServerStatus.OFFLINE, "status_reason": "No route."},
            "offline",
            "is offline: No route.",
        ),
        ({"status": ServerStatus.UNKNOWN}, "unknown", "was not reached yet"),
        ({"draining": True}, "draining", "is draining"),
        (
            {"quarantined_until": NOW + timedelta(minutes=5)},
            "quarantined",
            "is in quarantine until 03:09 UTC",
        ),
        ({"followed": False}, "not_followed", "no runner looks after it now"),
    ],
)
def test_a_server_that_is_away_is_offline(has: dict[str, Any], condition: str, detail: str) -> None:
    refused = judge(facts(**has), needs=X86, now=NOW)

    assert refused == [Refused(Condition(condition), detail)]
    assert refused[0].kind is Kind.OFFLINE


@pytest.mark.parametrize(
    ("has", "condition", "detail", "hard"),
    [
        ({"slots": 2, "held": 2}, "full", "all 2 slots are taken", True),
        ({"slots": 1, "held": 2}, "full", "all 1 slots are taken", True),
        ({"memory_percent": 86.0}, "memory_limit", "memory is at 86 %, its limit is 85 %", True),
        ({"storage_percent": 99.9}, "storage_limit", "storage is at 100 %, its limit is 85 %", True),
        (
            {"cpu_percent": 51.0, "cpu_limit_percent": 50},
            "cpu_limit",
            "CPU is at 51 %, its limit is 50 %",
            False,
        ),
    ],
)
def test_a_server_that_has_no_room_is_busy(
    has: dict[str, Any], condition: str, detail: str, hard: bool
) -> None:
    refused = judge(facts(**has), needs=X86, now=NOW)

    assert refused == [Refused(Condition(condition), detail, hard=hard)]
    assert refused[0].kind is Kind.BUSY


def test_a_server_at_its_limits_or_out_of_quarantine_or_degraded_is_able() -> None:
    limits = facts(cpu_percent=85.0, memory_percent=85.0, storage_percent=85.0, quarantined_until=NOW)

    assert judge(limits, needs=X86, now=NOW) == []
    assert judge(facts(status=ServerStatus.DEGRADED), needs=X86, now=NOW) == []


def test_every_condition_is_told_at_once_in_order() -> None:
    server = facts(group="", enabled=False, slots=1, held=1)

    refused = judge(server, needs=replace(X86, group="south"), now=NOW)

    assert [one.condition for one in refused] == [Condition.GROUP, Condition.DISABLED, Condition.FULL]


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ("gcc", True),
        ("gcc-12", True),
        ("gcc-12.2", True),
        ("gcc-12.2.0", True),
        ("gcc-1", False),
        ("gcc-12.20", False),
        ("gcc-12.2.0.1", False),
        ("gc", False),
    ],
)
def test_a_toolchain_fits_by_name_and_by_whole_parts_of_its_version(wanted: str, fits: bool) -> None:
    assert (judge(facts(), needs=replace(X86, toolchain=wanted), now=NOW) == []) is fits


def test_a_toolchain_whose_own_name_has_a_dash_fits_by_that_name() -> None:
    server = facts(toolchains=(ToolchainFacts("gcc-arm", "9.1"),))

    assert judge(server, needs=replace(X86, toolchain="gcc-arm"), now=NOW) == []


@pytest.mark.parametrize(
    ("toolchain", "conditions"),
    [("", []), ("gcc", []), ("gcc-13", []), ("gcc-12", ["toolchain"]), ("clang", ["toolchain"])],
)
def test_a_cross_toolchain_builds_for_its_target_and_only_it_counts(
    toolchain: str, conditions: list[str]
) -> None:
    cross = ToolchainFacts("gcc", "13.1.0", "riscv64")
    server = facts(toolchains=(ToolchainFacts("gcc", "12.2.0"), ToolchainFacts("clang", "14"), cross))

    refused = judge(server, needs=Needs("riscv64", toolchain), now=NOW)

    assert [one.condition.value for one in refused] == conditions


def test_the_least_loaded_goes_first_then_the_one_with_more_room_then_by_name() -> None:
    servers = [
        facts("half", slots=2, held=1),
        facts("b", slots=4, held=1),
        facts("a", slots=4, held=1),
        facts("wide", slots=8, held=2),
        facts("idle", slots=1, held=0),
    ]

    assert able(*servers) == ["idle", "wide", "a", "b", "half"]


def test_a_named_server_is_the_only_one() -> None:
    one, two = facts("one"), facts("two", id=uuid.UUID(int=2), held=3)

    choice = choose([one, two], needs=replace(X86, server_id=str(two.id)), now=NOW)

    assert choice.able == [two]
    assert choice.refusals == [(one, Refused(Condition.OTHER_SERVER, "the job names another server"))]


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
    [(0.0, ["free"]), (59.9, ["free"]), (60.0, ["hot", "free"]), (600.0, ["hot", "free"])],
)
def test_it_is_passed_over_for_one_minute_at_most(waited: float, names: list[str]) -> None:
    assert able(FREE, HOT, waited=waited) == names


def test_who_is_passed_over_is_told_and_who_is_taken_after_all_is_not() -> None:
    over = Refused(Condition.CPU_LIMIT, "CPU is at 90 %, its limit is 85 %", hard=False)
    off = Refused(Condition.DISABLED, "is switched off")
    taken = Refused(Condition.FULL, "all 1 slots are taken")

    assert choose([HOT, FULL], needs=X86, now=NOW).refusals == [(HOT, over), (FULL, taken)]
    assert choose([HOT, FREE], needs=X86, now=NOW).refusals == [(HOT, over)]
    assert choose([HOT, AWAY], needs=X86, now=NOW).refusals == [(AWAY, off)]


def test_no_server_at_all_is_no_choice() -> None:
    choice = choose([], needs=X86, now=NOW)

    assert (choice.able, choice.refusals) == ([], [])
