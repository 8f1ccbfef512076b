"""How a server comes out of quarantine: through exactly one build."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from buildboard.core.audit import Actor
from jobs import lifecycle
from jobs.diagnosis.hosts import judge_ended_canaries, judge_server
from jobs.errors import NoFreeSlot
from jobs.execution.dispatch import Dispatcher
from jobs.lifecycle import claim_job
from jobs.models import Attempt, BuildJob
from jobs.outcomes import Outcome
from jobs.queue.conditions import CANARY_PATIENCE
from jobs.queue.explain import explain_job
from jobs.states import AttemptStatus, ErrorCategory, Phase
from servers.models import BuildServer
from servers.quarantine import set_quarantine
from tests.factories import make_attempt
from tests.jobs.host_faults import (
    BROKEN,
    break_down,
    end,
    fail,
    go_well,
    is_out,
    new_job,
    pass_the_wait,
    reasons,
    start,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("good")]


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


def test_what_may_be_tried_only_once_is_no_canary_unless_nothing_else_came_for_long(
    on_trial: BuildServer,
) -> None:
    job = new_job("a", max_attempts=1)

    assert Dispatcher().dispatch() == []
    assert "through one build, and not one that may be tried only once" in explain_job(job).reasons[0]
    other = new_job("b", max_attempts=2)
    assert [attempt.job_id for attempt in Dispatcher().dispatch()] == [other.pk]

    BuildServer.objects.update(canary_id=None, quarantined_until=timezone.now() - 1.1 * CANARY_PATIENCE)
    assert [attempt.job_id for attempt in Dispatcher().dispatch()] == [job.pk]


def test_a_canary_at_its_last_attempt_gets_that_one_back(on_trial: BuildServer) -> None:
    job = new_job("a", max_attempts=2)
    make_attempt(job, "failed", number=1, completed_at=timezone.now())

    fail(job, on_trial)

    job.refresh_from_db()
    assert (job.status, job.excused_attempts, job.attempt_set.count()) == ("queued", 1, 2)


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
