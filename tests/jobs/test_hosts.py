"""The whole story of a server that fails what others build: out, its victims again."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from buildboard.core.audit import Actor
from buildboard.core.models import Event, User
from buildboard.core.permissions import Role
from jobs import lifecycle
from jobs.diagnosis import hosts
from jobs.diagnosis.hosts import judge_server
from jobs.execution.dispatch import Dispatcher
from jobs.models import Attempt, BuildJob
from servers.models import BuildServer
from servers.quarantine import set_quarantine
from tests.factories import make_followed, make_user
from tests.jobs.host_faults import (
    BROKEN,
    break_down,
    end,
    fail,
    go_well,
    is_out,
    kinds,
    new_job,
    reasons,
    start,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("good")]


@pytest.fixture
def owner() -> User:
    return make_user(Role.SUBMITTER)


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


def test_what_passes_elsewhere_when_it_is_tried_again_tells_of_where_it_failed(
    bad: BuildServer, good: BuildServer
) -> None:
    """Nothing fails there any more since: the last success alone makes it enough."""
    attempts = [start(new_job(name), bad) for name in "abc"]
    Attempt.objects.update(started_at=timezone.now() - timedelta(minutes=5))  # none fails fast
    failed = [end(attempt, code=1).job for attempt in attempts]
    for job in failed[:2]:
        go_well(lifecycle.retry_job(job, actor=Actor("ann", "page"), user=None), good)
    assert not is_out(bad)

    go_well(lifecycle.retry_job(failed[2], actor=Actor("ann", "page"), user=None), good)

    assert is_out(bad)
    assert bad.quarantine_reason == (
        "3 different builds of 3 repositories failed here and passed on other servers."
    )


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


def test_what_no_other_server_could_build_does_not_speak_against_it(
    bad: BuildServer, good: BuildServer
) -> None:
    BuildServer.objects.filter(pk=bad.pk).update(labels={"board": "rpi4"}, group="lab")

    break_down(bad, good, required_labels={"board": "rpi4"})
    break_down(bad, good, group="lab")
    assert not is_out(bad)

    # It could, if it were on.
    BuildServer.objects.filter(pk=good.pk).update(labels={"board": "rpi4"}, enabled=False)
    make_followed("other")
    fail(new_job("d", required_labels={"board": "rpi4"}), bad)
    assert is_out(bad)


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

    with django_assert_num_queries(11):
        judge_server(failed.pk)
