"""A build from submission to result over the local transport: real git, real processes, the real runner."""

import os
import time
from pathlib import Path

import pytest
from django.conf import LazySettings

from buildboard.core.audit import Actor
from buildboard.core.models import Event
from jobs.artifacts import read_artifact
from jobs.lifecycle import request_cancel
from jobs.models import Attempt
from jobs.states import AttemptStatus, ErrorCategory, JobStatus
from servers.connections import open_client
from servers.frames import RunLimits
from servers.models import Slot
from tests.jobs.board import (
    log_of,
    make_local_server,
    running_runner,
    submit,
    wait_until_finished,
)
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_build_completes_with_its_log_commit_and_events(repository: Path, tmp_path: Path) -> None:
    make_local_server(tmp_path / "work")
    with running_runner():
        job = wait_until_finished(submit(repository, build_command="cat README; echo done"))

        attempt = job.attempt_set.get()
        assert (job.status, job.exit_code, job.error_message) == (JobStatus.COMPLETED, 0, "")
        assert log_of(attempt).endswith(b"hello\ndone\n--- finished: exit code 0\n")
        assert len(job.resolved_commit) == 40
        assert not Slot.objects.filter(holder__isnull=False).exists()
        kinds = list(Event.objects.filter(subject_id=str(job.pk)).values_list("kind", flat=True))
        assert [kind for kind in kinds if kind != "phase"] == ["submitted", "claimed", "started", "completed"]
        wait_for(lambda: not list((tmp_path / "work" / "jobs").iterdir()), what="its directory is gone")


def test_failing_build_says_why(repository: Path, tmp_path: Path) -> None:
    make_local_server(tmp_path / "work")
    with running_runner():
        job = wait_until_finished(submit(repository, build_command="echo broken >&2; exit 3"))

    assert (job.status, job.exit_code, job.error_category) == (JobStatus.FAILED, 3, ErrorCategory.EXIT_CODE)
    assert job.error_message == "The build command failed with exit code 3."
    assert job.result is not None
    assert job.result["output"].endswith("broken\n--- finished: exit code 3\n")
    assert job.attempts == 1


def test_branch_that_is_not_there_is_a_checkout_error(repository: Path, tmp_path: Path) -> None:
    make_local_server(tmp_path / "work")
    with running_runner():
        job = wait_until_finished(submit(repository, branch="nowhere", build_command="true"))

    assert (job.status, job.error_category) == (JobStatus.FAILED, ErrorCategory.CHECKOUT)
    assert "nowhere" in job.error_message


def test_cancel_of_a_running_build_ends_it_and_frees_its_slot(repository: Path, tmp_path: Path) -> None:
    make_local_server(tmp_path / "work")
    with running_runner():
        job = submit(repository, build_command="echo started; sleep 600")
        wait_for(lambda: Attempt.objects.filter(log_size__gt=0, phase="building").exists(), what="it builds")
        request_cancel(job, actor=Actor("ann", "api"))
        wait_until_finished(job)

    assert (job.status, job.error_category) == (JobStatus.CANCELLED, ErrorCategory.CANCELLED)
    assert job.attempt_set.get().status == AttemptStatus.CANCELLED
    assert not Slot.objects.filter(holder__isnull=False).exists()


def test_timeout_ends_a_build(repository: Path, tmp_path: Path) -> None:
    make_local_server(tmp_path / "work")
    with running_runner():
        job = wait_until_finished(submit(repository, build_command="sleep 600", timeout_seconds=2))

    assert (job.status, job.error_category) == (JobStatus.FAILED, ErrorCategory.TIMEOUT)


def test_artifacts_are_kept_and_what_is_missing_is_named(
    repository: Path, tmp_path: Path, settings: LazySettings
) -> None:
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    make_local_server(tmp_path / "work")
    with running_runner():
        command = (
            "mkdir -p out/deep; echo one >out/a.txt; echo two >out/deep/b.txt; ln -s /etc/passwd out/c.txt"
        )
        job = wait_until_finished(
            submit(repository, build_command=command, artifact_paths=["out/**", "*.deb"])
        )

    attempt = job.attempt_set.get()
    assert [(artifact.path, artifact.size) for artifact in attempt.artifacts.all()] == [
        ("out/a.txt", 4),
        ("out/deep/b.txt", 4),
    ]
    assert b"".join(read_artifact(attempt.artifacts.all()[0], start=0, end=4)) == b"one\n"
    assert attempt.metrics == {"artifacts_left_out": ["*.deb: no file has such a name"]}
    assert job.status == JobStatus.COMPLETED


def test_runs_that_ended_long_ago_and_nobody_asked_about_are_cleared_away(tmp_path: Path) -> None:
    server = make_local_server(tmp_path / "work")
    client = open_client(server)
    ids = {"old": "11111111-1111-4111-8111-111111111111", "new": "22222222-2222-4222-8222-222222222222"}
    for attempt_id in ids.values():
        client.submit(attempt_id, script=b"exit 0", environment={}, limits=RunLimits(disk_floor_kib=0))
    jobs = tmp_path / "work" / "jobs"
    wait_for(lambda: all((jobs / one / "exit").exists() for one in ids.values()), what="both ended")
    long_ago = time.time() - 20 * 86_400
    record = jobs / ids["old"] / "exit"
    reason, code, size, _, left = record.read_text().split()
    record.chmod(0o600)
    record.write_text(f"{reason} {code} {size} {long_ago:.0f} {left}\n")
    for path in (record, jobs / ids["old"]):
        os.utime(path, (long_ago, long_ago))

    with running_runner():
        wait_for(lambda: not (jobs / ids["old"]).exists(), what="the old one is gone")

    assert (jobs / ids["new"]).exists()
