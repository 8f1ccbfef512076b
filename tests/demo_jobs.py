"""The jobs of the demo board whose own pages are looked at: one that runs, and one for each way to end.

Each has its attempts, the phases and events of them, a log that came bit by bit, and what it made. Rows are written
directly, as the domain would leave them. One is hostile in all that its author may choose.
"""

import random
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from buildboard.core.models import User
from jobs.models import Artifact, Attempt, BuildJob
from jobs.states import AttemptStatus, ErrorCategory, JobStatus, Phase, Priority
from servers.models import BuildServer
from tests import demo_logs
from tests.demo_logs import BRANCH, HOSTILE, Part
from tests.demo_story import Story
from tests.factories import make_attempt, make_job
from tests.jobs.log_writing import write_log

LINUX = "https://git.example.org/linux.git"
GATEWAY = "https://git.example.org/edge-gateway.git"
FAILED_MESSAGE = "The build command failed with exit code 2."
_CONNECTED_SECONDS, _CHECKED_OUT_SECONDS, _COLLECTED_SECONDS = 1.4, 28, 5.2
_KERNEL = "make -j16 defconfig bzImage modules"
_OF_KERNEL = {"source_repository": LINUX, "target_architecture": "x86_64", "required_toolchain": "gcc-14"}
_FILES = (
    ("build/gateway.elf", 3_481_120),
    ("build/gateway.map", 812_004),
    ("images/edge-gateway-4.2.img.zst", 61_551_833),
    ("reports/ctest.xml", 4_211),
)


@dataclass(frozen=True)
class Scene:
    """What the jobs are made of: chance, the moment, who submits and what happens."""

    chance: random.Random
    now: datetime
    person: User
    story: Story

    def ago(self, seconds: float) -> datetime:
        """So long before the moment."""
        return self.now - timedelta(seconds=seconds)

    def commit(self) -> str:
        """The next id of a commit."""
        return f"{self.chance.getrandbits(160):040x}"


def submitted(scene: Scene, status: str = JobStatus.QUEUED, **fields: Any) -> BuildJob:
    """A job of the scene's person in this state, with what it was submitted as; the event of that is told."""
    spec = {
        name: fields[name]
        for name in ("source_repository", "branch", "target_architecture", "required_toolchain")
        if name in fields
    }
    fields.setdefault("created_by", scene.person)
    fields["spec"] = {**spec, "commit_hash": "HEAD", **fields.get("spec", {})}
    job = make_job(status, **fields)
    scene.story.tell(job, "submitted", at=job.created_at, actor=fields["created_by"].username)
    return job


def attempted(
    scene: Scene,
    job: BuildJob,
    status: AttemptStatus = AttemptStatus.RUNNING,
    *,
    server: BuildServer,
    started: datetime,
    ended: datetime | None = None,
    **fields: Any,
) -> Attempt:
    """The job's next attempt, as far as its building or, where it completed, through all four phases."""
    claimed = started - timedelta(seconds=_CONNECTED_SECONDS)
    fields.setdefault("phase", Phase.COLLECTING if status == AttemptStatus.COMPLETED else Phase.BUILDING)
    attempt = make_attempt(
        job,
        status,
        server=server,
        server_name=server.name,
        created_at=claimed,
        started_at=started,
        completed_at=ended,
        resolved_commit=job.resolved_commit,
        **fields,
    )
    told: dict[str, Any] = {"attempt": attempt.number, "server": server.name}
    scene.story.tell(job, "claimed", at=claimed, **told)
    scene.story.tell(job, "started", at=started, **told)
    building_at = started + timedelta(seconds=_CHECKED_OUT_SECONDS)
    scene.story.tell(job, "phase", at=building_at, attempt=attempt.number, phase=str(Phase.BUILDING))
    if ended and attempt.phase == Phase.COLLECTING:
        collecting_at = ended - timedelta(seconds=_COLLECTED_SECONDS)
        scene.story.tell(job, "phase", at=collecting_at, attempt=attempt.number, phase=str(Phase.COLLECTING))
    return attempt


def _begun(
    scene: Scene, status: str, *, server: BuildServer, started: datetime, waited: float, **fields: Any
) -> BuildJob:
    """A job that was begun on this server after so many seconds in the queue."""
    return submitted(
        scene,
        status,
        resolved_commit=scene.commit(),
        server=server,
        server_name=server.name,
        created_at=started - timedelta(seconds=waited),
        started_at=started,
        **{"attempts": 1, **fields},
    )


def _end(scene: Scene, job: BuildJob, server: BuildServer, **fields: Any) -> Attempt:
    """The job's last attempt, which ended as the job did; the event of that is told."""
    started, ended = job.started_at, job.completed_at
    assert started is not None
    assert ended is not None
    attempt = attempted(
        scene,
        job,
        AttemptStatus(job.status),
        server=server,
        started=started,
        ended=ended,
        exit_code=job.exit_code,
        error_category=job.error_category,
        error_message=job.error_message,
        **fields,
    )
    status = str(job.status)
    scene.story.tell(job, status, at=ended, reason=job.error_message, to_state=status, attempt=attempt.number)
    return attempt


def make_running(scene: Scene, server: BuildServer, *, seconds: float, **fields: Any) -> BuildJob:
    """A kernel that has been built for so long; `fields` are of its attempt."""
    started = scene.ago(seconds)
    job = _begun(
        scene,
        JobStatus.RUNNING,
        server=server,
        started=started,
        waited=12,
        branch="master",
        progress=10,
        spec={"build_command": _KERNEL},
        **_OF_KERNEL,
    )
    attempt = attempted(scene, job, server=server, started=started, **fields)
    _keep_log(
        attempt,
        demo_logs.begin(repository=LINUX, branch="master", commit=job.resolved_commit),
        demo_logs.kernel(scene.chance, seconds=seconds, lines=3600),
    )
    return job


def make_failed(scene: Scene, first: BuildServer, second: BuildServer) -> BuildJob:
    """A kernel that does not compile, on its second attempt: the server of the first was restarted."""
    ended, seconds = scene.ago(64), 552
    started = ended - timedelta(seconds=seconds)
    job = _begun(
        scene,
        JobStatus.FAILED,
        server=second,
        started=started,
        waited=260,
        branch="linux-next",
        priority=Priority.HIGH,
        completed_at=ended,
        attempts=2,
        max_attempts=2,
        exit_code=2,
        error_category=ErrorCategory.EXIT_CODE,
        error_message=FAILED_MESSAGE,
        spec={"build_command": _KERNEL, "environment": {"CC": "gcc-14"}, "priority": "high"},
        **_OF_KERNEL,
    )
    _lose(scene, job, first, started=started - timedelta(seconds=240), seconds=190)
    _keep_log(
        _end(scene, job, second),
        demo_logs.begin(repository=LINUX, branch="linux-next", commit=job.resolved_commit),
        demo_logs.kernel(scene.chance, seconds=seconds - 1, lines=4400),
        demo_logs.compile_error(seconds=seconds - 1),
    )
    return job


def _lose(scene: Scene, job: BuildJob, server: BuildServer, *, started: datetime, seconds: float) -> None:
    ended = started + timedelta(seconds=seconds)
    message = "The build server was restarted while the build ran."
    attempt = attempted(
        scene,
        job,
        AttemptStatus.LOST,
        server=server,
        started=started,
        ended=ended,
        error_category=ErrorCategory.LOST,
        error_message=message,
    )
    scene.story.tell(job, "requeued", at=ended, reason=message, to_state="queued", attempt=1)
    _keep_log(
        attempt,
        demo_logs.begin(repository=LINUX, branch=job.branch, commit=job.resolved_commit),
        demo_logs.kernel(scene.chance, seconds=seconds, lines=900),
    )


def make_completed(scene: Scene, server: BuildServer) -> BuildJob:
    """A firmware that was built and tested, and the files that it made."""
    ended = scene.ago(24)
    job = _begun(
        scene,
        JobStatus.COMPLETED,
        server=server,
        started=ended - timedelta(seconds=458),
        waited=41,
        source_repository=GATEWAY,
        branch="release/4.2",
        target_architecture="aarch64",
        completed_at=ended,
        exit_code=0,
        progress=100,
        spec={"build_command": "cmake --build . && ctest", "artifact_paths": ["build", "images", "reports"]},
    )
    attempt = _end(scene, job, server)
    _keep_log(
        attempt,
        demo_logs.begin(repository=GATEWAY, branch=job.branch, commit=job.resolved_commit),
        demo_logs.firmware(),
    )
    _keep_files(scene, attempt, _FILES)
    return job


def make_cancelled(scene: Scene) -> BuildJob:
    """One that was cancelled before it began."""
    asked = scene.ago(700)
    job = submitted(
        scene,
        JobStatus.CANCELLED,
        source_repository="https://git.example.org/meta-board.git",
        branch="kirkstone",
        target_architecture="armv7",
        created_at=scene.ago(1540),
        completed_at=asked,
        cancel_requested_by="sam",
        cancel_requested_at=asked,
        error_category=ErrorCategory.CANCELLED,
    )
    reason = "Scarthgap is built instead."
    scene.story.tell(job, "cancelled", at=asked, actor="sam", reason=reason, to_state="cancelled")
    return job


def make_hostile(scene: Scene, server: BuildServer) -> BuildJob:
    """One whose author tries to spoil the page with names, output and files; a day old, so that lists show others.

    Its server, too, had such a name then, as no form would take it: a job keeps the name that it ran under.
    """
    server = copy(server)
    server.name = HOSTILE
    started = scene.ago(26 * 3600)
    ended = started + timedelta(seconds=48)
    message = f"{HOSTILE}\n\x1b[31mred\x1b[0m \u202eback to front\u202c " + "endless" * 60
    job = _begun(
        scene,
        JobStatus.FAILED,
        server=server,
        started=started,
        waited=9,
        source_repository=f"https://git.example.org/{HOSTILE}.git",
        branch=BRANCH,
        target_architecture="x86_64",
        completed_at=ended,
        exit_code=1,
        error_category=ErrorCategory.EXIT_CODE,
        error_message=message,
        labels={"evil": HOSTILE},
        spec={"build_command": f"./evil\n# {HOSTILE}\u202e", "environment": {"EVIL": HOSTILE}},
    )
    attempt = _end(scene, job, server, metrics={"artifacts_left_out": [f"{HOSTILE}\u202e: it is a link"]})
    _keep_log(attempt, demo_logs.hostile())
    _keep_files(scene, attempt, [(f"out/{HOSTILE}\x1b[31m\u202e.txt", 1)])
    return job


def _keep_log(attempt: Attempt, *stages: Iterable[Part]) -> None:
    assert attempt.started_at is not None
    for stage in stages:
        for seconds, text in stage:
            write_log(attempt, text.encode(), at=attempt.started_at + timedelta(seconds=seconds))


def _keep_files(scene: Scene, attempt: Attempt, files: Iterable[tuple[str, int]]) -> None:
    """Rows without files behind them: nothing is downloaded from this board."""
    for path, size in files:
        sha256 = f"{scene.chance.getrandbits(256):064x}"
        Artifact.objects.create(attempt=attempt, path=path, size=size, sha256=sha256, storage_key=sha256)
