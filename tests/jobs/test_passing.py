"""Whom a job passes with another priority, of those of its own architecture, and what its event keeps of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from buildboard.core.audit import Actor
from buildboard.core.models import Event
from jobs.errors import FieldError, InvalidSubmission
from jobs.models import BuildJob
from jobs.queue.passing import NAMED, ahead_of, passing_of, reprioritise
from jobs.states import Priority
from tests.factories import make_job

pytestmark = pytest.mark.django_db
ANN = Actor(name="ann", door="page")
WHY = "Say why; its events tell it to those whom the job passes or lets pass."


def queued(minutes_ago: float, priority: Priority = Priority.NORMAL, **fields: Any) -> BuildJob:
    created_at = timezone.now() - timedelta(minutes=minutes_ago)
    return make_job(priority=priority, created_at=created_at, **fields)


def test_a_raised_job_overtakes_those_that_were_before_it() -> None:
    older, urgent = queued(30), queued(20, Priority.URGENT)
    queued(25, target_architecture="aarch64")
    queued(25, provider="orchestrator")
    queued(28, status="running")
    job = queued(10)
    queued(5)

    found = passing_of(job, priority=Priority.HIGH)

    assert (found.is_raised, found.count, list(found.jobs)) == (True, 1, [older])
    assert found.told == "It overtakes 1 job."
    assert ahead_of(job) == [urgent, older]
    assert ahead_of(job, limit=1) == [urgent]


def test_a_lowered_job_lets_those_behind_it_pass() -> None:
    job, second, third = queued(30), queued(20), queued(10)

    found = passing_of(job, priority=Priority.LOW)

    assert (found.is_raised, found.count, list(found.jobs)) == (False, 2, [second, third])
    assert (found.told, found.told_with_names) == ("2 jobs overtake it.", "2 jobs overtake it:")
    assert ahead_of(job) == []


@pytest.mark.parametrize(
    ("priority", "told"),
    [
        (Priority.URGENT, "It overtakes nobody now."),
        (Priority.LOW, "Nobody overtakes it now."),
        (Priority.NORMAL, "Nobody overtakes it now."),
    ],
)
def test_alone_it_passes_nobody(priority: Priority, told: str) -> None:
    found = passing_of(queued(10), priority=priority)

    assert (found.told, found.data) == (told, {})


def test_few_are_named_and_all_are_counted() -> None:
    for number in range(NAMED + 2):
        queued(30 + number)

    found = passing_of(queued(10), priority=Priority.URGENT)

    assert (found.count, len(found.jobs), found.more) == (NAMED + 2, NAMED, 2)
    assert found.told == "It overtakes 12 jobs."


def test_the_event_says_why_and_whom_it_passed() -> None:
    older, job = queued(20), queued(10)

    raised = reprioritise(job, priority=Priority.URGENT, actor=ANN, reason="release")
    reprioritise(raised, priority=Priority.LOW, actor=ANN, reason=" can wait\n")

    assert [(one.reason, one.data) for one in Event.objects.order_by("sequence")] == [
        ("release", {"from": "normal", "to": "urgent", "overtakes": 1, "jobs": [str(older.pk)]}),
        ("can wait", {"from": "urgent", "to": "low", "lets_pass": 1, "jobs": [str(older.pk)]}),
    ]


@pytest.mark.parametrize("reason", ["", "  \n", "\u200b", "\u00a0"])
def test_without_a_reason_nothing_changes(reason: str) -> None:
    job = queued(10)

    with pytest.raises(InvalidSubmission) as refused:
        reprioritise(job, priority=Priority.URGENT, actor=ANN, reason=reason)

    assert refused.value.errors == [FieldError("reason", WHY)]
    assert not Event.objects.exists()
    assert BuildJob.objects.get().priority == Priority.NORMAL


@pytest.mark.parametrize("rivals", [1, 3])
def test_many_cost_as_many_queries_as_one(
    rivals: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(rivals):
        queued(20 + number)
    job = queued(10)

    with django_assert_num_queries(2):
        assert passing_of(job, priority=Priority.HIGH).count == rivals
    with django_assert_num_queries(1):
        assert len(ahead_of(job)) == rivals
