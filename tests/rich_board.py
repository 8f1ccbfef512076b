"""A board full of plausible rows, for looking at pages: jobs in every state, servers well and unwell, a day of history.

Rows are written directly. It asserts nothing.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from buildboard.core.audit import record_event
from buildboard.core.models import Event
from jobs.models import BuildJob
from jobs.states import JobStatus, Priority
from servers.models import BuildServer, ProbeSample, ServerLease, Slot, Toolchain
from servers.states import ServerStatus
from tests.factories import make_attempt, make_job, make_server

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
_ERRORS = (
    "drivers/net/ethernet/intel/ice/ice_main.c:5218:9: error: implicit declaration of function ‘ice_dpll_init_rclk’ "
    "[-Werror=implicit-function-declaration]\n"
    "The command ended with exit code 2 after 9 minutes; 3 warnings came before it.",
    "The build ran into its time limit of 50 s; the last output came 12 s before: [ 41%] Linking kernel.elf",
    "fatal: unable to access 'https://git.example/board.git/': Could not resolve host: git.example",
    f"{HOSTILE}\n\x1b[31mred\x1b[0m \u202eback to front\u202c",
)


@dataclass(frozen=True)
class Kind:
    """A repository as the board knows it, and how long its builds take, in minutes."""

    name: str
    branch: str
    architecture: str
    minutes: float


_KINDS = (
    Kind("linux", "master", "x86_64", 9),
    Kind("edge-gateway", "release/4.2", "aarch64", 8),
    Kind("llvm", "main", "x86_64", 29),
    Kind("meta-board", "kirkstone", "armv7", 23),
    Kind("pos-terminal", "fix/usb-reset-after-suspend", "riscv64", 6),
    Kind("chromium-shell", "main", "x86_64", 17),
)
_SERVERS = (
    ("build-x86-01", "x86_64", 4, 4, ServerStatus.ONLINE, 93.0),
    ("build-x86-02", "x86_64", 4, 4, ServerStatus.ONLINE, 84.0),
    ("build-x86-03", "x86_64", 4, 3, ServerStatus.ONLINE, 72.0),
    ("build-x86-04", "x86_64", 4, 0, ServerStatus.ONLINE, 3.0),
    ("build-arm-01", "aarch64", 2, 2, ServerStatus.ONLINE, 88.0),
    ("build-arm-02", "armv7", 2, 1, ServerStatus.DEGRADED, 52.0),
    ("build-rv-01", "riscv64", 2, 1, ServerStatus.ONLINE, 61.0),
    ("build-rv-02", "riscv64", 2, 0, ServerStatus.OFFLINE, None),
)


def fill(*, now: datetime | None = None, seed: int = 7) -> None:
    """Eight servers, two days of finished jobs, running and waiting ones, and what happened."""
    now, chance = now or timezone.now(), random.Random(seed)  # plausible, not secret
    servers = _make_servers(now)
    _make_history(servers, now=now, chance=chance)
    _make_running(servers, now=now, chance=chance)
    _make_queue(now)
    _make_events(servers, now=now)


def _make_servers(now: datetime) -> dict[str, BuildServer]:
    servers = {}
    for name, architecture, slots, held, status, load in _SERVERS:
        server = make_server(
            name,
            architectures=[architecture],
            max_concurrent_builds=slots,
            status=status,
            cpu_percent=load,
            memory_percent=load and load / 2,
            storage_percent=31.0,
            total_cpu_cores=16,
            total_memory_mb=65536,
            total_storage_gb=900,
            last_health_check=now,
            draining=name == "build-x86-04",
        )
        ServerLease.objects.create(server=server, runner="rich", fence=1, until=now + timedelta(days=365))
        for slot in Slot.objects.filter(server=server)[:held]:
            Slot.objects.filter(pk=slot.pk).update(holder=make_attempt(status="released").pk, taken_at=now)
        Toolchain.objects.create(server=server, name="gcc", version="13.2.0", path="/usr/bin/gcc")
        ProbeSample.objects.bulk_create(
            ProbeSample(server=server, at=now - timedelta(seconds=30 * number), cpu_percent=load)
            for number in range(60)
            if load is not None
        )
        servers[name] = server
    BuildJob.objects.all().delete()  # those of the attempts that held the slots
    return servers


def _of(architecture: str, servers: dict[str, BuildServer]) -> list[BuildServer]:
    return [server for server in servers.values() if architecture in server.architectures]


def _fields(kind: Kind, chance: random.Random) -> dict[str, object]:
    return {
        "source_repository": f"https://git.example/{kind.name}.git",
        "branch": kind.branch,
        "target_architecture": kind.architecture,
        "resolved_commit": f"{chance.getrandbits(160):040x}",
    }


def _make_history(servers: dict[str, BuildServer], *, now: datetime, chance: random.Random) -> None:
    jobs = []
    for number in range(600):
        kind = chance.choice(_KINDS)
        ended = now - timedelta(minutes=chance.uniform(0.5, 24 * 60 if number % 3 else 48 * 60))
        ran = timedelta(minutes=kind.minutes * chance.uniform(0.8, 1.4))
        waited = timedelta(seconds=chance.expovariate(1 / 90))
        status = chance.choices(("completed", "failed", "cancelled"), (90, 8, 2))[0]
        server = chance.choice(_of(kind.architecture, servers))
        jobs.append(
            BuildJob(
                **_fields(kind, chance),
                status=status,
                server=server,
                server_name=server.name,
                attempts=chance.choice((1, 1, 1, 2)),
                started_at=ended - ran,
                completed_at=ended,
                created_at=ended - ran - waited,
                progress=100,
                error_message=chance.choice(_ERRORS) if status == "failed" else "",
                error_category="exit_code" if status == "failed" else "",
                exit_code=2 if status == "failed" else 0,
            )
        )
    BuildJob.objects.bulk_create(jobs)


def _make_running(servers: dict[str, BuildServer], *, now: datetime, chance: random.Random) -> None:
    for kind, share in zip(_KINDS, (0.71, 0.38, 1.14, 0.54, 0.12, 0.0), strict=True):
        server = _of(kind.architecture, servers)[0]
        started = now - timedelta(minutes=kind.minutes * share * 1.05)
        job = make_job(
            JobStatus.RUNNING if share else JobStatus.CLAIMED,
            **_fields(kind, chance),
            server=server,
            server_name=server.name,
            attempts=2 if kind.name == "llvm" else 1,
            started_at=started if share else None,
            created_at=started - timedelta(seconds=40),
            progress=10 if share else 0,
        )
        make_attempt(
            job, "running" if share else "claimed", server=server, server_name=server.name, started_at=started
        )


def _make_queue(now: datetime) -> None:
    waiting: tuple[tuple[str, str, str, Priority, dict[str, Any]], ...] = (
        ("linux", "linux-next", "x86_64", Priority.HIGH, {}),
        ("chromium-shell", "main", "x86_64", Priority.NORMAL, {}),
        ("edge-gateway", "feature/ota", "aarch64", Priority.NORMAL, {}),
        ("seL4-port", "main", "riscv64", Priority.NORMAL, {"required_toolchain": "clang-19"}),
        (HOSTILE, HOSTILE[:60], "armv7", Priority.LOW, {}),
        ("llvm", "release/21", "x86_64", Priority.LOW, {}),
        ("pos-terminal", "fix/usb", "aarch64", Priority.LOW, {}),
        ("linux", "stable/6.12", "s390x", Priority.LOW, {}),
        ("llvm", "retry-me", "x86_64", Priority.LOW, {"not_before": now + timedelta(minutes=2)}),
    )
    for number, (name, branch, architecture, priority, more) in enumerate(waiting):
        make_job(
            source_repository=f"https://git.example/{name}",
            branch=branch,
            target_architecture=architecture,
            priority=priority,
            created_at=now - timedelta(seconds=372 - 31 * number),
            **more,
        )


def _make_events(servers: dict[str, BuildServer], *, now: datetime) -> None:
    ended = BuildJob.objects.finished().order_by("-completed_at")[:10]
    for job in reversed(ended):
        record_event(
            "job",
            subject_id=job.pk,
            kind=job.status,
            reason=job.error_message,
            to_state=job.status,
            data={"attempt": job.attempts},
        )
        _set_time(job.completed_at or now)
    for name, state, reason in (
        ("build-arm-02", "degraded", "The disk is 91% full."),
        ("build-rv-02", "offline", "It did not answer for 90 seconds."),
    ):
        record_event("server", subject_id=servers[name].pk, kind="status", to_state=state, reason=reason)
        _set_time(now - timedelta(seconds=20))


def _set_time(at: datetime) -> None:
    newest = Event.objects.order_by("-sequence").values_list("pk", flat=True)[0]
    Event.objects.filter(pk=newest).update(at=at)
