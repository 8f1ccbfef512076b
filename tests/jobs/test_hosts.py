"""The whole story of a server that fails what others build: out, its victims again, and back by one build."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db.models import F
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from buildboard.core.audit import Actor
from buildboard.core.models import Event, User
from buildboard.core.permissions import Role
from jobs import lifecycle
from jobs.diagnosis import hosts
from jobs.diagnosis.hosts import judge_ended_canaries, judge_server
from jobs.errors import NoFreeSlot
from jobs.execution import collect
from jobs.execution.dispatch import Dispatcher
from jobs.execution.followed import Followed
from jobs.lifecycle import claim_job
from jobs.models import Attempt, BuildJob
from jobs.outcomes import Outcome
from jobs.providers.fake import FakeProvider
from jobs.states import AttemptStatus, ErrorCategory, Phase
from servers.leases import acquire_lease
from servers.models import BuildServer
from servers.quarantine import set_quarantine
from tests.factories import make_job, make_server, make_user

pytestmark = pytest.mark.django_db
BROKEN = "sh: 1: gcc: not found\n"
COMMIT = "c" * 40


def make_followed(name: str) -> BuildServer:
    server = make_server(name)
    assert acquire_lease(server.pk, runner="runner-1") is not None
    return server


@pytest.fixture
def bad() -> BuildServer:
    return make_followed("bad")


@pytest.fixture(autouse=True)
def good() -> BuildServer:
    return make_followed("good")


@pytest.fixture
def owner() -> User:
    return make_user(Role.SUBMITTER)


def new_job(repository: str, **fields: Any) -> BuildJob:
    return make_job(source_repository=f"https://git.example/{repository}.git", **fields)


def start(job: BuildJob, server: BuildServer, *, phase: Phase = Phase.BUILDING) -> Attempt:
    server.refresh_from_db()
    attempt = claim_job(job.pk, server=server)
    lifecycle.start_attempt(attempt)
    if phase is Phase.BUILDING:
        lifecycle.set_phase(attempt, phase=phase, resolved_commit=COMMIT)
    return attempt


def end(attempt: Attempt, *, code: int = 0, output: str = "", is_lost: bool = False) -> Attempt:
    """As its follower does, and then the short task."""
    row = Attempt.objects.select_related("job", "server").get(pk=attempt.pk)
    if is_lost:
        outcome = Outcome(AttemptStatus.LOST, None, ErrorCategory.LOST, "The build server was restarted.")
    elif code:
        message = f"The build command failed with exit code {code}."
        outcome = Outcome(AttemptStatus.FAILED, code, ErrorCategory.EXIT_CODE, message)
    else:
        outcome = Outcome(AttemptStatus.COMPLETED, 0)
    collect.end(Followed(row, FakeProvider()), outcome, output=output)
    judge_server(row.pk)
    row.refresh_from_db()
    return row


def fail(job: BuildJob, server: BuildServer, *, output: str = BROKEN) -> Attempt:
    return end(start(job, server), code=127, output=output)


def go_well(job: BuildJob, server: BuildServer) -> Attempt:
    return end(start(job, server))


def is_out(server: BuildServer) -> bool:
    server.refresh_from_db()
    return server.quarantined_since is not None


def pass_the_wait(server: BuildServer) -> None:
    BuildServer.objects.filter(pk=server.pk).update(quarantined_until=timezone.now() - timedelta(seconds=1))


def break_down(bad: BuildServer, good: BuildServer, **fields: Any) -> list[BuildJob]:
    """Three repositories fail there alike while others go on; the jobs."""
    first = start(new_job("a", **fields), bad)
    go_well(new_job("other"), good)
    jobs = [first.job, new_job("b", **fields), new_job("c", **fields)]
    end(first, code=127, output=BROKEN)
    for job in jobs[1:]:
        fail(job, bad)
    return [BuildJob.objects.get(pk=job.pk) for job in jobs]


def kinds(job: BuildJob) -> list[str]:
    rows = Event.objects.filter(subject_type="job", subject_id=str(job.pk)).order_by("sequence")
    return list(rows.values_list("kind", flat=True))


def reasons(server: BuildServer) -> list[tuple[str, str]]:
    rows = Event.objects.filter(subject_type="server", subject_id=str(server.pk)).order_by("sequence")
    return list(rows.values_list("kind", "reason"))


# ---- out, and its victims again ---------------------------------------------------------------------------


def test_a_server_that_fails_everything_alike_is_taken_out_with_the_reason(
    bad: BuildServer, good: BuildServer
) -> None:
    break_down(bad, good)

    assert is_out(bad)
    assert not is_out(good)
    kind, reason = reasons(bad)[-1]
    assert kind == "quarantined"
    assert reason.startswith(
        "3 different builds of 3 repositories failed here within 1 s each and all alike, as on no"
    )


def test_what_failed_there_for_good_is_queued_once_more_for_its_owner_and_built_elsewhere(
    bad: BuildServer, good: BuildServer, owner: User
) -> None:
    jobs = break_down(bad, good, created_by=owner, spec={"build_command": "make"})

    retries = list(BuildJob.objects.filter(status="queued").order_by("created_at"))
    assert [retry.retry_of_id for retry in retries] == [job.pk for job in jobs]
    assert {retry.created_by for retry in retries} == {owner}
    assert {retry.spec["build_command"] for retry in retries} == {"make"}
    assert [job.status for job in jobs] == ["failed"] * 3
    assert set(Attempt.objects.filter(job__in=jobs).values_list("host_fault", flat=True)) == {True}
    assert kinds(jobs[0])[-1] == "retried"
    told = Event.objects.get(subject_type="job", subject_id=str(retries[0].pk))
    assert (told.kind, told.reason) == (
        "submitted",
        "It failed by the fault of bad, which is in quarantine since.",
    )

    placed = Dispatcher().dispatch()

    assert {attempt.server_name for attempt in placed} == {"good"}
    assert len(placed) == 3


@pytest.mark.parametrize("is_meanwhile", [False, True])
@pytest.mark.parametrize("change", [{"is_active": False}, {"role": Role.VIEWER}, {}])
def test_what_was_cancelled_or_whose_owner_may_not_submit_is_not_queued_again(
    good: BuildServer, change: dict[str, Any], is_meanwhile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, owner, is_final = make_followed("bad"), make_user(Role.SUBMITTER), hosts._is_final
    running = [start(new_job(name, created_by=owner), bad) for name in "abc"]
    go_well(new_job("other"), good)

    def unwish() -> bool:
        people, jobs = User.objects.filter(pk=owner.pk), BuildJob.objects.filter(created_by=owner)
        return bool(people.update(**change) if change else jobs.update(cancel_requested_at=timezone.now()))

    if is_meanwhile:
        monkeypatch.setattr(hosts, "_is_final", lambda attempt: is_final(attempt) and unwish())
    else:
        unwish()
    for attempt in running:
        end(attempt, code=127, output=BROKEN)

    assert is_out(bad)
    assert not BuildJob.objects.filter(status="queued").exists()


@pytest.mark.parametrize("retry_on", [["system"], ["system", "lost"]])
def test_what_may_still_run_is_repeated_for_those_alone_that_ask_for_it(
    bad: BuildServer, good: BuildServer, retry_on: list[str]
) -> None:
    fields: dict[str, Any] = {"spec": {"retry_on": retry_on}, "attempts": 1}  # of two: it is the last one
    running = [start(new_job(name, **fields), bad) for name in "abcd"]
    go_well(new_job("other"), good)

    for attempt in running:
        end(attempt, is_lost=True)

    assert is_out(bad)
    queued = BuildJob.objects.filter(status="queued").order_by("source_repository")
    assert "".join(job.source_repository[-5] for job in queued) == ("abcd" if "lost" in retry_on else "")


def test_the_task_may_run_twice(bad: BuildServer, good: BuildServer) -> None:
    break_down(bad, good)
    last = Attempt.objects.filter(server=bad).latest("created_at")

    judge_server(last.pk)

    assert BuildJob.objects.filter(status="queued").count() == 3
    assert [kind for kind, _ in reasons(bad)] == ["quarantined"]


def test_a_job_of_one_attempt_at_most_is_never_repeated(bad: BuildServer, good: BuildServer) -> None:
    break_down(bad, good, max_attempts=1)

    assert is_out(bad)
    assert not BuildJob.objects.filter(status="queued").exists()


def test_what_was_tried_again_already_is_left_alone(bad: BuildServer, good: BuildServer) -> None:
    early = new_job("a")
    fail(early, bad)
    early.refresh_from_db()
    lifecycle.retry_job(early, actor=Actor("ann", "page"), user=None)

    break_down(bad, good)

    assert BuildJob.objects.filter(retry_of=early).count() == 1


def test_a_full_queue_is_told_on_the_job(bad: BuildServer, good: BuildServer, settings: LazySettings) -> None:
    settings.MAX_QUEUE_SIZE = 0

    jobs = break_down(bad, good)

    assert is_out(bad)
    assert [kinds(job)[-1] for job in jobs] == ["retry_withheld"] * 3
    assert {job.excused_attempts for job in jobs} == {0}


def test_the_last_server_stays_and_its_jobs_are_not_repeated(bad: BuildServer, good: BuildServer) -> None:
    BuildServer.objects.filter(pk=good.pk).update(draining=True)

    break_down(bad, good)

    assert not is_out(bad)
    assert [kind for kind, _ in reasons(bad)] == ["quarantine_withheld"]
    assert not BuildJob.objects.filter(status="queued").exists()


def test_a_build_that_fails_there_later_is_queued_again_by_itself_once(
    bad: BuildServer, good: BuildServer
) -> None:
    late = start(new_job("late"), bad)
    strict = start(new_job("strict", max_attempts=1), bad)
    other = start(new_job("other"), bad)
    break_down(bad, good)

    ended = [end(late, code=127, output=BROKEN), end(strict, code=127, output=BROKEN)]
    unlike = end(other, code=1, output="error: of its own\n")

    for attempt in (late, strict):
        attempt.job.refresh_from_db()
    assert (late.job.status, late.job.excused_attempts, late.job.server_id) == ("queued", 1, None)
    assert (strict.job.status, strict.job.retries.count()) == ("failed", 0)
    assert [attempt.host_fault for attempt in ended] == [True, True]
    assert (unlike.host_fault, unlike.job.status) == (False, "failed")
    requeued = Event.objects.get(subject_id=str(late.job_id), kind="requeued")
    assert requeued.reason == (
        "The build command failed with exit code 127. "
        "It is the fault of bad, which is in quarantine, so it is queued again."
    )
    again = fail(late.job, good, output="error: and here, too\n")
    assert again.job.status == "failed"


def test_what_names_a_server_does_not_speak_against_it(bad: BuildServer, good: BuildServer) -> None:
    late = start(new_job("late", requested_server=bad), bad)
    break_down(bad, good, requested_server=bad)
    assert not is_out(bad)

    break_down(bad, good)
    assert is_out(bad)
    end(late, code=127, output=BROKEN)

    late.job.refresh_from_db()
    assert late.job.status == "failed"
    assert BuildJob.objects.filter(status="queued").count() == 3


# ---- who is not accused -----------------------------------------------------------------------------------


def test_jobs_that_fail_everywhere_bring_the_server_back(bad: BuildServer, good: BuildServer) -> None:
    break_down(bad, good)
    first, *others = BuildJob.objects.filter(status="queued").order_by("created_at")

    fail(first, good)

    assert not is_out(bad)
    assert not is_out(good)
    assert [kind for kind, _ in reasons(bad)] == ["quarantined", "quarantine_ended"]
    bad.refresh_from_db()
    assert bad.quarantine_level == 0
    for job in others:
        fail(job, good)
    assert not BuildJob.objects.filter(status="queued").exists()
    assert not is_out(good)


def test_one_repository_accuses_nobody_by_failing(bad: BuildServer, good: BuildServer) -> None:
    go_well(new_job("other"), good)

    for number in range(10):
        fail(new_job("a", spec={"build_command": f"make {number}"}), bad)

    assert not is_out(bad)


def test_failures_before_the_last_quarantine_are_settled(bad: BuildServer, good: BuildServer) -> None:
    break_down(bad, good)
    set_quarantine(bad.pk, enabled=False, actor=Actor("olga", "page"))

    fail(new_job("d"), bad)

    assert not is_out(bad)


# ---- back by one build ------------------------------------------------------------------------------------


@pytest.fixture
def on_trial(bad: BuildServer, good: BuildServer) -> BuildServer:
    """Out, its wait over, its victims built elsewhere."""
    break_down(bad, good)
    for job in BuildJob.objects.filter(status="queued"):
        go_well(job, good)
    pass_the_wait(bad)
    BuildServer.objects.filter(pk=good.pk).update(enabled=False)  # so that there is no other choice
    bad.refresh_from_db()
    return bad


def test_after_the_wait_it_gets_exactly_one_build_whose_success_ends_it(on_trial: BuildServer) -> None:
    jobs = [new_job("a"), new_job("b"), new_job("c")]

    placed = Dispatcher().dispatch()

    assert [attempt.server_name for attempt in placed] == ["bad"]
    on_trial.refresh_from_db()
    assert on_trial.canary_id == placed[0].pk
    with pytest.raises(NoFreeSlot, match="tries one build first"):
        claim_job(next(job.pk for job in jobs if job.pk != placed[0].job_id), server=on_trial)
    assert Dispatcher().dispatch() == []

    lifecycle.start_attempt(placed[0])
    end(placed[0])

    assert not is_out(on_trial)
    assert reasons(on_trial)[-1][1].endswith("went well.")
    assert len(Dispatcher().dispatch()) == 2


def test_a_canary_that_fails_the_same_way_keeps_it_out_longer_and_is_queued_again(
    on_trial: BuildServer,
) -> None:
    job = new_job("a")

    fail(job, on_trial)

    assert is_out(on_trial)
    assert (on_trial.quarantine_level, on_trial.canary_id) == (2, None)
    assert on_trial.quarantined_until is not None
    assert on_trial.quarantined_until > timezone.now() + timedelta(seconds=90)
    job.refresh_from_db()
    assert (job.status, job.excused_attempts) == ("queued", 1)
    assert Dispatcher().dispatch() == []


def test_a_canary_that_fails_as_it_fails_elsewhere_counts_neither_way(
    on_trial: BuildServer, good: BuildServer
) -> None:
    job = new_job("a", max_attempts=1)
    fail(job, good, output="error: mine\n")
    again = lifecycle.retry_job(BuildJob.objects.get(pk=job.pk), actor=Actor("ann", "page"), user=None)
    before = BuildServer.objects.get(pk=on_trial.pk).quarantined_until

    fail(again, on_trial, output="error: mine\n")

    assert is_out(on_trial)
    assert (on_trial.quarantine_level, on_trial.canary_id, on_trial.quarantined_until) == (1, None, before)


def test_a_canary_whose_failure_may_be_anybodys_makes_it_wait_as_long_again(on_trial: BuildServer) -> None:
    job = new_job("new")

    canary = fail(job, on_trial, output="error: never seen before\n")

    assert is_out(on_trial)
    assert (on_trial.quarantine_level, on_trial.canary_id) == (1, None)
    job.refresh_from_db()
    assert (job.status, canary.host_fault) == ("failed", False)  # its command ran, and that is its answer


def test_a_canary_that_fails_elsewhere_later_does_not_undo_what_was_found_hours_ago(
    on_trial: BuildServer, good: BuildServer
) -> None:
    hours = timedelta(hours=7)
    BuildServer.objects.filter(pk=on_trial.pk).update(quarantined_since=timezone.now() - hours)
    for times in ("started_at", "completed_at"):
        Attempt.objects.update(**{times: F(times) - hours})
    job = new_job("z")
    fail(job, on_trial)

    fail(job, good, output="error: and here, too\n")

    assert is_out(on_trial)


def test_one_that_a_person_put_on_trial_gives_its_canary_back_too(bad: BuildServer) -> None:
    later = timezone.now() + timedelta(hours=1)
    set_quarantine(bad.pk, enabled=True, actor=Actor("olga", "page"), reason="Smoke", until=later)
    pass_the_wait(bad)
    job = new_job("a")

    end(start(job, bad, phase=Phase.CHECKOUT), code=127, output=BROKEN)

    job.refresh_from_db()
    assert (job.status, is_out(bad)) == ("queued", True)


def test_a_canary_that_names_its_server_tells_nothing_and_fails(on_trial: BuildServer) -> None:
    job = new_job("new", requested_server=on_trial)

    fail(job, on_trial)

    assert is_out(on_trial)
    job.refresh_from_db()
    assert (on_trial.quarantine_level, on_trial.canary_id, job.status) == (1, None, "failed")


def test_a_canary_that_is_cancelled_or_given_back_makes_room_for_another(on_trial: BuildServer) -> None:
    given_back = claim_job(new_job("a").pk, server=on_trial)
    lifecycle.release_attempt(given_back, reason="Refused.")
    on_trial.refresh_from_db()
    assert on_trial.canary_id is None

    cancelled = start(new_job("b"), on_trial)
    lifecycle.finish_attempt(
        cancelled, outcome=Outcome(AttemptStatus.CANCELLED, None, ErrorCategory.CANCELLED, "Build cancelled")
    )
    judge_server(cancelled.pk)

    assert is_out(on_trial)
    assert on_trial.canary_id is None


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_canary_whose_task_was_lost_is_judged_by_the_sweep(on_trial: BuildServer, is_gone: bool) -> None:
    canary = start(new_job("a"), on_trial)
    lifecycle.finish_attempt(canary, outcome=Outcome(AttemptStatus.COMPLETED, 0))
    assert judge_ended_canaries() == 0
    if is_gone:
        Attempt.objects.filter(pk=canary.pk).delete()
    else:
        Attempt.objects.filter(pk=canary.pk).update(completed_at=timezone.now() - timedelta(minutes=1))

    assert judge_ended_canaries() == 1
    assert is_out(on_trial) == is_gone
    assert on_trial.canary_id is None


# ---- what it costs ----------------------------------------------------------------------------------------


def test_an_ordinary_failure_costs_two_short_queries(
    bad: BuildServer, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    failed = fail(new_job("a"), bad)

    with django_assert_num_queries(2):
        judge_server(failed.pk)


def test_a_suspect_costs_a_fixed_number_whatever_is_stored(
    bad: BuildServer, good: BuildServer, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(4):
        failed = fail(new_job("a", spec={"build_command": str(number)}), bad)
        go_well(new_job("b", spec={"build_command": str(number)}), good)

    with django_assert_num_queries(7):
        judge_server(failed.pk)
