"""Jobs and attempts in the admin site: found by what people know of them, with a way to their page."""

import pytest
from django.conf import settings
from django.test import Client

from buildboard.core.audit import record_event
from buildboard.core.permissions import Role
from jobs.models import Artifact
from jobs.states import JobStatus
from servers.states import ServerStatus
from tests.demo_logs import BRANCH, HOSTILE
from tests.factories import make_attempt, make_job, make_server, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    operator = Client()
    operator.force_login(make_user(Role.OPERATOR), backend=settings.AUTHENTICATION_BACKENDS[-1])
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
