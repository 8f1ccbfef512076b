"""A board full of life for pictures, for tests of pages and for their benchmark.

Twelve servers, jobs in every state, a day of history and what happened in it. Rows are written directly, as the domain
would leave them; nothing runs, and it asserts nothing. The numbers are the same each time. The servers are
demo_fleet.py's and demo_comings.py's, the jobs whose own pages are looked at demo_jobs.py's.
"""

import random
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.auth import create_token
from buildboard.core.heartbeat import beat
from buildboard.core.models import User
from buildboard.core.permissions import Role
from jobs.models import Attempt, BuildJob
from jobs.states import AttemptStatus, ErrorCategory, JobStatus, Phase, Priority
from servers.models import BuildServer
from tests import demo_comings
from tests.demo_fleet import make_fleet, take_slots
from tests.demo_jobs import (
    Scene,
    attempted,
    make_cancelled,
    make_completed,
    make_failed,
    make_hostile,
    make_running,
    submitted,
)
from tests.demo_story import Story
from tests.demo_waits import keep_forecast, refuse
from tests.factories import make_user

_ROLES = {"admin": Role.ADMIN, "olga": Role.OPERATOR, "sam": Role.SUBMITTER}
_ADMIN = Actor("admin", "page")
_DAY_SECONDS = 86_400
_LAST_DAY, _DAYS_BEFORE, _A_DAY_BEFORE = 600, 7, 50  # jobs of the last day; days before it, and jobs of each


@dataclass(frozen=True)
class Kind:
    """A repository as the board knows it, its branches, and how long its builds take, in minutes."""

    name: str
    branches: tuple[str, ...]
    architecture: str
    minutes: float

    @property
    def repository(self) -> str:
        """Its address."""
        return f"https://git.example.org/{self.name}.git"


_KINDS = (
    Kind("linux", ("master", "linux-next", "stable/6.12"), "x86_64", 9),
    Kind("llvm", ("main", "release/21"), "x86_64", 24),
    Kind("chromium-shell", ("main",), "x86_64", 14),
    Kind("openssl", ("master", "openssl-3.5"), "x86_64", 4),
    Kind("edge-gateway", ("release/4.2", "feature/ota"), "aarch64", 8),
    Kind("pos-terminal", ("main", "fix/usb"), "aarch64", 6),
    Kind("meta-board", ("kirkstone", "scarthgap"), "armv7", 18),
    Kind("u-boot", ("master",), "riscv64", 3),
)
_FAILURES = (
    (ErrorCategory.EXIT_CODE, 2, "The build command failed with exit code 2."),
    (ErrorCategory.EXIT_CODE, 137, "The build command failed with exit code 137 (ended by SIGKILL)."),
    (ErrorCategory.TIMEOUT, None, "The build was ended on {server}: it printed nothing for 120 s."),
    (
        ErrorCategory.CHECKOUT,
        66,
        "There is no branch {branch} in the repository.\nfatal: couldn't find remote ref refs/heads/{branch}",
    ),
)
# How far the builds are that run, by their usual time; the first is the one whose page is looked at.
_SHARES = (0.71, 1.12, 0.92, 0.54, 0.12, 0.66, 0.83, 0.38, 0.47, 0.05, 0.29, 0.61, 0.75, 0.18, 0.34, 0.58)


def fill_board(*, password: str | None = None, now: datetime | None = None, seed: int = 7) -> dict[str, str]:
    """Fill an empty board; the ids of what pages are shown of, by a word each.

    `password` is of its people `admin`, `olga` and `sam`; without one nobody signs in by form.
    """
    now, chance, story = now or timezone.now(), random.Random(seed), Story()
    people = [make_user(role, username=name, password=password) for name, role in _ROLES.items()]
    scene = Scene(chance, now, person=people[2], story=story)
    beat("runner")
    servers = {server.name: server for server in make_fleet(chance, story=story, now=now)}
    hostile = make_hostile(scene, servers["build-x86-04"])
    _make_history(scene, list(servers.values()), people)
    running = _make_running(scene, list(servers.values()), people)
    queued, blocked = _make_queue(scene, people)
    found = {
        "server": servers["build-x86-03"],
        "offline": servers["build-rv-02"],
        "drained": servers["build-x86-04"],
        "degraded": servers["build-arm-02"],
        "newcomer": demo_comings.make_newcomer(story=story, now=now),
        "quarantined": (suspect := demo_comings.make_suspect(story=story, now=now)),
        "impostor": (impostor := demo_comings.make_impostor(story=story, now=now)),
        "leaving": (leaving := demo_comings.make_leaving(scene)),
        "running": running,
        "queued": queued,
        "blocked": blocked,
        "failed": make_failed(scene, servers["build-x86-01"], servers["build-x86-02"]),
        "cancelled": make_cancelled(scene),
        "completed": make_completed(scene, servers["build-arm-01"]),
        "hostile": hostile,
    }
    refuse(scene, found, servers)
    story.write()
    demo_comings.quarantine(suspect)
    demo_comings.show_other_key(impostor)
    demo_comings.remove(leaving)
    keep_forecast(now)
    return {**{word: str(row.pk) for word, row in found.items()}, "token": _make_tokens(people[0], now=now)}


def _make_tokens(person: User, *, now: datetime) -> str:
    """Two of them; the id of one."""
    month = now + timedelta(days=30)
    create_token(person, name="ci of the kernel", scopes=["read", "submit"], expires_at=None, actor=_ADMIN)
    token, _ = create_token(person, name="nightly", scopes=["read"], expires_at=month, actor=_ADMIN)
    return str(token.pk)


# ---- what ended -------------------------------------------------------------------------------------------


def _make_history(scene: Scene, servers: list[BuildServer], people: list[User]) -> None:
    """The last day, busiest some hours ago, and some of each day before, whose failures are all there."""
    chance = scene.chance
    ages = [120 + _DAY_SECONDS * abs(chance.triangular(-0.15, 0.99, 0.25)) for _ in range(_LAST_DAY)]
    failing = [0.03] * _LAST_DAY
    for day in range(1, _DAYS_BEFORE + 1):
        ages += [(day + chance.random()) * _DAY_SECONDS for _ in range(_A_DAY_BEFORE)]
        failing += [0.3] * _A_DAY_BEFORE
    jobs = [
        _ended(scene, servers, chance.choice(people), age=age, failing=share)
        for age, share in zip(ages, failing, strict=True)
    ]
    BuildJob.objects.bulk_create(jobs)
    Attempt.objects.bulk_create(_attempt_of(job) for job in jobs)
    for job in jobs:
        at = job.completed_at
        assert at is not None
        scene.story.tell(
            job, str(job.status), at=at, reason=job.error_message, to_state=str(job.status), attempt=1
        )


def _ended(scene: Scene, servers: list[BuildServer], person: User, *, age: float, failing: float) -> BuildJob:
    """One job that ended so many seconds ago, on a server of its kind."""
    chance = scene.chance
    kind = chance.choice(_KINDS)
    server = chance.choice([one for one in servers if kind.architecture in one.architectures])
    status = chance.choices(
        (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED), (0.98 - failing, failing, 0.02)
    )[0]
    category, exit_code, message = chance.choice(_FAILURES)
    branch = chance.choice(kind.branches)
    has_failed = status == JobStatus.FAILED
    ended = scene.ago(age)
    ran = timedelta(minutes=kind.minutes * chance.uniform(0.85, 1.2))
    waited = timedelta(seconds=chance.expovariate(1 / 70))
    return BuildJob(
        id=uuid.UUID(int=chance.getrandbits(128), version=4),
        source_repository=kind.repository,
        branch=branch,
        target_architecture=kind.architecture,
        resolved_commit=scene.commit(),
        status=status,
        server=server,
        server_name=server.name,
        created_by=person,
        attempts=1,
        created_at=ended - ran - waited,
        started_at=ended - ran,
        completed_at=ended,
        progress=100,
        exit_code=exit_code if has_failed else 0 if status == JobStatus.COMPLETED else None,
        error_category=category if has_failed else "",
        error_message=message.format(server=server.name, branch=branch) if has_failed else "",
    )


def _attempt_of(job: BuildJob) -> Attempt:
    return Attempt(
        job=job,
        number=1,
        status=AttemptStatus(job.status),
        phase=Phase.COLLECTING if job.status == JobStatus.COMPLETED else Phase.BUILDING,
        server=job.server,
        server_name=job.server_name,
        created_at=job.started_at or job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        cleaned_at=job.completed_at,
        exit_code=job.exit_code,
        error_category=job.error_category,
        error_message=job.error_message,
    )


# ---- what runs and waits ----------------------------------------------------------------------------------


def _make_running(scene: Scene, servers: list[BuildServer], people: list[User]) -> BuildJob:
    """As many as slots are held; the one whose page is looked at."""
    shown: BuildJob | None = None
    shares = iter(_SHARES)
    for server in sorted(servers, key=lambda one: one.name != "build-x86-03"):
        kinds = [kind for kind in _KINDS if kind.architecture in server.architectures]
        for number, holder in enumerate(take_slots(server, scene.chance)):
            kind = kinds[number % len(kinds)]
            seconds = kind.minutes * 61 * next(shares)
            if shown is None:
                shown = make_running(scene, server, seconds=seconds, id=holder)
                continue
            started = scene.ago(seconds)
            job = submitted(
                scene,
                JobStatus.RUNNING,
                source_repository=kind.repository,
                branch=kind.branches[number % len(kind.branches)],
                target_architecture=kind.architecture,
                resolved_commit=scene.commit(),
                server=server,
                server_name=server.name,
                created_by=people[number % len(people)],
                created_at=started - timedelta(seconds=40),
                started_at=started,
                progress=10,
                attempts=1,
            )
            attempted(scene, job, server=server, started=started, id=holder)
    assert shown is not None
    return shown


def _make_queue(scene: Scene, people: list[User]) -> tuple[BuildJob, BuildJob]:
    """One that waits for a slot and one that nothing fits, of several; the last waits before its next try."""
    low, normal = Priority.LOW, Priority.NORMAL
    waiting: tuple[tuple[str, str, str, Priority, dict[str, Any]], ...] = (
        ("linux", "linux-next", "x86_64", Priority.HIGH, {}),
        ("chromium-shell", "main", "x86_64", normal, {}),
        ("edge-gateway", "feature/ota", "aarch64", normal, {}),
        ("seL4-port", "main", "riscv64", normal, {"required_toolchain": "clang-19"}),
        ("llvm", "release/21", "x86_64", low, {}),
        ("pos-terminal", "fix/usb", "aarch64", low, {}),
        ("linux", "stable/6.12", "x86_64", low, {}),
        ("openssl", "master", "s390x", low, {}),
        ("openssl", "openssl-3.5", "x86_64", low, {"not_before": scene.now + timedelta(minutes=2)}),
    )
    jobs = [
        submitted(
            scene,
            source_repository=f"https://git.example.org/{name}.git",
            branch=branch,
            target_architecture=architecture,
            priority=priority,
            created_at=scene.ago(372 - 31 * number),
            created_by=people[number % len(people)],
            **more,
        )
        for number, (name, branch, architecture, priority, more) in enumerate(waiting)
    ]
    return jobs[1], jobs[3]
