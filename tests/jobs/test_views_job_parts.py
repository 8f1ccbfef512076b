"""The views of a job's page: its tabs, how it ended and why, progress, resources, the spec, its priority."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from buildboard.core.models import Event
from buildboard.core.permissions import Role
from jobs.models import Attempt, BuildJob
from jobs.states import AttemptStatus, ErrorCategory
from jobs.views.ending import cause_of
from servers.models import ProbeSample
from tests.factories import make_attempt, make_built, make_job, make_server, make_user
from tests.jobs.log_writing import write_log
from tests.jobs.pages import FRAGMENT, Page, client_of

pytestmark = pytest.mark.django_db


def page_of(job: BuildJob, query: str = "", *, client: Client | None = None) -> Page:
    answer = (client or client_of()).get(f"/jobs/{job.pk}/{query}")
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.broken == []
    return page


def tabs_of(page: Page) -> list[tuple[str, bool]]:
    """The tabs, and which is the current one."""
    tabs = [one for one in page.find("a") if one.get("id", "").startswith("tab-")]
    return [(one["id"].removeprefix("tab-"), "aria-current" in one) for one in tabs]


# ---- tabs ----------------------------------------------------------------------------------------------


def test_a_queued_job_shows_why_it_waits_and_has_no_log_yet() -> None:
    rest = ["events", "resources", "artifacts", "spec"]

    assert tabs_of(page_of(make_job())) == [("waiting", True), *((name, False) for name in rest)]


def test_a_started_job_shows_its_log() -> None:
    rest = ["events", "resources", "artifacts", "spec"]

    assert tabs_of(page_of(make_attempt().job)) == [("log", True), *((name, False) for name in rest)]


def test_a_job_that_waits_again_has_the_logs_of_its_attempts() -> None:
    job = make_job()
    write_log(make_attempt(job, AttemptStatus.FAILED), b"first try\n")

    assert tabs_of(page_of(job))[:2] == [("waiting", True), ("log", False)]
    assert "first try" in page_of(job, "?attempt=1").text


@pytest.mark.parametrize("view", ["log", "events", "resources", "artifacts", "spec"])
def test_each_view_has_an_address_that_its_poll_keeps(view: str) -> None:
    attempt = make_attempt()
    client = client_of()

    page = page_of(attempt.job, f"?attempt=1&view={view}", client=client)
    (region,) = page.find("div", id="job")
    Attempt.objects.filter(pk=attempt.pk).update(unreachable_since=timezone.now())
    polled = Page(client.get(region["hx-get"], headers=FRAGMENT).content.decode())

    assert [name for name, is_current in tabs_of(polled) if is_current] == [view]
    assert tabs_of(page) == tabs_of(polled)
    assert page.find("a", id="tab-spec")[0]["href"] == "?attempt=1&view=spec"


@pytest.mark.parametrize("view", ["", "nothing", "waiting", "<b>"])
def test_a_view_that_there_is_not_is_the_first_one(view: str) -> None:
    assert ("log", True) in tabs_of(page_of(make_attempt().job, f"?view={view}"))


# ---- how it ended --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("errors", "cause"),
    [([], None), ([7], 7), ([3, 47913, 47917, 47928], 47913), ([100, 200, 301], 301)],
)
def test_the_error_to_begin_with_is_the_first_of_the_last_that_stand_together(
    errors: list[int], cause: int | None
) -> None:
    assert cause_of(errors) == cause


def test_the_card_of_a_failure_has_the_line_of_the_log_that_tells_why() -> None:
    job = make_job("failed", error_category=ErrorCategory.EXIT_CODE, exit_code=2)
    attempt = make_attempt(
        job,
        AttemptStatus.FAILED,
        error_category=ErrorCategory.EXIT_CODE,
        exit_code=2,
        error_message="The build command failed with exit code 2.",
    )
    log = b"ok\n" * 1200 + b"\x1b[1mmain.c:5:9: \x1b[31merror:\x1b[0m what is <this>\nmake: *** Error 2\n"
    write_log(attempt, log)

    page = page_of(job)

    assert (
        "The build command failed with exit code 2. main.c:5:9: error: what is <this> line 1,201" in page.text
    )
    assert page.find("a", href=f"/jobs/{job.pk}/?attempt=1#L1201") != []
    assert page.find("a", href=f"/jobs/{job.pk}/log/?attempt=1&line=1201#L1201") != []
    assert "failed" in page.find("bb-log")[0]


def test_a_second_failure_in_the_same_words_is_told() -> None:
    job = make_job("failed", error_category=ErrorCategory.EXIT_CODE)
    same: dict[str, Any] = {
        "error_category": ErrorCategory.EXIT_CODE,
        "exit_code": 2,
        "error_message": "Bad.",
    }
    make_attempt(job, AttemptStatus.FAILED, **same)
    make_attempt(job, AttemptStatus.FAILED, **same)

    assert "attempt 1 failed in the same way, so another try is unlikely to help" in page_of(job).text
    assert "in the same way" not in page_of(job, "?attempt=1").text


def test_a_job_that_failed_without_an_attempt_says_why_and_that_there_is_no_log() -> None:
    job = make_job("failed", error_category=ErrorCategory.SYSTEM, error_message="It waited for too long.")

    page = page_of(job)

    assert "It waited for too long. System" in page.text
    assert "Nothing of this job was started, so nothing was written." in page.text


def test_a_cancelled_job_says_by_whom_and_why() -> None:
    person = make_user(Role.SUBMITTER)
    job = make_job(created_by=person)
    client = client_of(user=person)

    client.post(f"/jobs/{job.pk}/cancel/", {"reason": "superseded\nby <b>\x00"})

    assert f"Cancelled by {person.username} superseded by <b>" in page_of(job, client=client).text
    assert Event.objects.get(subject_id=str(job.pk)).reason == "superseded by <b>"


def test_an_attempt_that_was_given_back_is_no_failure() -> None:
    job = make_job()
    make_attempt(job, AttemptStatus.RELEASED, error_message="north did not answer")

    page = page_of(job, "?attempt=1")

    assert "Attempt 1: Released north did not answer" in page.text
    assert page.find("section", **{"class": "note bad mb-3"}) == []


def test_what_turns_text_around_is_written_out() -> None:
    turned = "\u202egnp.exe"
    job = make_job("failed", branch=turned, error_message=turned, spec={"build_command": turned})
    make_attempt(job, AttemptStatus.FAILED, error_message=turned, server_name="north")

    for query in ("", "?view=events", "?view=spec"):
        page = page_of(job, query)
        assert "\u202e" not in page.text
        assert "\\u202egnp.exe" in page.text


# ---- progress, resources, spec -------------------------------------------------------------------------


def test_a_running_build_is_measured_by_those_before_it() -> None:
    now = timezone.now()
    for seconds in (590, 600, 610):
        make_built(seconds, ended_at=now)
    job = make_job("running", progress=10)
    make_attempt(job, started_at=now - timedelta(minutes=4))

    with time_machine.travel(now, tick=False):
        page = page_of(job)

    assert "Phase 3 of 4 Building on a server 40% · 5–7 min left" in page.text
    assert "Builds of this branch usually take 10m 00s, eight of ten 9–11 min." in page.text
    expected = page.text.partition("Expected end ")[2].partition(" UTC")[0]
    assert expected == f"{now + timedelta(seconds=305):%H:%M}–{now + timedelta(seconds=420):%H:%M}"
    assert page.find("progress")[0]["value"] == "40"


def test_a_build_that_takes_longer_than_usual_says_so() -> None:
    now = timezone.now()
    make_built(60, ended_at=now)
    job = make_job("running", progress=10)
    make_attempt(job, started_at=now - timedelta(minutes=3))

    with time_machine.travel(now, tick=False):
        text = page_of(job).text

    assert re.search(r"99% · [\d–<]+ (s|min) left · 2m 00s over its usual time", text)


def test_the_resources_are_those_of_the_attempts_own_time() -> None:
    server = make_server("north")
    now = timezone.now()
    job = make_job("completed")
    make_attempt(
        job,
        AttemptStatus.COMPLETED,
        server=server,
        server_name="north",
        started_at=now - timedelta(minutes=2),
        completed_at=now,
    )
    for minutes, percent in ((10, 99.0), (2, 10.0), (1, 30.0), (0, 50.0)):
        ProbeSample.objects.create(server=server, at=now - timedelta(minutes=minutes), cpu_percent=percent)

    page = page_of(job, "?view=resources")

    (chart,) = page.find("svg", **{"class": "chart mt-1.5"})
    assert chart["aria-label"] == "CPU of the server while it ran: 50% at most, 30% on average."
    assert [path["d"] for path in page.find("path", **{"class": "s-run"})] == [
        "M0.0,63.7L150.0,50.1L300.0,36.5"
    ]


def test_without_a_measurement_the_resources_say_so() -> None:
    assert "Nothing was measured" in page_of(make_attempt().job, "?view=resources").text


def test_the_spec_is_shown_as_it_was_given() -> None:
    job = make_job(spec={"branch": "main", "environment": {"A": "<b>é"}})

    assert '{ "branch": "main", "environment": { "A": "<b>é" } }' in page_of(job, "?view=spec").text


# ---- priority ------------------------------------------------------------------------------------------


def test_an_operator_changes_the_priority_of_a_queued_job() -> None:
    job = make_job()
    client = client_of(Role.OPERATOR)

    asked = Page(client.get(f"/jobs/{job.pk}/priority/").content.decode())
    answer = client.post(
        f"/jobs/{job.pk}/priority/", {"priority": "urgent", "reason": "release"}, follow=True
    )

    job.refresh_from_db()
    event = Event.objects.get(subject_id=str(job.pk))
    assert [one["value"] for one in asked.find("input", type="radio") if "checked" in one] == ["high"]
    assert (job.priority, event.kind, event.reason, event.door) == (30, "priority_changed", "release", "page")
    assert "Its priority is urgent now." in Page(answer.content.decode()).text


def test_whom_it_would_pass_is_shown_before_and_told_after() -> None:
    now = timezone.now()
    make_job(source_repository="https://git.example/older.git", created_at=now - timedelta(minutes=9))
    job = make_job(created_at=now - timedelta(minutes=5))
    make_job(source_repository="https://git.example/newer.git", created_at=now)
    client = client_of(Role.OPERATOR)

    asked = Page(client.get(f"/jobs/{job.pk}/priority/").content.decode())
    client.post(f"/jobs/{job.pk}/priority/", {"priority": "urgent", "reason": "release"})

    assert "Urgent It overtakes 1 job: older main High It overtakes 1 job: older main" in asked.text
    assert "Normal (as it is) Low 1 job overtakes it: newer main" in asked.text
    assert "Priority normal to urgent, past 1 other" in page_of(job, "?view=events", client=client).text


def test_without_javascript_the_priority_is_asked_on_a_page() -> None:
    job = make_job()

    page = Page(client_of(Role.OPERATOR).get(f"/jobs/{job.pk}/priority/").content.decode())

    assert page.broken == []
    assert page.find("form", action=f"/jobs/{job.pk}/priority/")[0]["method"] == "post"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER])
def test_priorities_are_for_operators(role: str) -> None:
    person = make_user(role)
    job = make_job(created_by=person)
    client = client_of(user=person)

    assert page_of(job, client=client).find("a", href=f"/jobs/{job.pk}/priority/") == []
    assert client.post(f"/jobs/{job.pk}/priority/", {"priority": "urgent"}).status_code == 403
    assert BuildJob.objects.get().priority == 10


def test_a_job_that_waits_no_more_keeps_its_priority() -> None:
    job = make_job("running")
    client = client_of(Role.OPERATOR)

    given = {"priority": "low", "reason": "can wait"}
    page = Page(client.post(f"/jobs/{job.pk}/priority/", given, follow=True).content.decode())

    assert "Nothing changed: the job is running, not queued." in page.text
    assert BuildJob.objects.get().priority == 10


@pytest.mark.parametrize(
    ("given", "problem", "checked", "kept"),
    [
        ({"priority": "99", "reason": "<b>"}, "Choose among low, normal, high and urgent.", "normal", "<b>"),
        ({"reason": "release"}, "Choose among low, normal, high and urgent.", "normal", "release"),
        ({"priority": "urgent"}, "Say why; its events tell it", "urgent", ""),
        ({"priority": "low", "reason": " \x00 "}, "Say why; its events tell it", "low", ""),
    ],
)
def test_without_a_priority_or_a_reason_it_asks_again(
    given: dict[str, str], problem: str, checked: str, kept: str
) -> None:
    job = make_job()
    client = client_of(Role.OPERATOR)

    answer = client.post(f"/jobs/{job.pk}/priority/", given)

    page = Page(answer.content.decode())
    assert (answer.status_code, page.broken) == (422, [])
    assert problem in page.text
    assert [one["value"] for one in page.find("input", type="radio") if "checked" in one] == [checked]
    (field,) = page.find("input", name="reason")
    assert (field["value"], "required" in field) == (kept, True)
    assert BuildJob.objects.get().priority == 10
    assert not Event.objects.filter(subject_id=str(job.pk)).exists()


def test_the_priority_of_no_job_is_not_asked() -> None:
    client = client_of(Role.OPERATOR)

    assert client.get(f"/jobs/{uuid.uuid4()}/priority/").status_code == 404
