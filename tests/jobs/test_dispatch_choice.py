"""Which server the dispatcher takes: by what it knows of the past and of those who wait, and it says why."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from buildboard.core.models import Event
from jobs.execution.dispatch import Dispatcher
from jobs.models import Attempt, BuildJob
from jobs.queue.explain import explain_job, explain_submission
from jobs.states import JobStatus
from jobs.submission import fields_of, read_submission
from servers.models import BuildServer
from tests.api import submission
from tests.factories import make_built, make_followed, make_job
from tests.jobs.pages import Page, client_of

pytestmark = pytest.mark.django_db


def built_on(server: BuildServer, **fields: Any) -> BuildJob:
    return make_built(60, server=server, server_name=server.name, **fields)


def places(attempts: list[Attempt]) -> list[str]:
    return [attempt.server_name for attempt in attempts]


def test_a_server_that_knows_the_repository_is_preferred_among_those_that_are_loaded_alike() -> None:
    for name in "abcde":
        make_followed(name, max_concurrent_builds=1)
    known = "https://git.example/known.git"
    built_on(BuildServer.objects.get(name="d"), source_repository=known)
    make_job(source_repository=known)

    assert places(Dispatcher().dispatch()) == ["d"]


def test_who_is_named_while_a_job_waits_is_who_takes_it() -> None:
    """By lot among servers that suit it alike, and by what one has of the repository."""
    for name in "abcd":
        make_followed(name, max_concurrent_builds=9)
    known = "https://git.example/known.git"
    built_on(BuildServer.objects.get(name="c"), source_repository=known)
    dispatcher, named, taken = Dispatcher(), [], []
    for repository in [known] * 2 + ["https://git.example/new.git"] * 6:
        job = make_job(source_repository=repository)
        named.append(explain_job(job).servers[0].server.name)
        taken += places(dispatcher.dispatch())

    assert named == taken
    assert named[:2] == ["c", "c"]
    assert len(set(named)) > 1


def test_who_would_take_what_is_not_submitted_is_named_by_the_past_too() -> None:
    for name in "abcd":
        make_followed(name)
    known = "https://git.example/known.git"
    built_on(BuildServer.objects.get(name="c"), source_repository=known)

    found = explain_submission(fields_of(read_submission(submission(source_repository=known))))

    assert [one.server.name for one in found.servers] == ["c", "a", "b", "d"]


def test_idle_servers_that_suit_alike_share_the_jobs() -> None:
    for name in "abc":
        make_followed(name, max_concurrent_builds=2)
    for _ in range(3):
        make_job()

    assert sorted(places(Dispatcher().dispatch())) == ["a", "b", "c"]


def test_a_server_for_which_others_wait_that_fit_no_other_is_left_to_them() -> None:
    """One job alone would be too large for what is free of its disk just now."""
    roomy = {"total_storage_gb": 500, "free_storage_mib": 20 * 1024}
    make_followed("large", **roomy)
    small = make_followed("small", total_storage_gb=50, free_storage_mib=20 * 1024)
    for _ in range(3):
        make_job(spec={"min_storage_gb": 100})
    dispatcher = Dispatcher()
    assert dispatcher.dispatch() == []

    first = make_job()
    make_job()
    assert explain_job(first).servers[0].server.name == small.name
    attempts = dispatcher.dispatch(explain=False)

    assert places(attempts)[0] == small.name


def test_a_job_with_a_fallback_takes_another_server_while_its_own_is_full_and_else_waits_for_it() -> None:
    asked, other = (
        make_followed("asked", max_concurrent_builds=1),
        make_followed("other", max_concurrent_builds=9),
    )
    spec = {"server_id": "asked"}
    jobs = [
        make_job(requested_server=asked, spec={**spec, "server_fallback": fallback}, created_at=made_at)
        for fallback, made_at in zip(
            (True, True, False), (timezone.now() + timedelta(seconds=n) for n in range(3)), strict=True
        )
    ]

    attempts = Dispatcher().dispatch()

    assert {attempt.job_id: attempt.server_name for attempt in attempts} == {
        jobs[0].pk: asked.name,
        jobs[1].pk: other.name,
    }
    assert BuildJob.objects.get(pk=jobs[2].pk).status == JobStatus.QUEUED


def test_the_timeline_tells_why_it_was_this_server() -> None:
    server = make_followed("north")
    built_on(server)
    make_followed("south", max_concurrent_builds=1)
    job = make_job()

    Dispatcher().dispatch()

    why = "The best of 2 that could take it: 4 of 4 slots free, has built this repository lately."
    event = Event.objects.get(subject_id=str(job.pk), kind="claimed")
    assert (event.reason, event.data) == (why, {"attempt": 1, "server": "north"})
    page = Page(client_of().get(f"/jobs/{job.pk}/?view=events").content.decode())
    assert why in page.text
