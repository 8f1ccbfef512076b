"""Jobs and attempts in the admin site: found by what people know of them, with a way to their page."""

import pytest
from django.conf import settings
from django.test import Client

from buildboard.core.permissions import Role
from jobs.states import JobStatus
from tests.factories import make_attempt, make_job, make_user

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
