"""The servers of the demo board: eight of four architectures, most of them busy, with an hour of looks at each.

Rows are written directly, as probes and an operator would leave them. The numbers are the same each time. Those that
come, go or are not trusted are demo_comings.py's.
"""

import math
import random
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from servers.models import BuildServer, ProbeSample, ServerLease, Slot, Toolchain
from servers.states import ServerStatus, TransportKind
from tests.demo_story import Story
from tests.factories import make_server

HOST_KEY_LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGOB1Pn1x0bVYgbcbvPIxNRDuV6uXcLM0AzWEBrTdzmN"
_ADDED_DAYS, _UNWELL_MINUTES, _AWAY_MINUTES = 41, 4, 14
_SAMPLES = 60


@dataclass(frozen=True)
class Spec:
    """One server: how many builds it takes and runs, and its load in percent (CPU, memory, disk)."""

    name: str
    architecture: str
    slots: int
    held: int
    load: tuple[float, float, float]
    status: ServerStatus = ServerStatus.ONLINE
    reason: str = ""
    draining: str = ""


_SPECS = (
    Spec("build-x86-01", "x86_64", 4, 4, (93.0, 71.0, 64.0)),
    Spec("build-x86-02", "x86_64", 4, 4, (78.0, 58.0, 71.0)),
    Spec("build-x86-03", "x86_64", 4, 4, (72.0, 61.0, 55.0)),
    Spec("build-x86-04", "x86_64", 4, 0, (3.0, 12.0, 31.0), draining="Its memory is exchanged on Monday."),
    Spec("build-arm-01", "aarch64", 2, 2, (80.0, 66.0, 73.0)),
    Spec("build-arm-02", "armv7", 2, 1, (52.0, 47.0, 91.0), ServerStatus.DEGRADED, "The disk is 91% full."),
    Spec("build-rv-01", "riscv64", 2, 1, (61.0, 37.0, 44.0)),
    Spec(
        "build-rv-02", "riscv64", 2, 0, (20.0, 30.0, 40.0), ServerStatus.OFFLINE, "No answer for 90 seconds."
    ),
)
_TOOLS = (
    ("gcc", "14.2.0", "/usr/bin/gcc-14"),
    ("gcc", "13.3.0", "/usr/bin/gcc-13"),
    ("clang", "18.1.8", "/usr/bin/clang-18"),
    ("rustc", "1.82.0", "/usr/bin/rustc"),
    ("make", "4.3", "/usr/bin/make"),
)


def make_fleet(chance: random.Random, *, story: Story, now: datetime) -> list[BuildServer]:
    """All of them, their slots taken by nobody yet."""
    return [make_one(spec, chance=chance, story=story, now=now) for spec in _SPECS]


def take_slots(server: BuildServer, chance: random.Random) -> list[uuid.UUID]:
    """Have as many slots held as the server runs builds; the attempts that hold them are still to be made."""
    held = next(spec.held for spec in _SPECS if spec.name == server.name)
    holders = []
    for slot in Slot.objects.filter(server=server).order_by("number")[:held]:
        holders.append(uuid.UUID(int=chance.getrandbits(128), version=4))
        Slot.objects.filter(pk=slot.pk).update(holder=holders[-1], taken_at=server.last_health_check)
    return holders


def _changed_at(spec: Spec, now: datetime) -> datetime:
    minutes = _AWAY_MINUTES if spec.status == ServerStatus.OFFLINE else _UNWELL_MINUTES
    return now - timedelta(minutes=minutes)


def make_one(spec: Spec, *, chance: random.Random, story: Story, now: datetime) -> BuildServer:
    """One of them, whose slots are free, added weeks ago."""
    is_away = spec.status == ServerStatus.OFFLINE
    since = _changed_at(spec, now)
    cpu, memory, storage = spec.load
    server = make_server(
        spec.name,
        transport=TransportKind.SSH,
        hostname=f"{spec.name}.example.org",
        ssh_username="builder",
        host_key=HOST_KEY_LINE,
        architectures=[spec.architecture],
        max_concurrent_builds=spec.slots,
        labels={"disk": "ssd", "kvm": "yes"},
        total_cpu_cores=16,
        total_memory_mb=65536,
        total_storage_gb=1800,
        free_storage_mib=800_000,
        status=spec.status,
        status_reason=spec.reason,
        status_changed_at=since,
        unreachable_since=since if is_away else None,
        last_health_check=since if is_away else now,
        draining=bool(spec.draining),
        draining_reason=spec.draining,
        draining_since=now - timedelta(hours=2) if spec.draining else None,
        draining_by="olga" if spec.draining else "",
        strains=_readings(spec),
        cpu_percent=None if is_away else cpu,
        memory_percent=None if is_away else memory,
        storage_percent=None if is_away else storage,
        facts={"distribution": "Debian GNU/Linux 13", "kernel": "6.12.9", "work_dir": "/build"},
        created_at=now - timedelta(days=_ADDED_DAYS),
    )
    ServerLease.objects.create(server=server, runner="demo", fence=1, until=now + timedelta(days=365))
    for name, version, path in _TOOLS[: 2 + sum(map(ord, spec.name)) % 4]:
        Toolchain.objects.create(server=server, name=name, version=version, path=path, seen_at=now)
    added_at = now - timedelta(days=_ADDED_DAYS)
    story.tell(server, "server_added", at=added_at, actor="olga")
    story.tell(server, "status", at=added_at + timedelta(seconds=9), to_state="online")
    if spec.reason:
        story.tell(server, "status", at=since, to_state=str(spec.status), reason=spec.reason)
    _look_at(server, spec, chance=chance, now=now)
    return server


def _readings(spec: Spec) -> dict[str, dict[str, float]]:
    """What its last probe came to."""
    cpu, memory, storage = spec.load
    values = {
        "memory": memory,
        "storage": storage,
        "free_storage": 18_432.0 * (100 - storage),
        "clock": 0.0,
        "load": cpu / 60,
        "memory_stall": 0.0,
        "latency": 12.0,
    }
    return {
        name: {"holds": name == "storage" and storage > 85, "against": 0, "value": value}
        for name, value in values.items()
    }


def _look_back(server: BuildServer, spec: Spec, *, now: datetime) -> list[ProbeSample]:
    """A sample an hour of the week before: busy by day, less at night, the disk slowly filling."""
    cpu, memory, storage = spec.load
    samples = []
    for hours in range(2, 24 * 7):
        at = now - timedelta(hours=hours)
        swing = 0.65 + 0.35 * math.sin((at.hour - 8) * math.pi / 12)
        samples.append(
            ProbeSample(
                server=server,
                at=at,
                latency_ms=9.0 + 14.0 * swing,
                cpu_percent=cpu * swing,
                memory_percent=memory * (0.7 + 0.3 * swing),
                storage_percent=storage - hours * 0.05,
                load_per_core=cpu / 60 * swing,
            )
        )
    return samples


def _look_at(server: BuildServer, spec: Spec, *, chance: random.Random, now: datetime) -> None:
    """A sample a minute; none since it is away. Each differs a little from the one before, the last is as it is now."""
    first = _AWAY_MINUTES if spec.status == ServerStatus.OFFLINE else 0
    load = list(spec.load)
    samples = []
    for minute in range(first, _SAMPLES + 1):
        cpu, memory, storage = load
        samples.append(
            ProbeSample(
                server=server,
                at=now - timedelta(minutes=minute),
                latency_ms=12.0,
                cpu_percent=cpu,
                memory_percent=memory,
                storage_percent=storage,
                load_per_core=cpu / 60,
            )
        )
        steps = (6.0, 2.0, 0.2)
        load = [
            min(99.0, max(1.0, value + chance.uniform(-step, step)))
            for value, step in zip(load, steps, strict=True)
        ]
    ProbeSample.objects.bulk_create([*samples, *_look_back(server, spec, now=now)])
