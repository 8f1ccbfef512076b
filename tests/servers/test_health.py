"""A server's status and what its probes saw: each change is an event, and nonsense is not believed."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.crypto import generate_ssh_key_pair
from buildboard.core.models import Event
from servers.drains import set_maintenance
from servers.health import (
    apply_probe,
    note_failure,
    note_reached,
    note_unreachable,
    set_status,
)
from servers.host_keys import parse_host_key
from servers.models import BuildServer, ProbeSample, Toolchain
from servers.states import ServerStatus
from servers.transport import HelperRefused, HostKeyMismatch, LoginRefused, Unreachable
from tests.factories import make_server

pytestmark = pytest.mark.django_db
KEYS = [parse_host_key(generate_ssh_key_pair("host")[1]) for _ in range(2)]
PROBE = {
    "cores": "8",
    "load": "2.00 1.50 1.00",
    "mem.MemTotal_kb": "16777216",
    "mem.MemAvailable_kb": "4194304",
    "disk.total_kb": "104857600",
    "disk.available_kb": "52428800",
    "boot_id": "boot-1",
}
PERCENTAGES = ("cpu_percent", "memory_percent", "storage_percent")
FULL = {"depth": "tools", "util.git": "1"}
SIZES = ("total_cpu_cores", "total_memory_mb", "total_storage_gb")


def changes(server: BuildServer) -> list[tuple[str, ...]]:
    events = Event.objects.filter(subject_type="server", subject_id=str(server.pk), kind="status")
    return list(events.values_list("from_state", "to_state", "reason", "actor", "door"))


def row(server: BuildServer, *columns: str) -> tuple[object, ...]:
    return tuple(BuildServer.objects.values_list(*columns).get(pk=server.pk))


def test_a_change_of_status_is_stored_with_its_reason_and_an_event() -> None:
    server = make_server()
    before = server.status_changed_at

    assert set_status(server.pk, status=ServerStatus.DEGRADED, reason="Slow disk.") is True

    server.refresh_from_db()
    assert (server.status, server.status_reason) == ("degraded", "Slow disk.")
    assert server.status_changed_at > before
    assert changes(server) == [("online", "degraded", "Slow disk.", "", "runner")]


def test_the_same_status_again_is_no_change() -> None:
    server = make_server()

    assert set_status(server.pk, status=ServerStatus.ONLINE, reason="Again.") is False
    assert row(server, "status_reason", "status_changed_at") == ("", server.status_changed_at)
    assert changes(server) == []


def test_a_server_that_is_gone_changes_nothing() -> None:
    assert set_status(uuid.uuid4(), status=ServerStatus.ONLINE) is False
    assert Event.objects.count() == 0


@pytest.mark.parametrize("status", [ServerStatus.ONLINE, ServerStatus.DEGRADED, ServerStatus.UNKNOWN])
def test_an_unreachable_server_is_offline_since_the_first_time(status: str) -> None:
    server = make_server(status=status)

    note_unreachable(server.pk, reason="No route.")
    since = row(server, "unreachable_since")
    note_unreachable(server.pk, reason="Timed out.")

    assert since != (None,)
    assert row(server, "unreachable_since") == since
    assert row(server, "status", "status_reason") == ("offline", "No route.")
    assert changes(server) == [(status, "offline", "No route.", "", "runner")]


@pytest.mark.parametrize("status", [ServerStatus.OFFLINE, ServerStatus.UNKNOWN])
def test_a_reached_server_is_online(status: str) -> None:
    server = make_server(status=status)

    note_reached(server.pk)
    note_reached(server.pk)

    assert row(server, "status", "status_reason") == ("online", "It answers.")
    assert changes(server) == [(status, "online", "It answers.", "", "runner")]


def test_a_server_in_maintenance_stays_so_reached_or_not() -> None:
    server = make_server(status=ServerStatus.MAINTENANCE)

    note_unreachable(server.pk, reason="No route.")
    assert row(server, "unreachable_since") != (None,)
    note_reached(server.pk)

    assert row(server, "status", "unreachable_since") == ("maintenance", None)
    assert changes(server) == []


def test_maintenance_begins_and_ends_by_a_person_and_a_probe_brings_the_server_back() -> None:
    server = make_server()
    anna = Actor(name="anna", door="admin")

    assert set_maintenance(server.pk, enabled=True, actor=anna, reason="New disk.") is True
    assert set_maintenance(server.pk, enabled=True, actor=anna, reason="New disk.") is False
    assert set_maintenance(server.pk, enabled=False, actor=anna) is True
    assert row(server, "status", "status_reason") == ("unknown", "")
    note_reached(server.pk)

    assert changes(server) == [
        ("online", "maintenance", "New disk.", "anna", "admin"),
        ("maintenance", "unknown", "", "anna", "admin"),
        ("unknown", "online", "It answers.", "", "runner"),
    ]


def test_a_probe_is_stored_and_sampled() -> None:
    server = make_server(status=ServerStatus.OFFLINE)

    apply_probe(server.pk, facts=PROBE)

    assert row(server, *PERCENTAGES) == (25.0, 75.0, 50.0)
    assert row(server, *SIZES) == (8, 16384, 100)
    assert row(server, "free_storage_mib") == (51_200,)
    assert row(server, "boot_id", "facts", "status") == ("boot-1", PROBE, "online")
    sampled = ProbeSample.objects.values_list("server", *PERCENTAGES)
    assert list(sampled) == [(server.pk, 25.0, 75.0, 50.0)]
    assert row(server, "last_health_check") == ProbeSample.objects.values_list("at").get()


def test_percentages_stay_between_nothing_and_all() -> None:
    server = make_server()

    apply_probe(
        server.pk, facts=PROBE | {"load": "99.0", "disk.available_kb": "0", "mem.MemAvailable_kb": "99999999"}
    )

    assert row(server, *PERCENTAGES) == (100.0, 0.0, 100.0)


@pytest.mark.parametrize("word", ["", "many", "8 cores", "-8", "nan", "inf", "-inf", "1e300", "0x10"])
def test_a_value_that_is_no_number_is_not_known(word: str) -> None:
    server = make_server(total_cpu_cores=4, total_memory_mb=4, total_storage_gb=4)
    names = ("cores", "mem.MemTotal_kb", "disk.total_kb")

    apply_probe(server.pk, facts=PROBE | dict.fromkeys(names, word))

    assert row(server, *SIZES) == (None, None, None)


@pytest.mark.parametrize("word", ["", "much", "-1", "nan", "inf"])
def test_a_load_or_rest_that_is_no_number_gives_no_percentage(word: str) -> None:
    server = make_server()
    names = ("load", "mem.MemAvailable_kb", "disk.available_kb")

    apply_probe(server.pk, facts=PROBE | dict.fromkeys(names, word))

    assert row(server, *PERCENTAGES) == (None, None, None)
    assert row(server, *SIZES) == (8, 16384, 100)


def test_a_probe_that_says_nothing_leaves_nothing_known() -> None:
    server = make_server(cpu_percent=50.0, total_cpu_cores=4)

    apply_probe(server.pk, facts={})

    assert row(server, *PERCENTAGES, *SIZES) == (None,) * 6
    assert row(server, "boot_id", "facts", "status") == ("", {}, "online")


@pytest.mark.parametrize(
    ("tool", "line", "version"),
    [
        ("gcc", "gcc (Debian 12.2.0-14+deb12u1) 12.2.0", "12.2.0"),
        ("clang", "Debian clang version 14.0.6", "14.0.6"),
        ("make", "GNU Make 4.3", "4.3"),
        ("cargo", "cargo 1.79.0 (ffa9cf99a 2024-06-03)", "1.79.0"),
        ("go", "go version go1.22.1 linux/amd64", "1.22.1"),
        ("node", "v20.11.0", "20.11.0"),
        ("java", 'openjdk version "17.0.15" 2025-04-15', "17.0.15"),
        ("python3", "Python 3.11.7", "3.11.7"),
        ("cc", "no version here", ""),
        ("ninja", "", ""),
    ],
)
def test_the_version_is_read_from_what_a_tool_says_of_itself(tool: str, line: str, version: str) -> None:
    server = make_server()

    apply_probe(server.pk, facts=FULL | {f"tool.{tool}": f"/usr/bin/{tool}|{line}"})

    found = Toolchain.objects.values_list("server", "name", "version", "path", "target_architecture")
    assert list(found) == [(server.pk, tool, version, f"/usr/bin/{tool}", "")]


def test_toolchains_follow_the_last_full_probe_and_a_light_one_leaves_them() -> None:
    server = make_server()
    tools = {"tool.gcc": "/usr/bin/gcc|gcc 12.2.0", "tool.make": "/usr/bin/make|Make 4.3"}
    apply_probe(server.pk, facts=FULL | tools | {"cross.aarch64-linux-gnu-gcc": "/usr/bin/x-gcc|gcc 12.2.0"})

    apply_probe(server.pk, facts=PROBE | {"depth": "light"})
    after_light = set(Toolchain.objects.values_list("name", "target_architecture"))
    kept = row(server, "facts")
    apply_probe(server.pk, facts=FULL | {"tool.gcc": "/usr/bin/gcc|gcc 13.1.0", "tool.cc": "|"})

    assert after_light == {("gcc", ""), ("make", ""), ("gcc", "aarch64")}
    assert kept == (
        PROBE | {"depth": "light"} | tools | {"cross.aarch64-linux-gnu-gcc": "/usr/bin/x-gcc|gcc 12.2.0"},
    )
    found = Toolchain.objects.order_by("path").values_list("name", "version", "path")
    assert list(found) == [("gcc", "13.1.0", "/usr/bin/gcc")]


def test_an_unwell_server_is_degraded_with_what_to_do_and_well_again() -> None:
    server = make_server()
    light = {"depth": "light", "util.git": "1"}

    apply_probe(server.pk, facts=PROBE | light | {"disk.available_kb": "1000"})
    full = row(server, "status", "status_reason")
    apply_probe(server.pk, facts=PROBE | {"depth": "light"})
    gitless = row(server, "status", "status_reason")
    apply_probe(server.pk, facts=PROBE | light)

    assert full == ("degraded", "Only 1 MB of its disk are free: make room.")
    assert gitless[0] == "degraded"
    assert "git" in str(gitless[1])
    assert row(server, "status", "status_reason") == ("online", "It is well again.")
    assert [change[:2] for change in changes(server)] == [("online", "degraded"), ("degraded", "online")]


def probe_after(server: BuildServer, seconds: float, **seen: Any) -> str:
    """The status after a probe so long after the last one: facts, and perhaps `latency_ms`."""
    last = timezone.now() - timedelta(seconds=seconds)
    BuildServer.objects.filter(pk=server.pk, last_health_check__isnull=False).update(last_health_check=last)
    latency_ms = seen.pop("latency_ms", None)
    apply_probe(server.pk, facts=PROBE | {"depth": "light", "util.git": "1"} | seen, latency_ms=latency_ms)
    return BuildServer.objects.values_list("status", flat=True).get(pk=server.pk)


def test_what_comes_and_goes_must_be_seen_in_probes_that_are_apart() -> None:
    server = make_server()
    short, enough = {"mem.MemAvailable_kb": "1000000"}, {"mem.MemAvailable_kb": "9000000"}

    at_once = [probe_after(server, 0, **short) for _ in range(4)]
    apart = [probe_after(server, 45, **short) for _ in range(2)]
    told = row(server, "status_reason", "status_changed_by")
    back = [probe_after(server, 45, **enough) for _ in range(3)]

    assert at_once == ["online"] * 4
    assert apart == ["online", "degraded"]
    assert told == (
        "Its memory is 94% in use; over 85% it takes no builds, and at 80% it counts as well again: run fewer "
        "builds at once, or raise its limit.",
        "",
    )
    assert back == ["degraded", "degraded", "online"]


def _stalls(name: str, percent: float) -> dict[str, Any]:
    return {f"psi.{name}": f"some avg10=0.00 avg60={percent:.2f} avg300=0.00 total=0"}


NOW = 1_800_000_000.0
# How each reading comes in, and past which value it is too bad, between which nothing changes, and how many probes
# in a row it takes. These numbers are what README and pages promise: whoever changes one changes this on purpose.
READINGS: dict[str, tuple[Callable[[float], dict[str, Any]], float, float, int]] = {
    "clock": (lambda value: {"time": f"{NOW - value:.0f}"}, 300, 120, 1),
    "clock that goes before": (lambda value: {"time": f"{NOW + value:.0f}"}, 300, 120, 1),
    "latency": (lambda value: {"latency_ms": value}, 3000, 1500, 3),
    "load": (lambda value: {"load": f"{8 * value:.2f} 0 0"}, 16, 10, 3),
    "memory": (lambda value: {"mem.MemAvailable_kb": f"{16777216 * (1 - value / 100):.0f}"}, 85, 80, 3),
    "memory_stall": (lambda value: _stalls("memory", value), 40, 15, 3),
    "disk_stall": (lambda value: _stalls("io", value), 90, 60, 3),
    "storage": (lambda value: {"disk.available_kb": f"{104857600 * (1 - value / 100):.0f}"}, 85, 80, 1),
    "free_storage": (
        lambda value: {"disk.available_kb": f"{value * 1024:.0f}", "disk.total_kb": f"{5 << 20}"},
        1024,
        2048,
        1,
    ),
    "inodes": (
        lambda value: {"disk.inodes_free": f"{value:.0f}", "disk.inodes_total": "999999"},
        1000,
        2000,
        1,
    ),
}


@pytest.mark.parametrize("name", READINGS)
@time_machine.travel(NOW, tick=False)
def test_every_reading_has_two_thresholds_through_which_a_probe_degrades_and_restores(name: str) -> None:
    reading, enter, leave, probes = READINGS[name]
    worse = 1 if enter > leave else -1
    server = make_server(memory_limit_percent=85, storage_limit_percent=85)

    def probe(value: float) -> list[str]:
        return [probe_after(server, 45, **reading(value)) for _ in range(probes)]

    assert probe(enter) == ["online"] * probes
    assert probe(enter + worse) == [*["online"] * (probes - 1), "degraded"]
    assert probe(enter) == ["degraded"] * probes
    assert probe(leave + worse) == ["degraded"] * probes
    assert probe(leave) == [*["degraded"] * (probes - 1), "online"]
    assert probe(enter) == ["online"] * probes


def test_a_machine_that_was_started_anew_is_judged_anew() -> None:
    server = make_server()
    full = probe_after(server, 45, **{"disk.available_kb": "15000000"})
    lingers = probe_after(server, 45, **{"disk.available_kb": "18000000"})
    rebooted = probe_after(server, 45, **{"disk.available_kb": "18000000", "boot_id": "boot-2"})

    assert (full, lingers, rebooted) == ("degraded", "degraded", "online")


def test_a_sample_keeps_load_and_stalls_for_the_charts() -> None:
    server = make_server()

    apply_probe(
        server.pk, facts=PROBE | {"load": "24.0 1 1", "psi.memory": "some avg10=0.0 avg60=3.50 avg300=0.1"}
    )

    kept = ProbeSample.objects.values_list("load_per_core", "cpu_percent", "memory_stall_percent")
    assert list(kept) == [(3.0, 100.0, 3.5)]


def test_who_named_no_architecture_builds_for_its_own() -> None:
    unnamed, named = make_server(architectures=[]), make_server(architectures=["riscv64"])

    for server in (unnamed, named):
        apply_probe(server.pk, facts=PROBE | {"arch": "arm64"})
    apply_probe(unnamed.pk, facts=PROBE | {"arch": "; rm -rf /"})

    assert (row(unnamed, "architectures"), row(named, "architectures")) == ((["aarch64"],), (["riscv64"],))


def test_a_probe_of_a_machine_that_is_not_trusted_now_is_not_stored() -> None:
    server = make_server(transport="ssh", hostname="h", ssh_username="u", status=ServerStatus.UNKNOWN)

    assert apply_probe(server.pk, facts=PROBE) is False
    assert row(server, "status", "facts") == ("unknown", {})
    assert ProbeSample.objects.count() == 0


def test_the_cause_of_now_is_told_but_never_instead_of_an_alarm() -> None:
    server = make_server(transport="ssh", hostname="h", ssh_username="u", host_key=KEYS[0].line)

    note_failure(server.pk, error=Unreachable("No route."))
    first = row(server, "status", "status_reason")
    note_failure(server.pk, error=LoginRefused("The key is not taken."))
    second = row(server, "status", "status_reason")
    note_failure(server.pk, error=HostKeyMismatch("Another key.", seen=KEYS[1], server_id=str(server.pk)))
    note_failure(server.pk, error=Unreachable("No route."))

    assert (first, second) == (("offline", "No route."), ("offline", "The key is not taken."))
    assert KEYS[1].fingerprint in str(row(server, "status_reason"))
    assert [change[:3] for change in changes(server)] == [("online", "offline", "No route.")]


def test_the_key_of_a_jump_host_is_its_own_matter() -> None:
    jump = make_server(transport="ssh", hostname="j", ssh_username="u", host_key=KEYS[0].line)
    server = make_server(
        transport="ssh", hostname="h", ssh_username="u", host_key=KEYS[0].line, jump_host=jump
    )

    note_failure(server.pk, error=HostKeyMismatch("Another key.", seen=KEYS[1], server_id=str(jump.pk)))

    assert row(jump, "status", "seen_host_key") == ("offline", KEYS[1].line)
    assert row(server, "status", "seen_host_key") == ("offline", "")
    assert "jump host" in str(row(server, "status_reason"))


def test_a_helper_that_cannot_work_takes_a_server_out_though_it_answers() -> None:
    server = make_server(unreachable_since=timezone.now())

    note_failure(server.pk, error=HelperRefused("full", status=74))

    assert row(server, "status", "unreachable_since") == ("offline", None)
    assert "work folder" in str(row(server, "status_reason"))
