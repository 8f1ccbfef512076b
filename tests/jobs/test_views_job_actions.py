"""Cancelling and retrying from a job's page: what is asked first, what happens, who may."""

from typing import Any

import pytest
from django.test import Client

from buildboard.core.audit import Actor
from buildboard.core.models import Event
from buildboard.core.permissions import Role
from jobs.lifecycle import submit_job
from jobs.models import BuildJob
from tests.factories import make_attempt, make_job, make_user
from tests.jobs.pages import Page, client_of, page_of

pytestmark = pytest.mark.django_db


def own_job(**fields: Any) -> tuple[BuildJob, Client]:
    person = make_user(Role.SUBMITTER)
    return make_job(created_by=person, **fields), client_of(user=person)


def test_cancel_asks_first_and_then_cancels_a_queued_job() -> None:
    job, client = own_job()

    asked = Page(client.get(f"/jobs/{job.pk}/cancel/").content.decode())
    job.refresh_from_db()
    before = job.status
    answer = client.post(f"/jobs/{job.pk}/cancel/", follow=True)
    job.refresh_from_db()

    assert asked.find("form", action=f"/jobs/{job.pk}/cancel/")[0]["method"] == "post"
    assert (before, job.status) == ("queued", "cancelled")
    assert answer.redirect_chain == [(f"/jobs/{job.pk}/", 302)]
    assert "Cancelled." in Page(answer.content.decode()).text
    assert Event.objects.get(subject_id=str(job.pk)).door == "page"


def test_cancelling_a_running_job_is_a_wish_that_the_page_shows() -> None:
    job, client = own_job(status="running")
    make_attempt(job)

    page = Page(client.post(f"/jobs/{job.pk}/cancel/", follow=True).content.decode())

    job.refresh_from_db()
    assert (job.status, job.cancel_requested_at is not None) == ("running", True)
    assert "Asked to cancel: it ends when its server confirms" in page.text
    assert "cancelling, asked" in page.text
    assert page.find("dialog", id="cancel-dialog") != []
    assert page.find("a", href=f"/jobs/{job.pk}/cancel/") == []


def test_a_finished_job_is_not_cancelled() -> None:
    job, client = own_job(status="completed")

    page = Page(client.post(f"/jobs/{job.pk}/cancel/", follow=True).content.decode())

    job.refresh_from_db()
    assert job.status == "completed"
    assert "Nothing to cancel: the job is completed." in page.text


def test_retry_asks_first_and_then_makes_a_new_job() -> None:
    person = make_user(Role.SUBMITTER)
    client = client_of(user=person)
    job = make_job("failed", created_by=person, branch="topic", spec={"branch": "topic"})

    assert client.get(f"/jobs/{job.pk}/retry/").status_code == 200
    assert BuildJob.objects.count() == 1
    answer = client.post(f"/jobs/{job.pk}/retry/")

    again = BuildJob.objects.get(retry_of=job)
    assert (answer.status_code, answer["Location"]) == (302, f"/jobs/{again.pk}/")
    assert (again.branch, again.status, again.created_by) == ("topic", "queued", person)


def test_why_a_job_was_retried_is_kept_in_the_events_of_both_and_shown() -> None:
    person = make_user(Role.SUBMITTER)
    client = client_of(user=person)
    job = make_job("failed", created_by=person)

    asked = Page(client.get(f"/jobs/{job.pk}/retry/").content.decode())
    client.post(f"/jobs/{job.pk}/retry/", {"reason": " the mirror\n was <b>down</b> "})

    again = BuildJob.objects.get(retry_of=job)
    assert [one.get("maxlength") for one in asked.find("input", name="reason")] == ["500"]
    assert list(Event.objects.order_by("sequence").values_list("subject_id", "kind", "reason")) == [
        (str(again.pk), "submitted", "the mirror was <b>down</b>"),
        (str(job.pk), "retried", "the mirror was <b>down</b>"),
    ]
    told = f"by {person.username} the mirror was <b>down</b>"
    assert f"Submitted again as a new job {told}" in page_of(job, "?view=events", client=client).text
    assert f"Queued {told}" in page_of(again, "?view=events", client=client).text


def test_an_unfinished_job_is_not_retried() -> None:
    job, client = own_job(status="running")

    page = Page(client.post(f"/jobs/{job.pk}/retry/", follow=True).content.decode())

    assert BuildJob.objects.count() == 1
    assert "The job is running: it can be retried when it has ended." in page.text


def test_a_full_queue_refuses_a_retry(settings: Any) -> None:
    job, client = own_job(status="failed")
    make_job()
    settings.MAX_QUEUE_SIZE = 1

    page = Page(client.post(f"/jobs/{job.pk}/retry/", follow=True).content.decode())

    assert "The queue is full (1 jobs are waiting)." in page.text


@pytest.mark.parametrize("verb", ["cancel", "retry"])
@pytest.mark.parametrize(
    ("role", "status"), [(Role.VIEWER, 403), (Role.SUBMITTER, 403), (Role.OPERATOR, 302), (Role.ADMIN, 302)]
)
def test_another_ones_job_is_for_operators(verb: str, role: str, status: int) -> None:
    job = make_job("queued" if verb == "cancel" else "failed", created_by=make_user(Role.SUBMITTER))
    client = client_of(role)

    answer = client.post(f"/jobs/{job.pk}/{verb}/")
    dialogs = {one["id"] for one in page_of(job, client=client_of(role)).find("dialog")}

    assert answer.status_code == status
    assert (dialogs > {"keys-dialog"}) is (status == 302)


def test_a_visitor_cannot_cancel_even_under_public_read(settings: Any) -> None:
    settings.PUBLIC_READ = True
    job = make_job()

    answer = Client().post(f"/jobs/{job.pk}/cancel/")

    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/")
    assert BuildJob.objects.get().status == "queued"


def test_a_form_without_its_token_is_refused() -> None:
    person = make_user(Role.SUBMITTER)
    job = submit_job(
        {"source_repository": "https://git.example/x", "target_architecture": "x86_64"},
        actor=Actor(name=person.username, door="page"),
        user=person,
    )
    client = Client(enforce_csrf_checks=True)
    client.cookies = client_of(user=person).cookies

    assert client.post(f"/jobs/{job.pk}/cancel/").status_code == 403
    assert BuildJob.objects.get().status == "queued"
