"""One job's page: what it shows in each state, and how it polls."""

import uuid

import pytest
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from buildboard.core.models import Event
from buildboard.core.permissions import Role
from jobs.models import Attempt, BuildJob
from jobs.states import JOB_TERMINAL, AttemptStatus, ErrorCategory, JobStatus
from jobs.views.ending import ADVICE
from jobs.views.log_windows import log_start_ms
from tests.factories import make_attempt, make_job, make_server
from tests.jobs.log_writing import write_log
from tests.jobs.pages import FRAGMENT, Page, client_of, page_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", JobStatus.values)
def test_every_state_has_its_page_and_its_pace(status: str) -> None:
    job = make_job(status)

    page = page_of(job)

    (region,) = page.find("div", id="job")
    assert region["data-poll"] == ("10000" if status in JOB_TERMINAL else "2000")
    assert page.broken == []
    assert ("Why is it waiting?" in page.text) is (status == "queued")


def test_a_cancelled_build_is_not_shown_as_a_failure() -> None:
    job = make_job("cancelled", exit_code=143, error_message="Build cancelled")
    make_attempt(
        job, AttemptStatus.CANCELLED, phase="building", exit_code=143, error_message="Build cancelled"
    )

    page = page_of(job)

    assert "exit code" not in page.text
    assert "Attempt 1: Cancelled" not in page.text
    assert not page.find("svg", **{"class": "i i-sm bad"})


@pytest.mark.parametrize("category", [one for one in ErrorCategory if one != ErrorCategory.CANCELLED])
def test_a_failure_says_what_it_means(category: ErrorCategory) -> None:
    job = make_job("failed", error_category=category, error_message="boom <b>", exit_code=2)
    make_attempt(job, AttemptStatus.FAILED)

    page = page_of(job)

    assert "boom <b>" in page.text
    assert " ".join(ADVICE[category].split()) in page.text


def test_a_running_job_shows_steps_and_a_log_that_goes_on_by_itself() -> None:
    attempt = write_log(make_attempt(), b"one\ntwo")
    Event.objects.create(
        subject_type="job",
        subject_id=str(attempt.job_id),
        kind="phase",
        data={"attempt": 1, "phase": "building"},
    )

    page = page_of(attempt.job)

    (log,) = page.find("bb-log")
    assert log == {
        "id": f"log-{attempt.pk}",
        "data-keep": "",
        "src": f"/jobs/{attempt.job_id}/log/",
        "attempt": "1",
        "total": "1",
        "start": str(log_start_ms(attempt)),
        "raw": f"/api/v1/infrastructure/build-jobs/{attempt.job_id}/logs/raw?attempt=1",
        "live": "",
        "socket": f"/ws/jobs/{attempt.job_id}/log?attempt=1",
        "offset": "7",
    }
    assert [row["id"] for row in page.find("div", **{"class": "ll"})] == ["L1", "L2"]
    assert [one.get("aria-current", "") for one in page.find("div", **{"class": "stepi"})] == [
        "",
        "",
        "step",
        "",
    ]


def test_a_finished_log_is_not_streamed() -> None:
    attempt = write_log(make_attempt(status=AttemptStatus.COMPLETED), b"done\n")

    (log,) = page_of(attempt.job).find("bb-log")

    assert {"live", "socket", "offset"} & set(log) == set()


def test_a_poll_answers_nothing_until_something_changed_and_then_never_the_log() -> None:
    attempt = write_log(make_attempt(), b"one\n")
    client = client_of()
    (region,) = page_of(attempt.job, client=client).find("div", id="job")

    write_log(attempt, b"two\n")
    unchanged = client.get(region["hx-get"], headers=FRAGMENT)
    Attempt.objects.filter(pk=attempt.pk).update(unreachable_since=timezone.now())
    changed = client.get(region["hx-get"], headers=FRAGMENT).content.decode()

    page = Page(changed)
    assert unchanged.status_code == 204
    assert "cannot be reached since" in page.text
    assert page.find("div", **{"class": "ll"}) == []
    assert page.find("bb-log")[0]["id"] == f"log-{attempt.pk}"
    assert "<!doctype" not in changed


@pytest.mark.parametrize("change", ["event", "reason", "status"])
def test_each_change_that_shows_makes_a_new_version(change: str) -> None:
    job = make_job()
    client = client_of()
    (region,) = page_of(job, client=client).find("div", id="job")

    if change == "event":
        Event.objects.create(subject_type="job", subject_id=str(job.pk), kind="priority_changed")
    elif change == "reason":
        make_server("north")
    else:
        client.post(f"/jobs/{job.pk}/cancel/")
        BuildJob.objects.filter(pk=job.pk).update(status="claimed", updated_at=timezone.now())

    assert client.get(region["hx-get"], headers=FRAGMENT).status_code == 200


def test_an_earlier_attempt_is_shown_by_its_number() -> None:
    job = make_job("running")
    write_log(make_attempt(job, AttemptStatus.LOST, error_message="gone"), b"first\n")
    write_log(make_attempt(job), b"second\n")

    page = page_of(job, "?attempt=1")

    assert ("first" in page.text, "second" in page.text) == (True, False)
    assert page.find("section", aria_label="Why attempt 1 failed") != []
    assert "gone Lost" in page.text
    assert client_of().get(f"/jobs/{job.pk}/?attempt=9").status_code == 404


def test_hostile_text_stays_text() -> None:
    evil = '"><script>alert(1)</script>'
    job = make_job(
        "failed",
        source_repository=f"javascript:alert(1)//{evil}",
        branch=evil,
        commit_hash=evil,
        target_architecture=evil[:32],
        server_name=evil,
        error_message=evil,
        labels={evil: evil},
        spec={"build_command": evil},
    )
    write_log(make_attempt(job, AttemptStatus.FAILED, error_message=evil), evil.encode())
    Event.objects.create(
        subject_type="job",
        subject_id=str(job.pk),
        kind=evil,
        actor=evil,
        reason=evil,
        data={"retry": "x", "server": evil},
    )
    client = client_of(Role.OPERATOR)

    for address in (f"/jobs/{job.pk}/", f"/jobs/{job.pk}/log/", "/jobs/", f"/jobs/{job.pk}/retry/"):
        answer = client.get(address)
        assert (answer.status_code, Page(answer.content.decode()).broken) == (200, [])
        assert evil not in answer.content.decode()


def test_the_number_of_queries_does_not_grow_with_attempts_and_events(
    django_assert_max_num_queries: DjangoAssertNumQueries, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    job = make_job("running")
    client = client_of()
    write_log(make_attempt(job), b"x\n")
    address = f"/jobs/{job.pk}/"
    with django_assert_max_num_queries(15) as first:
        client.get(address)
    Attempt.objects.filter(job=job).update(status="lost", completed_at=timezone.now())
    for _ in range(8):
        make_attempt(job, AttemptStatus.LOST)
        Event.objects.create(subject_type="job", subject_id=str(job.pk), kind="claimed", data={"attempt": 1})
    write_log(make_attempt(job), b"x\n")

    with django_assert_num_queries(len(first.captured_queries)):
        client.get(address)


def test_an_unknown_job_is_not_found() -> None:
    client = client_of(Role.OPERATOR)

    for path in ("", "log/", "cancel/", "retry/"):
        assert client.get(f"/jobs/{uuid.uuid4()}/{path}").status_code == 404


def test_artifacts_that_were_not_kept_are_named_as_text() -> None:
    sentence = "out/<img src=x onerror=alert(1)>: it changed while it was read"
    attempt = make_attempt(status=AttemptStatus.COMPLETED, metrics={"artifacts_left_out": [sentence]})

    page = page_of(attempt.job, "?view=artifacts")

    assert sentence in page.text
    assert page.find("img", src="x") == []


def test_all_jobs_are_searched_from_every_page_but_the_list_which_has_its_own_search() -> None:
    client, label = client_of(), {"aria-label": "Find jobs everywhere"}
    places = ["/", f"/jobs/{make_job().pk}/", "/servers/", "/jobs/"]

    found = [Page(client.get(place).content.decode()).find("input", **label) for place in places]

    assert [len(one) for one in found] == [1, 1, 1, 0]
