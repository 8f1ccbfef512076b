"""What a server must meet: each condition has its words, with numbers, and its kind."""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jobs.needs import Needs
from jobs.queue.conditions import DISK_FLOOR_MIB, Condition, Kind, Refused, judge, memory_text
from servers.fleet import ToolchainFacts
from servers.states import ServerStatus
from tests.jobs.fleets import NOW, X86, facts

CROSS = ToolchainFacts("gcc", "13.1.0", "riscv64", "riscv64-linux-gnu-gcc-13")


def test_a_server_that_meets_all_is_refused_nothing() -> None:
    server = facts(storage_percent=0.0)
    needs = Needs(
        "i686", "gcc-12", (("disk", "nvme"),), "north", "one", str(server.id), 8, 1024, 100, crosses=True
    )

    assert judge(server, needs=needs, now=NOW) == []


@pytest.mark.parametrize(
    ("needed", "has", "condition", "detail"),
    [
        ({"server": "two", "server_id": "2"}, {}, "other_server", "is not the server that the job names"),
        ({"server": "gone"}, {}, "other_server", "is not the server that the job names"),
        ({"architecture": "riscv64"}, {}, "architecture", "builds i686, x86_64, not riscv64"),
        ({}, {"architectures": frozenset()}, "architecture", "has not told its architecture yet"),
        (
            {"architecture": "riscv64"},
            {"toolchains": (CROSS,)},
            "architecture",
            "builds i686, x86_64; the job would have to require its gcc 13.1.0 for riscv64",
        ),
        ({"toolchain": "clang"}, {}, "toolchain", "has no clang for x86_64"),
        ({"toolchain": "gcc-13"}, {}, "toolchain", "has no gcc-13 for x86_64, only gcc 12.2.0"),
        ({"toolchain": "gcc>=13"}, {}, "toolchain", "has no gcc 13 or newer for x86_64, only gcc 12.2.0"),
        (
            {"architecture": "riscv64", "toolchain": "clang"},
            {"toolchains": (CROSS,)},
            "toolchain",
            "has no clang for riscv64, only gcc 13.1.0",
        ),
        ({"labels": (("site", "a"),)}, {}, "labels", "lacks the label site=a"),
        (
            {"labels": (("disk", "hdd"), ("site", "a"))},
            {},
            "labels",
            "lacks the labels disk=hdd, site=a",
        ),
        ({"group": "south"}, {}, "group", "is in the group north, not in south"),
        ({"group": "south"}, {"group": ""}, "group", "is in no group, not in south"),
        ({"cores": 9}, {}, "cores", "has 8 cores, the job needs 9"),
        ({"cores": 9}, {"cores": 1}, "cores", "has 1 core, the job needs 9"),
        ({"memory_mb": 1025}, {}, "memory", "has 1 GB of memory, the job needs 1025 MB"),
        (
            {"memory_mb": 65536},
            {"memory_mb": 32068},
            "memory",
            "has 31.3 GB of memory, the job needs 64 GB",
        ),
        (
            {"memory_mb": 32768},
            {"memory_mb": 32760},
            "memory",
            "has 32760 MB of memory, the job needs 32768 MB",
        ),
        ({"storage_gb": 101}, {}, "storage", "has 100 GB of storage, the job needs 101 GB free"),
        (
            {"storage_gb": 101},
            {"storage_percent": 99.0, "storage_limit_percent": 100},
            "storage",
            "has 100 GB of storage, the job needs 101 GB free",
        ),
    ],
)
def test_what_a_server_is_not_makes_it_impossible(
    needed: dict[str, Any], has: dict[str, Any], condition: str, detail: str
) -> None:
    refused = judge(facts(**has), needs=replace(X86, **needed), now=NOW)

    assert refused == [Refused(Condition(condition), detail)]
    assert refused[0].kind is Kind.IMPOSSIBLE


@pytest.mark.parametrize(
    ("needed", "has", "condition", "detail"),
    [
        ({}, {"enabled": False}, "disabled", "is switched off"),
        ({}, {"pinned": False}, "unpinned", "has a host key that no operator has accepted yet"),
        (
            {},
            {"pinned": False, "key_changed": True},
            "unpinned",
            "shows another host key than the pinned one",
        ),
        ({}, {"status": ServerStatus.MAINTENANCE}, "maintenance", "is in maintenance"),
        (
            {},
            {"status": ServerStatus.MAINTENANCE, "status_reason": "New disk."},
            "maintenance",
            "is in maintenance: New disk",
        ),
        ({}, {"status": ServerStatus.OFFLINE}, "offline", "is offline"),
        (
            {},
            {"status": ServerStatus.OFFLINE, "status_reason": "No route."},
            "offline",
            "is offline: No route",
        ),
        ({}, {"status": ServerStatus.UNKNOWN}, "unknown", "was not reached yet"),
        ({}, {"draining": True}, "draining", "is draining"),
        ({}, {"draining": True, "draining_reason": "Moves."}, "draining", "is draining: Moves"),
        (
            {},
            {
                "quarantined_since": NOW,
                "quarantined_until": NOW + timedelta(minutes=5),
                "quarantine_reason": "Bad disk",
            },
            "quarantined",
            "is in quarantine until 03:09 UTC: Bad disk",
        ),
        (
            {},
            {"quarantined_since": NOW, "quarantine_reason": "Smoke"},
            "quarantined",
            "is in quarantine until somebody ends it: Smoke",
        ),
        (
            {},
            {"quarantined_since": NOW, "pinned": False},
            "unpinned",
            "has a host key that no operator has accepted yet",
        ),
        ({}, {"followed": False}, "not_followed", "has no runner that looks after it now"),
        (
            {},
            {"starts_refused_until": NOW + timedelta(minutes=1), "starts_refused_reason": "No room."},
            "starts_refused",
            "is not asked until 03:05:05 UTC: No room",
        ),
        (
            {},
            {"free_storage_mib": 255},
            "disk_floor",
            "has only 255 MiB free of the 256 MiB that a build needs",
        ),
        (
            {"cores": 1, "memory_mb": 1, "storage_gb": 1},
            {"cores": None, "memory_mb": None, "storage_gb": None},
            "unmeasured",
            "has not told its number of cores and memory and storage yet",
        ),
    ],
)
def test_a_server_that_is_away_is_offline(
    needed: dict[str, Any], has: dict[str, Any], condition: str, detail: str
) -> None:
    refused = judge(facts(**has), needs=replace(X86, **needed), now=NOW)

    assert refused == [Refused(Condition(condition), detail)]
    assert refused[0].kind is Kind.OFFLINE


@pytest.mark.parametrize(
    ("has", "condition", "detail", "hard"),
    [
        (
            {"quarantined_since": NOW, "quarantined_until": NOW, "canary_id": uuid.UUID(int=1)},
            "canary",
            "comes out of quarantine through one build, which runs now",
            True,
        ),
        ({"slots": 2, "held": 2}, "full", "is full: all 2 slots are taken", True),
        ({"slots": 1, "held": 2}, "full", "is full: its only slot is taken", True),
        ({"memory_percent": 86.0}, "memory_limit", "uses 86% of its memory, over its limit of 85%", True),
        (
            {"storage_percent": 99.9},
            "storage_limit",
            "uses 100% of its storage, over its limit of 85%",
            True,
        ),
        (
            {"cpu_percent": 51.0, "cpu_limit_percent": 50},
            "cpu_limit",
            "uses 51% of its CPU, over its limit of 50%",
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


@pytest.mark.parametrize(("mib", "condition"), [(20 * 1024, None), (20 * 1024 - 1, "free_storage")])
def test_free_storage_is_what_a_build_can_fill_where_that_is_measured(
    mib: int, condition: str | None
) -> None:
    server = facts(storage_percent=10.0, free_storage_mib=mib)

    refused = judge(server, needs=replace(X86, storage_gb=20), now=NOW)

    assert [one.condition for one in refused] == ([condition] if condition else [])


def test_storage_of_which_nobody_knows_how_much_is_free_is_not_enough_yet() -> None:
    refused = judge(facts(storage_gb=100), needs=replace(X86, storage_gb=20), now=NOW)

    assert refused == [Refused(Condition.UNMEASURED, "has not told its storage yet")]


@pytest.mark.parametrize(
    ("wanted", "told"), [(60, []), (61, ["has 60 GB of storage free, the job needs 61 GB"])]
)
def test_storage_that_is_taken_now_may_come_free(wanted: int, told: list[str]) -> None:
    server = facts(storage_percent=40.0)

    refused = judge(server, needs=replace(X86, storage_gb=wanted), now=NOW)

    assert refused == [Refused(Condition.FREE_STORAGE, detail) for detail in told]
    assert all(one.kind is Kind.BUSY for one in refused)


def test_a_server_at_its_limits_or_out_of_quarantine_or_degraded_is_able() -> None:
    limits = facts(
        cpu_percent=85.0,
        memory_percent=85.0,
        storage_percent=85.0,
        quarantined_since=NOW - timedelta(hours=1),
        quarantined_until=NOW,
    )
    just_enough = facts(free_storage_mib=DISK_FLOOR_MIB, starts_refused_until=NOW)

    assert judge(just_enough, needs=X86, now=NOW) == []
    assert judge(limits, needs=X86, now=NOW) == []
    assert judge(facts(status=ServerStatus.DEGRADED), needs=X86, now=NOW) == []


def test_a_degraded_server_is_refused_over_a_hard_limit() -> None:
    server = facts(status=ServerStatus.DEGRADED, storage_percent=95.0)

    assert [one.condition for one in judge(server, needs=X86, now=NOW)] == [Condition.STORAGE_LIMIT]


def test_every_condition_is_told_at_once_in_order() -> None:
    server = facts(group="", enabled=False, slots=1, held=1)

    refused = judge(server, needs=replace(X86, group="south"), now=NOW)

    assert [one.condition for one in refused] == [Condition.GROUP, Condition.DISABLED, Condition.FULL]


@pytest.mark.parametrize(
    ("server", "server_id", "fits"),
    [
        ("one", "", True),
        (str(facts().id), "", True),
        ("one", str(facts().id), True),
        ("two", str(facts().id), True),  # it was renamed
        ("one", "another", False),  # another one was given its old name
        ("two", "", False),
    ],
)
def test_a_named_server_is_it_by_id_or_once_that_is_gone_by_name(
    server: str, server_id: str, fits: bool
) -> None:
    needs = replace(X86, server=server, server_id=server_id)

    assert (judge(facts(), needs=needs, now=NOW) == []) is fits


@pytest.mark.parametrize(
    "asked",
    [
        {"toolchain": "gcc"},
        {"toolchain": "gcc-13"},
        {"toolchain": "gcc>=13"},
        {"toolchain": "riscv64-linux-gnu-gcc-13"},
        {"crosses": True},
        {"server": "one"},
    ],
)
def test_a_cross_toolchain_is_used_where_the_job_says_how(asked: dict[str, Any]) -> None:
    server = facts(toolchains=(ToolchainFacts("gcc", "12.2.0"), CROSS))

    assert judge(server, needs=replace(X86, architecture="riscv64", **asked), now=NOW) == []


@pytest.mark.parametrize("toolchain", ["gcc-12", "clang"])
def test_only_a_toolchain_for_the_jobs_architecture_counts(toolchain: str) -> None:
    native = (ToolchainFacts("gcc", "12.2.0"), ToolchainFacts("clang", "14.0"))
    server = facts(toolchains=(*native, CROSS))

    refused = judge(server, needs=Needs("riscv64", toolchain, crosses=True), now=NOW)

    assert [one.condition for one in refused] == [Condition.TOOLCHAIN]


@pytest.mark.parametrize(
    ("megabytes", "text"),
    [(512, "512 MB"), (1024, "1 GB"), (1536, "1536 MB"), (32068, "31.3 GB"), (65536, "64 GB")],
)
def test_memory_reads_as_people_say_it(megabytes: int, text: str) -> None:
    assert memory_text(megabytes) == text
