"""Following: two at once by force, a start that fails, a result that is known, a log that grows and is watched."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connection
from django.utils import timezone

from buildboard.core.crypto import encrypt
from buildboard.core.machine import machine_id
from buildboard.core.models import Event
from jobs.execution import follow
from jobs.execution.dispatch import Dispatcher
from jobs.execution.follow import ServerFollower
from jobs.execution.followed import Followed
from jobs.execution.polling import Answer
from jobs.lifecycle import claim_job
from jobs.models import Attempt, BuildJob, LogChunk, Secret
from jobs.providers.base import BuildStatus, Report
from jobs.providers.registry import connect
from jobs.queue.explain import explain_job
from jobs.states import AttemptStatus, ErrorCategory, JobStatus, Phase
from servers.leases import acquire_lease
from servers.models import BuildServer
from tests.factories import make_attempt, make_job, make_server
from tests.jobs.board import (
    end_follower,
    log_of,
    make_local_server,
    running_runner,
    submit,
    wait_until_finished,
)
from tests.repositories import make_repository
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
SECONDS = 25 if connection.vendor == "sqlite" else 15


@pytest.fixture
def repository(tmp_path: Path, settings: LazySettings) -> Path:
    settings.LOCAL_REPOSITORIES = (tmp_path,)
    return make_repository(tmp_path / "demo", {"README": "hello\n"})


def follow_twice(server: BuildServer, *, until: Callable[[], bool]) -> None:
    """Two followers on one server, as no lease would allow, until the condition holds."""
    followers = [ServerFollower(server.pk, name=f"{number}") for number in range(2)]
    for follower in followers:
        follower.start()
    try:
        wait_for(until, what="both followed to the end", seconds=SECONDS * 2)
    finally:
        for follower in followers:
            follower.stop()
        for follower in followers:
            follower.join(20)
            assert not follower.is_alive()


def test_two_followers_keep_every_byte_once(repository: Path, tmp_path: Path) -> None:
    server = make_local_server(tmp_path / "work")
    Secret.objects.create(name="TOKEN", encrypted_value=encrypt("s3cret-value"))
    command = f"""
        end=$(($(date +%s) + {SECONDS}))
        n=0; fifty=$(seq 50)
        while [ $(date +%s) -lt $end ]; do
            for one in $fifty; do n=$((n + 1)); echo "line $n of $TOKEN"; done
            sleep 0.1
        done
        echo "$n" >"{tmp_path}/lines"
    """
    job = submit(repository, build_command=command, secrets=["TOKEN"], timeout_seconds=600)
    attempt = claim_job(job.pk, server=server)

    follow_twice(server, until=lambda: BuildJob.objects.get(pk=job.pk).status == JobStatus.COMPLETED)

    count = int((tmp_path / "lines").read_text())
    wanted = "".join(f"line {number} of ***\n" for number in range(1, count + 1)).encode()
    kept = log_of(attempt)
    body = kept[kept.index(b"line 1 of") : kept.index(b"--- finished")]
    assert body == wanted
    offset = 0
    for chunk in LogChunk.objects.filter(attempt=attempt).order_by("offset"):
        assert chunk.offset == offset
        offset += chunk.size
    assert offset == attempt.log_size
    assert Attempt.objects.filter(job=job).count() == 1


def test_unreachable_start_is_given_back_and_tried_again() -> None:
    server = make_server()
    job = make_job(provider="fake", labels={"fake": "unreachable=1,lines=2"})
    attempt = claim_job(job.pk, server=server)
    follower = ServerFollower(server.pk, name="x")

    follower.round()

    attempt.refresh_from_db()
    job.refresh_from_db()
    server.refresh_from_db()
    assert (attempt.status, job.status, job.attempts) == ("released", JobStatus.QUEUED, 0)
    assert (server.status, server.unreachable_since is None) == ("offline", False)
    end_follower(follower)


def test_refused_start_is_given_back() -> None:
    server = make_server()
    job = make_job(provider="fake", labels={"fake": "refuse"})
    claim_job(job.pk, server=server)
    follower = ServerFollower(server.pk, name="x")

    follower.round()

    job.refresh_from_db()
    assert (job.status, job.not_before is not None) == (JobStatus.QUEUED, True)
    end_follower(follower)


def test_full_server_gives_its_build_to_another_one_at_once_and_explain_says_why() -> None:
    full = make_server("full")
    job = make_job(provider="fake", labels={"fake": "full"})
    claim_job(job.pk, server=full)
    other = make_server("other")
    for server in (full, other):
        assert acquire_lease(server.pk, runner="runner-1") is not None
    follower = ServerFollower(full.pk, name="x")

    follower.round()

    full.refresh_from_db()
    job.refresh_from_db()
    assert (job.status, job.not_before) == (JobStatus.QUEUED, None)
    assert (full.status, full.starts_refused_reason) == (
        "online",
        "The disk of the fake server is full; make room there.",
    )
    until = f"{full.starts_refused_until:%H:%M:%S}"
    assert explain_job(job).reasons == [
        "other can take it now.",
        f"full is not asked until {until} UTC: The disk of the fake server is full; make room there.",
    ]
    assert [attempt.server_id for attempt in Dispatcher().dispatch()] == [other.pk]
    end_follower(follower)


def test_build_that_vanished_before_its_command_began_is_a_system_error() -> None:
    server = make_server()
    job = make_job(provider="fake", labels={"fake": "lost"}, max_attempts=1)
    claim_job(job.pk, server=server)
    follower = ServerFollower(server.pk, name="x")

    follower.round()

    job.refresh_from_db()
    assert (job.status, job.error_category) == (JobStatus.FAILED, ErrorCategory.SYSTEM)
    assert job.error_message == f"{server.name} knows nothing of this build any more; its directory is gone."
    end_follower(follower)


def test_system_error_is_tried_again_by_itself() -> None:
    server = make_server()
    job = make_job(provider="fake", labels={"fake": "lost"}, max_attempts=2)
    claim_job(job.pk, server=server)
    follower = ServerFollower(server.pk, name="x")

    follower.round()

    job.refresh_from_db()
    assert (job.status, job.attempts, job.not_before is not None) == (JobStatus.QUEUED, 1, True)
    end_follower(follower)


@pytest.mark.parametrize(("is_collecting", "status"), [(True, "running"), (False, "lost")])
def test_build_whose_result_is_known_is_not_given_up(
    is_collecting: bool, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server()
    job = make_job(provider="fake", labels={"fake": "seconds=60"}, max_attempts=1)
    attempt = claim_job(job.pk, server=server)
    follower = ServerFollower(server.pk, name="x")
    follower.round()
    Attempt.objects.update(
        started_at=timezone.now() - timedelta(days=1), unreachable_since=timezone.now() - timedelta(hours=1)
    )
    follower._refresh()
    monkeypatch.setattr(follower._collector, "is_collecting", lambda one: is_collecting)

    follower._take_answers([Answer(follower._followed[attempt.pk], None, "the reply was cut")])

    attempt.refresh_from_db()
    assert attempt.status == status
    end_follower(follower)


def test_progress_takes_crashes_back() -> None:
    server = make_server()
    job = make_job(provider="fake", labels={"fake": "slow,lines=9,seconds=60"}, follow_crashes=2)
    claim_job(job.pk, server=server)
    follower = ServerFollower(server.pk, name="x")
    follower.round()

    def has_a_line() -> bool:
        follower.round()
        return bool(log_of(job.attempt_set.get()))

    wait_for(has_a_line, what="a line was kept")

    job.refresh_from_db()
    assert (job.status, job.follow_crashes) == (JobStatus.RUNNING, 0)
    end_follower(follower)


def test_who_takes_a_server_over_says_what_was_found() -> None:
    server = make_server()
    running = make_job(provider="fake", labels={"fake": "seconds=60"})
    ended = make_job(provider="fake", labels={"fake": "lines=1,seconds=2"})
    for job in (running, ended):
        claim_job(job.pk, server=server)
    first = ServerFollower(server.pk, name="first")
    first.round()
    end_follower(first)
    time.sleep(2)  # so long a build of the fake lasts, from its trigger on

    second = ServerFollower(server.pk, name="second")
    second.round()

    event = Event.objects.get(kind="reattached")
    assert event.reason == "1 re-attached, 1 finished while away, 0 lost"
    end_follower(second)


def test_fake_build_streams_and_ends() -> None:
    make_server(machine_id=machine_id())
    job = make_job(provider="fake", labels={"fake": "lines=5,seconds=0.3,exit=2"})
    with running_runner():
        wait_until_finished(job)

    assert (job.status, job.exit_code) == (JobStatus.FAILED, 2)
    assert log_of(job.attempt_set.get()).count(b"\n") == 5


def follow_a_growing_log() -> tuple[ServerFollower, Attempt]:
    """A follower that has taken in the first lines, by hand: it is no thread."""
    server = make_server()
    job = make_job(provider="fake", labels={"fake": "lines=10000,seconds=600"})
    attempt = claim_job(job.pk, server=server)
    follower = ServerFollower(server.pk, name="by hand")

    def has_a_line() -> bool:
        follower.round()
        return bool(log_of(attempt))

    wait_for(has_a_line, what="a line was kept")
    return follower, attempt


def watch(attempt: Attempt) -> None:
    Attempt.objects.filter(pk=attempt.pk).update(watched_until=timezone.now() + timedelta(minutes=5))


def slowest(follower: ServerFollower, *, took: float = 0.0) -> float:
    """The pace that it comes to."""
    return max(follower._wait_seconds(took=took) for _ in range(20))


def test_log_that_grows_is_followed_twice_as_closely_while_somebody_watches() -> None:
    follower, attempt = follow_a_growing_log()
    size = len(log_of(attempt))
    assert slowest(follower) == follow.FAST_SECONDS

    def grows() -> bool:
        follower.round()
        return len(log_of(attempt)) > size

    watch(attempt)
    wait_for(grows, what="more lines")

    assert slowest(follower) == follow.LIVE_SECONDS
    assert slowest(follower, took=0.5) == 1.0
    end_follower(follower)


def test_who_begins_to_watch_need_not_wait_for_a_slow_pace() -> None:
    follower, attempt = follow_a_growing_log()
    follower._poll_at = slow = time.monotonic() + 3600
    follower.round(poll=False)
    assert follower._poll_at == slow

    watch(attempt)
    follower.round(poll=False)
    soon = follower._poll_at
    follower.round(poll=False)

    assert soon <= time.monotonic() + follow.FRESH_SECONDS
    assert follower._poll_at == soon
    end_follower(follower)


def test_build_that_begins_while_its_row_is_of_before_goes_through_its_phases() -> None:
    """A start and the first report may come in one round: what is in hand was read before both."""
    server = make_server()
    attempt = make_attempt(server=server, status=AttemptStatus.RUNNING, phase=Phase.CHECKOUT)
    attempt.phase = Phase.CONNECTING
    one = Followed(attempt, connect("fleet", server=server))
    commit = "a" * 40

    for phase, wanted in ((Phase.CHECKOUT, Phase.CHECKOUT), (Phase.BUILDING, Phase.BUILDING)):
        report = Report(build_id=one.build_id, status=BuildStatus.RUNNING, phase=phase, commit=commit)
        one.keep(report)
        row = Attempt.objects.get(pk=attempt.pk)
        assert (row.phase, row.resolved_commit) == (wanted, commit)
