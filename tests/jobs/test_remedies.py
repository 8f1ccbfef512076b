"""The smallest change that would let a job start, in words that go on behind "it starts when"."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jobs.needs import Needs
from jobs.queue.conditions import Condition, judge
from jobs.queue.remedies import _COST, _OF_THE_MACHINE, _REMEDIES, remedy_for
from servers.fleet import ServerFacts, ToolchainFacts
from servers.states import ServerStatus
from tests.jobs.fleets import NOW, X86, facts


def remedy(*servers: ServerFacts, needs: Needs = X86) -> str:
    return remedy_for([(one, judge(one, needs=needs, now=NOW)) for one in servers], needs=needs)


@pytest.mark.parametrize(
    ("has", "needed", "told"),
    [
        ({"slots": 2, "held": 2}, {}, "1 of 2 slots of one comes free"),
        ({"slots": 1, "held": 1}, {}, "the slot of one comes free"),
        ({"status": ServerStatus.MAINTENANCE}, {}, "one leaves maintenance"),
        ({"status": ServerStatus.OFFLINE}, {}, "one can be reached again"),
        ({"status": ServerStatus.UNKNOWN}, {}, "one is reached"),
        ({"draining": True}, {}, "one stops draining"),
        ({"enabled": False}, {}, "one is switched on"),
        ({"pinned": False}, {}, "an operator accepts the host key of one"),
        ({"followed": False}, {}, "a runner looks after one again"),
        ({"starts_refused_until": NOW + timedelta(minutes=1)}, {}, "one takes builds again"),
        ({"free_storage_mib": 10}, {}, "one has 256 MiB of its disk free"),
        (
            {"quarantined_since": NOW, "quarantined_until": NOW + timedelta(hours=1)},
            {},
            "the quarantine of one ends",
        ),
        ({"memory_percent": 90.0}, {}, "one uses at most 85% of its memory"),
        ({"storage_percent": 90.0}, {}, "one uses at most 85% of its storage"),
        (
            {"cpu_percent": 90.0},
            {},
            "one uses at most 85% of its CPU (it is waited for at most a minute)",
        ),
        ({"storage_percent": 50.0}, {"storage_gb": 60}, "one has 60 GB of storage free"),
        ({"cores": None}, {"cores": 2}, "a probe has measured one"),
        ({}, {"labels": (("disk", "nvme"), ("site", "a"))}, "one gets the label site=a"),
        ({}, {"group": "south"}, "one is put into the group south"),
        ({}, {"toolchain": "clang"}, "one gets clang for x86_64"),
        (
            {"status": ServerStatus.MAINTENANCE, "slots": 2, "held": 2},
            {"group": "south"},
            "one is put into the group south, one leaves maintenance and 1 of 2 slots of one comes free",
        ),
        (
            {
                "toolchains": (
                    ToolchainFacts("clang", "16.0.0", "riscv64"),
                    ToolchainFacts("gcc", "13.1.0", "riscv64"),
                )
            },
            {"architecture": "riscv64"},
            "the job is submitted again and requires gcc, which one has for riscv64",
        ),
        (
            {"toolchains": (ToolchainFacts("clang", "16.0.0", "riscv64"),), "draining": True},
            {"architecture": "riscv64"},
            "the job is submitted again and requires clang, which one has for riscv64, and one stops draining",
        ),
        (
            {"toolchains": (ToolchainFacts("gcc", "13.1.0", "riscv64"),)},
            {"architecture": "riscv64", "cores": 9},
            "a build server is added that builds riscv64 and has 9 cores; the nearest, one, has 8 cores, the "
            "job needs 9",
        ),
        (
            {},
            {"architecture": "s390x"},
            "a build server is added that builds s390x; the nearest, one, builds i686, x86_64, not s390x",
        ),
        (
            {},
            {"memory_mb": 65536, "toolchain": "gcc", "labels": (("disk", "nvme"),), "group": "north"},
            "a build server is added that builds x86_64 with gcc, has 64 GB of memory and the label disk=nvme "
            "and is in the group north; the nearest, one, has 1 GB of memory, the job needs 64 GB",
        ),
        (
            {"enabled": False},
            {"cores": 9, "storage_gb": 900},
            "a build server is added that builds x86_64 and has 9 cores and 900 GB of storage free; "
            "the nearest, one, has 8 cores, the job needs 9",
        ),
        (
            {},
            {"server": "gone"},
            "a build server named gone is added, or the job is submitted again for another one",
        ),
    ],
)
def test_each_condition_has_its_remedy(has: dict[str, Any], needed: dict[str, Any], told: str) -> None:
    assert remedy(facts(**has), needs=replace(X86, **needed)) == told


def test_without_a_server_one_is_to_be_added() -> None:
    assert remedy() == "a build server is added that builds x86_64"


def test_the_server_that_needs_the_least_change_is_named() -> None:
    full = facts("full", slots=1, held=1)
    away = facts("away", status=ServerStatus.OFFLINE)
    other = facts("other", group="south")
    small = facts("small", cores=1)
    needs = replace(X86, group="north", cores=2)

    assert remedy(small, needs=needs).startswith("a build server is added")
    assert remedy(small, other, needs=needs) == "other is put into the group north"
    assert remedy(small, other, away, needs=needs) == "away can be reached again"
    assert remedy(small, other, away, full, needs=needs) == "the slot of full comes free"


def test_requiring_a_cross_compiler_is_simpler_than_another_server() -> None:
    cross = facts("cross", toolchains=(ToolchainFacts("gcc", "13.1.0", "riscv64"),))
    small = facts("small", architectures=frozenset({"riscv64"}), cores=1)
    needs = Needs("riscv64", cores=2)

    assert (
        remedy(small, cross, needs=needs)
        == "the job is submitted again and requires gcc, which cross has for riscv64"
    )


def test_full_servers_are_told_together() -> None:
    servers = [facts(f"s{number}", slots=2, held=2) for number in range(4)]

    assert remedy(*servers[:2]) == "1 of 4 slots of s0 and s1 comes free"
    assert remedy(*servers) == "1 of 8 slots of s0, s1 and 2 more comes free"


def test_a_named_server_is_the_one_whose_remedy_is_told() -> None:
    named = facts("named", status=ServerStatus.MAINTENANCE)
    needs = replace(X86, server="named", server_id=str(named.id))

    assert remedy(facts("idle"), named, needs=needs) == "named leaves maintenance"


def test_no_condition_is_without_words() -> None:
    told = {*_REMEDIES, *_OF_THE_MACHINE, Condition.OTHER_SERVER, Condition.PROVIDER}

    assert told == set(Condition)
    assert set(_COST) <= set(Condition)
