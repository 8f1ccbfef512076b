"""Jobs and attempts in the admin site: found by what people know of them, with a way to their page."""

import pytest
from django.conf import settings
from django.contrib import admin
from django.test import Client
from django.utils import timezone

from buildboard.core.audit import record_event
from buildboard.core.models import Event
from buildboard.core.permissions import Role
from jobs.models import Artifact, BuildJob, Orchestrator, Secret
from jobs.states import JobStatus
from servers.states import ServerStatus
from tests.demo_logs import BRANCH, HOSTILE
from tests.factories import make_attempt, make_job, make_server, make_user

pytestmark = pytest.mark.django_db
JOBS = "/admin/jobs/buildjob/"


@pytest.fixture
def client() -> Client:
    operator = Client()
    operator.force_login(
        make_user(Role.OPERATOR, username="olga"), backend=settings.AUTHENTICATION_BACKENDS[-1]
    )
    return operator


@pytest.mark.parametrize("words", ["linux.git", "topic", "4e1b09c", "build-x86-01"])
def test_a_job_is_found_by_repository_branch_commit_and_server(client: Client, words: str) -> None:
    job = make_job(
        source_repository="https://git.example/linux.git",
        branch="topic",
        resolved_commit="4e1b09c" + "0" * 33,
        server_name="build-x86-01",
    )
    other = make_job()

    page = client.get("/admin/jobs/buildjob/", {"q": words}).content.decode()

    assert f"/admin/jobs/buildjob/{job.pk}/" in page
    assert f"/admin/jobs/buildjob/{other.pk}/" not in page


def test_a_job_and_its_attempt_lead_to_their_page_and_cannot_be_changed(client: Client) -> None:
    attempt = make_attempt()

    job_page = client.get(f"/admin/jobs/buildjob/{attempt.job_id}/change/").content.decode()
    attempt_page = client.get(f"/admin/jobs/attempt/{attempt.pk}/change/").content.decode()
    refused = client.post(f"/admin/jobs/buildjob/{attempt.job_id}/change/", {"status": "completed"})

    assert f'href="/jobs/{attempt.job_id}/"' in job_page
    assert f'href="/jobs/{attempt.job_id}/?attempt=1"' in attempt_page
    assert 'name="_save"' not in job_page + attempt_page
    attempt.job.refresh_from_db()
    assert (refused.status_code, attempt.job.status) == (403, JobStatus.RUNNING)


def selected(*jobs: BuildJob) -> dict[str, object]:
    return {"action": "cancel", "_selected_action": [str(job.pk) for job in jobs]}


def test_an_operator_cancels_many_jobs_and_is_told_how_each_ends(client: Client) -> None:
    waiting, other = make_job(), make_job()
    running = make_attempt().job
    ended = make_job("completed")

    page = client.post(JOBS, selected(waiting, other, running, ended), follow=True).content.decode()

    states = [BuildJob.objects.get(pk=job.pk).status for job in (waiting, other, running, ended)]
    assert states == ["cancelled", "cancelled", "running", "completed"]
    assert "2 cancelled, 1 asked to end, 1 had ended already." in page
    running.refresh_from_db()
    wish = Event.objects.get(subject_id=str(running.pk), kind="cancel_requested")
    assert running.cancel_requested_by == wish.actor == "olga"
    assert wish.door == "admin"


def test_jobs_that_have_ended_are_not_cancelled_again(client: Client) -> None:
    page = client.post(JOBS, selected(make_job("failed")), follow=True).content.decode()

    assert "1 had ended already." in page
    assert not Event.objects.exists()


@pytest.mark.parametrize("role", [Role.SUBMITTER, Role.VIEWER])
def test_who_is_no_operator_cancels_nothing_in_the_admin_site(role: Role) -> None:
    job, somebody = make_job(), Client()
    somebody.force_login(make_user(role), backend=settings.AUTHENTICATION_BACKENDS[-1])

    status = somebody.post(JOBS, selected(job)).status_code

    job.refresh_from_db()
    assert (status, job.status) == (403, JobStatus.QUEUED)


def test_artifacts_secrets_and_orchestrators_are_filtered(client: Client) -> None:
    client.force_login(make_user(Role.ADMIN), backend=settings.AUTHENTICATION_BACKENDS[-1])
    here, there = make_server(), make_server()
    for server in (here, there):
        attempt = make_attempt(server=server)
        Artifact.objects.create(attempt=attempt, path=f"{server.name}.o", size=1, sha256="0", storage_key="0")
    for name, owner in (("ANNS", "ann"), ("NOBODYS", "")):
        Secret.objects.create(name=name, created_by=owner, encrypted_value="0")
    Orchestrator.objects.create(name="ended", secret_hash="0", revoked_at=timezone.now())
    Orchestrator.objects.create(name="active", secret_hash="0")
    asked = {
        f"artifact/?attempt__server__id__exact={here.pk}": f"{here.name}.o",
        "secret/?created_by=ann": "ANNS",
        "secret/?created_by=": "NOBODYS",
        "orchestrator/?revoked_at__isnull=True": "active",
        "orchestrator/?revoked_at__isnull=False": "ended",
    }

    pages = {address: client.get(f"/admin/jobs/{address}") for address in asked}

    found = {address: [str(row) for row in page.context["cl"].result_list] for address, page in pages.items()}
    assert found == {address: [shown] for address, shown in asked.items()}


def test_every_search_says_what_it_looks_through() -> None:
    ours = [
        table
        for model, table in admin.site._registry.items()
        if model._meta.app_label in ("core", "servers", "jobs")
    ]

    assert [str(table) for table in ours if table.search_fields and not table.search_help_text] == []
    assert len([table for table in ours if table.search_fields]) == 9


def test_hostile_text_is_written_out_in_lists_and_on_pages(client: Client) -> None:
    evil = f"{HOSTILE}\u202e\x1b[31m"
    job = make_job(
        "failed", source_repository=f"https://git.example/{evil}", branch=BRANCH, error_message=evil
    )
    attempt = make_attempt(job, "failed", error_message=evil)
    artifact = Artifact.objects.create(attempt=attempt, path=evil, size=1, sha256="0", storage_key="0")
    server = make_server(status=ServerStatus.OFFLINE, status_reason=evil)
    event = record_event("job", subject_id=job.pk, kind="failed", reason=evil)
    client.force_login(make_user(Role.ADMIN), backend=settings.AUTHENTICATION_BACKENDS[-1])
    rows = {
        "jobs/buildjob": job.pk,
        "jobs/attempt": attempt.pk,
        "jobs/artifact": artifact.pk,
        "servers/buildserver": server.pk,
        "core/event": event.pk,
    }
    places = [f"/admin/{table}/{end}" for table, key in rows.items() for end in ("", f"{key}/change/")]

    pages = {place: client.get(place).content.decode() for place in places}

    told = [place for place, page in pages.items() if "\\u202e" in page]
    assert told == [place for place in places if place != "/admin/servers/buildserver/"]
    assert [place for place, page in pages.items() if set("\x1b\u202e") & set(page)] == []
    assert [place for place, page in pages.items() if HOSTILE in page or "<img src=x" in page] == []
