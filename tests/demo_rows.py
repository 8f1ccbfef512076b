"""A board full of life for pictures and for tests of pages: servers, jobs in every state, logs, events.

Rows are written directly, as the domain would leave them; nothing runs. Some texts are hostile: markup, control
characters, endless words. The numbers are the same each time.
"""

import random
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from buildboard.core.audit import Actor, record_event
from buildboard.core.auth import create_token
from buildboard.core.heartbeat import beat
from buildboard.core.models import Event, User
from buildboard.core.permissions import Role
from jobs.models import BuildJob
from jobs.states import AttemptStatus, ErrorCategory, JobStatus, Phase, Priority
from servers.models import BuildServer, ProbeSample, ServerLease, Slot, Toolchain
from servers.states import ServerStatus, TransportKind
from tests.factories import make_attempt, make_job, make_server, make_user
from tests.jobs.log_writing import write_log

HOST_KEY_LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGOB1Pn1x0bVYgbcbvPIxNRDuV6uXcLM0AzWEBrTdzmN"
HOSTILE = "<b>bold</b>\x1b[31m\u202e" + "endless" * 30
_NAMES = ("linux", "edge-gateway", "pos-terminal", "chromium-shell", "llvm", "openssl", "u-boot", "busybox")
_BRANCHES = ("main", "master", "linux-next", "feature/ota", "fix/usb", "stable/6.12")
_PASSWORD_ROLES = {"admin": Role.ADMIN, "olga": Role.OPERATOR, "sam": Role.SUBMITTER}
_Spec = tuple[str, list[str], int, int, dict[str, Any]]
_FLEET: tuple[_Spec, ...] = (
    (
        "build-x86-01",
        ["x86_64"],
        4,
        4,
        {"cpu_percent": 93.0, "memory_percent": 71.0, "storage_percent": 64.0},
    ),
    (
        "build-x86-02",
        ["x86_64"],
        4,
        4,
        {"cpu_percent": 84.0, "memory_percent": 58.0, "storage_percent": 71.0},
    ),
    (
        "build-x86-03",
        ["x86_64"],
        4,
        3,
        {"cpu_percent": 72.0, "memory_percent": 61.0, "storage_percent": 55.0},
    ),
    ("build-x86-04", ["x86_64"], 4, 0, {"cpu_percent": 3.0, "memory_percent": 12.0, "draining": True}),
    (
        "build-arm-01",
        ["aarch64"],
        2,
        2,
        {"cpu_percent": 78.0, "memory_percent": 66.0, "storage_percent": 73.0},
    ),
    ("build-arm-02", ["aarch64", "armv7"], 2, 1, {"memory_percent": 81.0, "status": ServerStatus.DEGRADED}),
    (
        "build-rv-01",
        ["riscv64"],
        2,
        1,
        {"cpu_percent": 61.0, "memory_percent": 37.0, "storage_percent": 44.0},
    ),
    ("build-rv-02", ["riscv64"], 2, 0, {"status": ServerStatus.OFFLINE, "status_reason": "no route to host"}),
)
_TOOLS = (("gcc", "14.2.0"), ("gcc", "13.3.0"), ("clang", "18.1.8"), ("rustc", "1.82.0"), ("make", "4.3"))
_SPEC = {
    "source_repository": "https://git.example.org/linux.git",
    "branch": "linux-next",
    "commit_hash": "HEAD",
    "target_architecture": "x86_64",
    "build_command": "make defconfig\nmake -j$BUILD_JOBS bzImage modules",
    "environment": {"CC": "gcc"},
    "required_toolchain": "gcc-14",
    "priority": "high",
}
_LOG_HEAD = (
    "--- checkout\nHEAD is now at 4e1b09c net: take no packet twice\n--- build\n"
    "::group::configure\n  HOSTCC  scripts/basic/fixdep\n  GEN     Makefile\n::endgroup::\n"
)


def fill_board(*, password: str, seed: int = 7) -> dict[str, str]:
    """Fill an empty board; the ids of what pages are shown of, by a word each."""
    chance, now = random.Random(seed), timezone.now()
    people = [make_user(role, username=name, password=password) for name, role in _PASSWORD_ROLES.items()]
    servers = [_server(spec, chance=chance, now=now) for spec in _FLEET]
    beat("runner")
    for number in range(240):
        _past(chance, servers[number % len(servers)], people=people, now=now, number=number)
    running = _running(chance, servers, people=people, now=now)
    queued = _queued(people, now=now)
    failed, cancelled = _failed(servers[0], people[2], now=now), _cancelled(people[2], now=now)
    create_token(people[0], name="ci of the kernel", scopes=["read", "submit"], expires_at=None, actor=_ACTOR)
    create_token(
        people[0],
        name="nightly",
        scopes=["read"],
        expires_at=now + timedelta(days=30),
        actor=_ACTOR,
    )
    return {
        "server": str(servers[2].pk),
        "offline": str(servers[-1].pk),
        "running": str(running.pk),
        "queued": str(queued.pk),
        "failed": str(failed.pk),
        "cancelled": str(cancelled.pk),
        "completed": str(BuildJob.objects.filter(status=JobStatus.COMPLETED).values_list("pk", flat=True)[0]),
    }


_ACTOR = Actor("admin", "page")


def _server(
    spec: tuple[str, list[str], int, int, dict[str, Any]], *, chance: random.Random, now: datetime
) -> BuildServer:
    name, architectures, slots, held, fields = spec
    is_away = fields.get("status") == ServerStatus.OFFLINE
    server = make_server(
        name,
        transport=TransportKind.SSH,
        hostname=f"{name}.example.org",
        ssh_username="builder",
        host_key=HOST_KEY_LINE,
        architectures=architectures,
        max_concurrent_builds=slots,
        labels={"disk": "ssd", "kvm": "yes"},
        total_cpu_cores=16,
        total_memory_mb=65536,
        total_storage_gb=1800,
        free_storage_mib=800_000,
        last_health_check=now - timedelta(minutes=14 if is_away else 0),
        unreachable_since=now - timedelta(minutes=14) if is_away else None,
        status_changed_at=now - timedelta(minutes=14),
        facts={"distribution": "Debian GNU/Linux 13", "kernel": "6.12.9", "work_dir": "/build"},
        **fields,
    )
    ServerLease.objects.create(server=server, runner="demo", fence=1, until=now + timedelta(days=1))
    for name_of_tool, version in _TOOLS[: 2 + sum(map(ord, name)) % 4]:
        Toolchain.objects.create(
            server=server, name=name_of_tool, version=version, path=f"/usr/bin/{name_of_tool}-{version[:2]}"
        )
    record_event("server", subject_id=server.pk, kind="server_added", actor=Actor("olga", "page"))
    record_event(
        "server", subject_id=server.pk, kind="status", from_state="unknown", to_state=str(server.status)
    )
    load = {part: fields.get(f"{part}_percent") or 40.0 for part in ("cpu", "memory", "storage")}
    ProbeSample.objects.bulk_create(
        ProbeSample(
            server=server,
            at=now - timedelta(minutes=minute),
            latency_ms=12.0,
            **{f"{part}_percent": min(99.0, value + chance.uniform(-9, 6)) for part, value in load.items()},
        )
        for minute in range(14 if is_away else 0, 61)
    )
    for slot in Slot.objects.filter(server=server)[:held]:
        Slot.objects.filter(pk=slot.pk).update(holder=uuid.UUID(int=chance.getrandbits(128)), taken_at=now)
    return server


def _past(
    chance: random.Random, server: BuildServer, *, people: list[User], now: datetime, number: int
) -> None:
    """One job that ended in the last day, sooner ones more likely."""
    ended = now - timedelta(seconds=60 + 86_000 * (number / 240) ** 2)
    seconds = chance.uniform(100, 900)
    status = chance.choices([JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED], [90, 8, 2])[0]
    is_failed = status == JobStatus.FAILED
    job = make_job(
        status,
        source_repository=f"https://git.example.org/{chance.choice(_NAMES)}.git",
        branch=chance.choice(_BRANCHES),
        resolved_commit=f"{chance.getrandbits(160):040x}",
        target_architecture=server.architectures[0],
        server=server,
        server_name=server.name,
        created_by=people[number % 3],
        created_at=ended - timedelta(seconds=seconds + chance.uniform(2, 200)),
        started_at=ended - timedelta(seconds=seconds),
        completed_at=ended,
        attempts=1,
        exit_code=2 if is_failed else 0,
        error_category=ErrorCategory.EXIT_CODE if is_failed else "",
        error_message="The build command ended with exit code 2." if is_failed else "",
    )
    attempt = make_attempt(
        job,
        AttemptStatus(status.value),
        server=server,
        server_name=server.name,
        created_at=job.started_at,
        started_at=job.started_at,
        completed_at=ended,
        exit_code=job.exit_code,
    )
    if number < 12:
        write_log(attempt, (_LOG_HEAD + "  CC      net/core/dev.o\n" * 40).encode())


def _running(
    chance: random.Random, servers: list[BuildServer], *, people: list[User], now: datetime
) -> BuildJob:
    """As many as slots are held; the first has a log that goes on."""
    first: BuildJob | None = None
    for server in servers:
        for slot in Slot.objects.filter(server=server, holder__isnull=False):
            started = now - timedelta(seconds=chance.uniform(20, 500))
            job = make_job(
                JobStatus.RUNNING,
                source_repository=f"https://git.example.org/{chance.choice(_NAMES)}.git",
                branch=chance.choice(_BRANCHES),
                target_architecture=server.architectures[0],
                server=server,
                server_name=server.name,
                created_by=people[1],
                created_at=started - timedelta(seconds=30),
                started_at=started,
                progress=chance.randint(8, 92),
                attempts=1,
            )
            attempt = make_attempt(
                job,
                id=slot.holder,
                server=server,
                server_name=server.name,
                created_at=started,
                started_at=started,
            )
            if first is None:
                first = job
                write_log(attempt, (_LOG_HEAD + "  CC [M]  drivers/net/ethernet/ice_main.o\n" * 300).encode())
    assert first is not None
    return first


def _queued(people: list[User], *, now: datetime) -> BuildJob:
    """Some that wait for a slot, one that nothing fits; the last is given."""
    job = make_job(created_by=people[2])
    for number in range(6):
        job = make_job(
            source_repository=f"https://git.example.org/{_NAMES[number]}.git",
            branch=_BRANCHES[number],
            target_architecture="x86_64" if number % 2 else "aarch64",
            priority=Priority.NORMAL,
            created_by=people[2],
            created_at=now - timedelta(minutes=number),
        )
    make_job(
        source_repository="https://git.example.org/mainframe.git",
        target_architecture="s390x",
        created_at=now - timedelta(minutes=20),
    )
    return job


def _failed(server: BuildServer, person: User, *, now: datetime) -> BuildJob:
    """The one whose page is shown: two attempts, a compile error, hostile names."""
    job = make_job(
        JobStatus.FAILED,
        source_repository="https://git.example.org/linux.git",
        branch="linux-next" + HOSTILE[:80],
        resolved_commit="4e1b09c" + "0" * 33,
        target_architecture="x86_64",
        server=server,
        server_name=server.name,
        created_by=person,
        created_at=now - timedelta(minutes=21),
        started_at=now - timedelta(minutes=20),
        completed_at=now - timedelta(seconds=40),
        attempts=2,
        exit_code=2,
        error_category=ErrorCategory.EXIT_CODE,
        error_message="The build command ended with exit code 2.\n" + HOSTILE,
        spec=_SPEC,
    )
    ends = (now - timedelta(minutes=12), now - timedelta(seconds=40))
    for number, end in enumerate(ends, start=1):
        attempt = make_attempt(
            job,
            AttemptStatus.LOST if number == 1 else AttemptStatus.FAILED,
            server=server,
            server_name=server.name,
            created_at=end - timedelta(minutes=7),
            started_at=end - timedelta(minutes=6),
            completed_at=end,
            exit_code=None if number == 1 else 2,
            phase=Phase.BUILDING,
            error_category=ErrorCategory.LOST if number == 1 else ErrorCategory.EXIT_CODE,
            error_message="The server restarted." if number == 1 else job.error_message,
        )
        lines = "".join(f"  CC [M]  drivers/net/ethernet/part_{part}.o\n" for part in range(2000))
        error = "ice_main.c:5218:9: \x1b[31merror:\x1b[0m implicit declaration of function\n"
        write_log(attempt, (_LOG_HEAD + lines + error + HOSTILE + "\nmake: *** [all] Error 2\n").encode())
    _events(job, now=now)
    return job


def _events(job: BuildJob, *, now: datetime) -> None:
    told = (
        ("submitted", 21),
        ("claimed", 20),
        ("started", 20),
        ("requeued", 12),
        ("started", 8),
        ("failed", 1),
    )
    for kind, minutes in told:
        record_event(
            "job",
            subject_id=job.pk,
            kind=kind,
            actor=Actor("sam", "page"),
            data={"attempt": 1, "server": "build-x86-01"},
        )
        newest = Event.objects.order_by("-sequence").first()
        assert newest is not None
        Event.objects.filter(pk=newest.pk).update(at=now - timedelta(minutes=minutes))


def _cancelled(person: User, *, now: datetime) -> BuildJob:
    return make_job(
        JobStatus.CANCELLED,
        branch="before-it-began",
        created_by=person,
        created_at=now - timedelta(minutes=5),
        cancel_requested_by="sam",
        cancel_requested_at=now - timedelta(minutes=4),
    )
