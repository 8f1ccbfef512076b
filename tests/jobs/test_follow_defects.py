"""Following when something is wrong with it: servers that vanish, poison jobs, providers unknown, defects."""

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from buildboard.core.crypto import encrypt, generate_ssh_key_pair
from buildboard.core.machine import machine_id
from jobs.execution import runner
from jobs.execution.follow import ServerFollower
from jobs.execution.guard import MOST_CRASHES
from jobs.execution.marker import CrashMarker
from jobs.lifecycle import claim_job
from jobs.models import Attempt, BuildJob
from jobs.states import AttemptStatus, ErrorCategory, JobStatus
from servers.leases import HeldLease, acquire_leases
from servers.models import BuildServer, ServerLease
from tests.factories import make_job, make_server
from tests.jobs.board import (
    end_follower,
    running_runner,
    wait_until_finished,
)
from tests.ssh_servers import calm_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def ssh_row() -> BuildServer:
    """A server over SSH at which nobody answers."""
    key = generate_ssh_key_pair("x")
    return make_server(
        transport="ssh",
        hostname="127.0.0.1",
        ssh_port=calm_port(),
        ssh_username="build",
        host_key=key[1],
        private_key=encrypt(key[0]),
        public_key=key[1],
    )


def test_server_that_is_deleted_meanwhile_ends_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    server = make_server(machine_id=machine_id())
    follower = ServerFollower(server.pk, name="x")

    def acquire_and_delete(id: str, *, machine: str) -> list[HeldLease]:
        leases = acquire_leases(id, machine=machine)
        BuildServer.objects.all().delete()
        return leases

    monkeypatch.setattr(runner, "acquire_leases", acquire_and_delete)
    holder = runner.Runner()

    holder._hold_leases()
    follower.round()

    assert holder._followers == {}
    assert ServerLease.objects.count() == 0
    end_follower(follower)


def test_poison_job_is_set_aside_and_the_others_go_on() -> None:
    server = make_server()
    poison = make_job(provider="fake", labels={"fake": "broken,seconds=60"}, max_attempts=1)
    good = make_job(provider="fake", labels={"fake": "lines=1"})
    claim_job(poison.pk, server=server)
    claim_job(good.pk, server=server)
    follower = ServerFollower(server.pk, name="x")

    for _ in range(MOST_CRASHES + 1):
        follower.round()

    poison.refresh_from_db()
    good.refresh_from_db()
    assert (poison.status, poison.error_category, poison.follow_crashes) == (
        JobStatus.FAILED,
        ErrorCategory.SYSTEM,
        MOST_CRASHES,
    )
    assert good.status == JobStatus.COMPLETED
    end_follower(follower)


def test_poison_job_on_a_server_that_went_away_is_set_aside_all_the_same(
    ssh_row: BuildServer,
) -> None:
    job = make_job(max_attempts=1, follow_crashes=MOST_CRASHES - 1)
    attempt = claim_job(job.pk, server=ssh_row)
    follower = ServerFollower(ssh_row.pk, name="x")
    follower._refresh()

    went_on = follower._guard(follower._followed[attempt.pk], lambda one: int("a defect"))

    job.refresh_from_db()
    assert (went_on, job.status, job.error_category) == (False, JobStatus.FAILED, ErrorCategory.SYSTEM)
    end_follower(follower)


def test_builds_behind_jump_hosts_cost_no_queries_each(
    ssh_row: BuildServer, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    hop: BuildServer | None = None
    for number in range(4):
        hop = make_server(f"hop-{number}", transport="ssh", hostname="h", ssh_username="u", jump_host=hop)
    BuildServer.objects.filter(pk=ssh_row.pk).update(jump_host=hop)
    follower = ServerFollower(ssh_row.pk, name="x")

    for _ in range(3):
        claim_job(make_job(provider="fake").pk, server=ssh_row)
        with django_assert_num_queries(2):  # the attempts, and the jump hosts
            follower._refresh()
    end_follower(follower)


def test_provider_that_is_no_more_stops_no_other_build(caplog: pytest.LogCaptureFixture) -> None:
    server = make_server()
    claimed, running = make_job(), make_job()
    claim_job(claimed.pk, server=server)
    claim_job(running.pk, server=server)
    Attempt.objects.filter(job=running).update(submitted_at=timezone.now(), status=AttemptStatus.RUNNING)
    BuildJob.objects.filter(pk=running.pk).update(status=JobStatus.RUNNING)
    BuildJob.objects.update(provider="gone")
    good = make_job(provider="fake", labels={"fake": "lines=1"})
    claim_job(good.pk, server=server)
    follower = ServerFollower(server.pk, name="x")

    for _ in range(3):
        follower.round()

    for job in (claimed, running, good):
        job.refresh_from_db()
    assert (claimed.status, claimed.error_category) == (JobStatus.FAILED, ErrorCategory.SYSTEM)
    assert claimed.error_message.startswith("There is no provider gone; known are ")
    assert running.status == JobStatus.RUNNING  # what it came to is not known
    assert good.status == JobStatus.COMPLETED
    told = [one for one in caplog.records if one.getMessage().startswith("There is no provider gone")]
    assert len(told) == 1
    end_follower(follower)


def test_defect_that_ends_a_thread_is_told_once_and_another_thread_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = make_server(machine_id=machine_id())
    job = make_job(provider="fake", labels={"fake": "crash=1,lines=2"})

    with running_runner():
        wait_until_finished(job)

    job.refresh_from_db()
    assert (job.status, job.attempts) == (JobStatus.COMPLETED, 1)
    told = [one for one in caplog.records if one.name == "jobs.execution.follow" and one.exc_info]
    assert [one.getMessage() for one in told] == ["Following a server failed; another thread goes on with it"]
    assert "a defect of the fake provider" in str(told[0].exc_info)
    assert ServerLease.objects.get(server=server).fence == 1  # it was never given up


def test_job_whose_following_ended_the_process_three_times_is_set_aside() -> None:
    server = make_server()
    job = make_job(provider="fake", labels={"fake": "silent,seconds=60"}, max_attempts=1)
    attempt = claim_job(job.pk, server=server)

    for _ in range(MOST_CRASHES):
        CrashMarker(server.pk).begin(attempt.pk)  # what a killed follower leaves
        follower = ServerFollower(server.pk, name="x")
        follower.round()
        end_follower(follower)

    job.refresh_from_db()
    assert (job.status, job.error_category) == (JobStatus.FAILED, ErrorCategory.SYSTEM)
    assert job.error_message == "The board failed 3 times while it followed this build: its process ended"
