"""A board in the test's own process: a local server, a git repository, a runner in a thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connections

from buildboard.core.audit import Actor
from buildboard.core.machine import machine_id
from jobs.execution.follow import ServerFollower
from jobs.execution.runner import Runner
from jobs.lifecycle import submit_job
from jobs.logs import store
from jobs.models import Attempt, BuildJob
from jobs.states import JOB_TERMINAL
from jobs.submission import fields_of, read_submission
from servers.models import BuildServer, Toolchain
from tests.factories import make_server
from tests.waiting import wait_for

BUILD_SECONDS = 60.0


def make_local_server(work_dir: Path, *, is_known: bool = True, **fields: Any) -> BuildServer:
    """This machine as a build server with a work dir of its own.

    Its tools were asked for a moment ago, unless it is not known: that takes over a second of CPU.
    """
    server = make_server(machine_id=machine_id(), work_dir=str(work_dir), **{"name": "local", **fields})
    if is_known:
        Toolchain.objects.create(server=server, name="git", version="2.40", path="/usr/bin/git")
    return server


def submit(repository: Path | str, **fields: Any) -> BuildJob:
    """Submit a build of a repository of this machine, checked as the API does."""
    given = {"source_repository": str(repository), "target_architecture": "x86_64", **fields}
    return submit_job(fields_of(read_submission(given)), actor=Actor("ann", "api"), user=None)


@contextmanager
def running_runner() -> Iterator[Runner]:
    """A runner that works in a thread until the end of the block."""
    runner = Runner()

    def work() -> None:
        try:
            runner.run(seconds=300)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work, name="runner-under-test")
    thread.start()
    try:
        yield runner
    finally:
        runner.stop()
        thread.join(20)
        assert not thread.is_alive()


def end_follower(follower: ServerFollower) -> None:
    """The end of one that worked by hand: it is no thread."""
    follower.stop()
    follower.close(wait=True)


def wait_until_finished(job: BuildJob, *, seconds: float = BUILD_SECONDS) -> BuildJob:
    """The job in a terminal state."""

    def is_finished() -> bool:
        job.refresh_from_db()
        return job.status in JOB_TERMINAL

    wait_for(is_finished, what=f"job {job.pk} finished", seconds=seconds)
    return job


def log_of(attempt: Attempt) -> bytes:
    """Every kept byte of an attempt's log."""
    attempt.refresh_from_db()
    return b"".join(store.read_bytes(attempt, start=0, end=attempt.log_size))
