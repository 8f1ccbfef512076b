"""What a server still has is held against what is stored: builds that were given up are ended there, others are not."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.utils import timezone

from buildboard.core.models import Event
from jobs.execution import upkeep
from jobs.execution.reconcile import reconcile
from jobs.lifecycle import claim_job
from jobs.models import Attempt, BuildJob
from jobs.states import AttemptStatus, ErrorCategory, JobStatus
from servers.connections import open_client
from servers.frames import RunLimits, RunListing, RunState
from servers.models import BuildServer
from tests.factories import make_job, make_server
from tests.jobs.board import make_local_server, running_runner, submit, wait_until_finished
from tests.repositories import make_repository
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def repository(tmp_path: Path, settings: LazySettings) -> Path:
    settings.LOCAL_REPOSITORIES = (tmp_path,)
    return make_repository(tmp_path / "demo", {"README": "hello\n"})


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildServer:
    monkeypatch.setattr(upkeep, "FORGET_AGAIN_SECONDS", 1)
    return make_local_server(tmp_path / "work")


def start_running(repository: Path, tmp_path: Path) -> tuple[BuildJob, int]:
    """A job whose build runs on with nobody following it, and a process of its tree."""
    pid = tmp_path / "pid"
    command = f'sleep 600 & echo $! >"{pid}"; echo started; wait'
    with running_runner():
        job = submit(repository, build_command=command, timeout_seconds=3600, max_attempts=1)
        wait_for(lambda: Attempt.objects.filter(job=job, phase="building", log_size__gt=0).exists())
        wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"))
    return job, int(pid.read_text())


def start_of_another_board(server: BuildServer) -> str:
    run, client = str(uuid4()), open_client(server)
    client.submit(run, script=b"echo up; sleep 600", environment={}, limits=RunLimits(disk_floor_kib=0))
    # What is still being started needs the helper, which a test may take away.
    wait_for(lambda: client.poll([(run, 0)])[0].data, what="its first line")
    return run


def end(server: BuildServer, run: str) -> None:
    client = open_client(server)
    client.cancel(run)
    wait_for(lambda: client.poll([(run, 0)])[0].state == RunState.DONE)


@pytest.mark.slow
def test_build_that_was_given_up_is_ended_when_its_server_returns(
    repository: Path, tmp_path: Path, server: BuildServer
) -> None:
    job, pid = start_running(repository, tmp_path)
    attempt = job.attempt_set.get()
    others = start_of_another_board(server)
    library = tmp_path / "work" / "lib"
    library.rename(tmp_path / "away")
    library.write_text("so that neither is the helper there nor can it be put there")
    long_ago = timezone.now() - timedelta(days=1)
    Attempt.objects.filter(pk=attempt.pk).update(started_at=long_ago, unreachable_since=long_ago)

    with running_runner():
        wait_until_finished(job)
        assert Path(f"/proc/{pid}").exists()
        library.unlink()
        (tmp_path / "away").rename(library)
        wait_for(lambda: not (tmp_path / "work" / "jobs" / str(attempt.pk)).exists(), what="it is removed")

    assert (job.status, job.error_category) == (JobStatus.FAILED, ErrorCategory.LOST)
    assert job.error_message == "local was not reachable past the build's time limit; presumed lost."
    assert not Path(f"/proc/{pid}").exists()
    assert open_client(server).poll([(others, 0)])[0].state == RunState.RUNNING
    end(server, others)


@pytest.mark.slow
def test_run_of_an_attempt_that_counts_as_cleared_away_is_found_and_ended(
    repository: Path, tmp_path: Path, server: BuildServer
) -> None:
    """As when its disk was not mounted while it was looked for."""
    job, pid = start_running(repository, tmp_path)
    attempt = job.attempt_set.get()
    others = start_of_another_board(server)
    now = timezone.now()
    Attempt.objects.filter(pk=attempt.pk).update(
        status=AttemptStatus.LOST, completed_at=now, cleaned_at=now, error_category=ErrorCategory.LOST
    )
    BuildJob.objects.filter(pk=job.pk).update(
        status=JobStatus.FAILED, completed_at=now, error_category=ErrorCategory.LOST
    )

    with running_runner():
        wait_for(lambda: not (tmp_path / "work" / "jobs" / str(attempt.pk)).exists(), what="it is removed")
        wait_for(lambda: Attempt.objects.get(pk=attempt.pk).cleaned_at not in {None, now})

    assert not Path(f"/proc/{pid}").exists()
    event = Event.objects.get(kind="reconciled")
    assert (event.subject_id, event.reason) == (
        str(server.pk),
        "Given up here and still there, so ended now: 1",
    )
    assert open_client(server).poll([(others, 0)])[0].state == RunState.RUNNING
    end(server, others)


def test_only_what_ended_here_on_that_server_is_touched() -> None:
    server, other_server = make_server(max_concurrent_builds=9), make_server(max_concurrent_builds=9)
    active = claim_job(make_job().pk, server=server)
    ended = claim_job(make_job().pk, server=server)
    done = claim_job(make_job().pk, server=server)
    elsewhere = claim_job(make_job().pk, server=other_server)
    now = timezone.now()
    Attempt.objects.filter(pk__in=[ended.pk, done.pk, elsewhere.pk]).update(
        status=AttemptStatus.LOST, completed_at=now, cleaned_at=now
    )
    known = {
        active: RunState.RUNNING,
        ended: RunState.ORPHAN,
        done: RunState.DONE,
        elsewhere: RunState.RUNNING,
    }
    runs = [RunListing(str(attempt.pk), state, None) for attempt, state in known.items()]
    runs += [
        RunListing(str(uuid4()), RunState.RUNNING, None),
        RunListing("-" * 36, RunState.PREPARED, None),
    ]

    assert reconcile(server.pk, runs, asked_at=now) == 0, "it had not ended here when the server was asked"
    assert reconcile(server.pk, runs, asked_at=timezone.now()) == 1

    again = Attempt.objects.filter(cleaned_at__isnull=True, completed_at__isnull=False)
    assert set(again) == {ended, done}
    assert Event.objects.get(kind="reconciled").data == {"attempts": [str(ended.pk)]}
    assert reconcile(server.pk, [], asked_at=timezone.now()) == 0
