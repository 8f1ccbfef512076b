"""One job's page: what it shows in each state, and how it polls."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from buildboard.core.models import Event
from buildboard.core.permissions import Role
from jobs.models import Attempt, BuildJob, KeptForecast, Refusal
from jobs.states import JOB_TERMINAL, AttemptStatus, ErrorCategory, JobStatus
from jobs.views.ending import ADVICE
from jobs.views.log_windows import log_start_ms
from jobs.views.waiting_servers import A_PAGE
from servers.models import BuildServer
from servers.states import ServerStatus
from tests.factories import make_attempt, make_built, make_followed, make_job, make_server
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


def test_a_waiting_job_says_its_place_and_every_server() -> None:
    make_followed("north", max_concurrent_builds=1, held=1)
    make_followed("west <b>", architectures=["aarch64"])
    make_job(created_at=timezone.now() - timedelta(hours=1))
    job = make_job(required_labels={}, spec={"min_memory_mb": None, "server_id": "auto"})

    page = page_of(job)

    assert page.broken == []
    assert "north, the only build server that fits, is busy. It is number 2 in the queue" in page.text
    assert "It starts when the slot of north comes free, and the job ahead of it has started." in page.text
    assert "2 of 2 (1 for x86_64 ahead)" in page.text
    assert "2 servers 2 build x86_64 1 in service 1 within their limits 1 a free slot now 0" in page.text
    assert "Ahead of it demo main" in page.text
    assert "Busy It waits for its turn: nothing has to be done." in page.text
    assert "All 2 Busy 1 Impossible 1" in page.text
    assert (
        "north Busy Is full: its only slot is taken. yes yes yes yes no Is full: its only slot is taken. —"
        in page.text
    )
    assert "no · not checked yes yes yes Builds aarch64, not x86_64. —" in page.text


@pytest.mark.parametrize(
    ("fields", "badge"),
    [
        ({"draining": True}, "Draining"),
        ({"status": ServerStatus.MAINTENANCE}, "Maintenance"),
        ({"status": ServerStatus.OFFLINE}, "Offline"),
        ({"starts_refused_until": timezone.now() + timedelta(hours=1)}, "Offline"),
    ],
)
def test_a_server_out_of_service_has_the_badge_of_what_it_is(fields: dict[str, Any], badge: str) -> None:
    make_followed("north", **fields)

    assert f"north {badge} Is " in page_of(make_job()).text


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({}, "How good estimates of a start are is not known yet."),
        (
            {"starts": {"estimates": 9, "within_25_percent": 78, "in_range": 80}, "ends": None},
            "Of the last 9 estimates of a start, 80% had it in their range, 78% were within 25% of it.",
        ),
    ],
)
def test_an_expected_start_is_a_range_with_how_good_such_estimates_have_been(
    record: dict[str, Any], told: str
) -> None:
    make_followed("north", max_concurrent_builds=1, held=1)
    now = timezone.now()
    for _ in range(3):
        make_built(600)
    KeptForecast.objects.create(pk=1, made_at=now - timedelta(days=1), next_at=now, track_record=record)

    page = page_of(make_job())

    start = re.search(r"Expected start (.+?) \(learnt from 3 past builds\) (.+?) Expected end", page.text)
    assert start is not None
    assert "–" in start[1]
    assert start[2] == told


def test_without_any_history_the_expected_start_says_that_it_is_a_guess() -> None:
    make_followed("north", max_concurrent_builds=1, held=1)

    page = page_of(make_job())

    assert re.search(
        r"Expected start [^()]+ \(a guess: no build has completed yet\) Place in the queue", page.text
    )
    assert page.find("div", id="track-record") == []


def test_what_a_waiting_job_needs_is_shown() -> None:
    spec = {"min_memory_mb": 65536, "min_cpu_cores": 8, "min_storage_gb": 20, "server_id": "north"}
    job = make_job(required_toolchain="gcc-12", group="arm", required_labels={"site": "a"}, spec=spec)

    page = page_of(job)

    assert "Needs x86_64 gcc-12 north group arm site=a 8 cores 64 GB 20 GB free" in page.text


def test_a_job_of_a_board_without_servers_says_so_first() -> None:
    page = page_of(make_job())

    assert "There is no build server yet." in page.text
    assert "It starts when a build server is added that builds x86_64." in page.text
    assert "Every server, every condition" not in page.text


def test_servers_come_in_pages_and_by_what_they_are_to_the_job() -> None:
    names = [f"s{number:03}" for number in range(A_PAGE + 1)]
    BuildServer.objects.bulk_create(
        BuildServer(name=name, transport="local", architectures=["x86_64"], status="offline")
        for name in names
    )
    make_followed("arm", architectures=["aarch64"])
    job, client = make_job(), client_of()

    first = page_of(job, client=client)
    behind = page_of(job, first.find("a", rel="next")[0]["href"].partition("#")[0], client=client)
    others = page_of(job, "?servers=impossible", client=client)
    unknown = page_of(job, "?servers=moon&from=9999", client=client)

    names_of = dict(BuildServer.objects.values_list("pk", "name"))

    def shown(page: Page) -> list[str]:
        rows = [one.get("id", "") for one in page.find("tr")]
        ids = [row.removeprefix("condition-") for row in rows if row.startswith("condition-")]
        return [names_of[uuid.UUID(one)] for one in ids]

    assert f"All {A_PAGE + 2} Out of service {A_PAGE + 1} Impossible 1" in first.text
    assert shown(first) == names[:A_PAGE]
    assert shown(behind) == [names[-1], "arm"]
    assert f"201–202 of {A_PAGE + 2}, nearest first" in behind.text
    assert behind.find("a", rel="prev")[0]["href"] == "?view=waiting#conditions"
    assert shown(others) == ["arm"]
    assert shown(unknown) == names[:A_PAGE]


def test_what_a_job_has_waited_for_is_told_while_it_waits_and_after() -> None:
    north = make_followed("north", max_concurrent_builds=1)
    began = timezone.now() - timedelta(minutes=14)
    job = make_job(created_at=began)
    half = began + timedelta(minutes=9)
    Refusal.objects.create(job=job, server=north, condition="full", since=began, until=half)
    Refusal.objects.create(job=job, server=north, condition="draining", since=half)

    waiting = page_of(job)
    attempt = make_attempt(job)
    BuildJob.objects.filter(pk=job.pk).update(status="running", started_at=timezone.now())
    job.refresh_from_db()
    running = page_of(job)

    told = "Waited 14 min: 9 full, 5 draining"
    assert f"So far {told}" in waiting.text
    assert "What stood in its way, and when" in waiting.text
    assert f"In the queue {told}" in running.text
    assert attempt.number == 1


def test_a_finding_says_for_how_long_where_a_look_has_kept_it() -> None:
    full = make_followed("full", max_concurrent_builds=1, held=1)
    make_followed("arm", architectures=["aarch64"])
    now = timezone.now().replace(microsecond=0)
    began = now - timedelta(minutes=14)
    first, behind = (make_job(created_at=began, needs_key="k") for _ in range(2))
    Refusal.objects.create(job=first, server=full, condition="full", since=began, needs_key="k")

    with time_machine.travel(now, tick=False):
        pages = [page_of(job) for job in (first, behind)]

    for page in pages:
        assert "yes yes yes yes no Is full: its only slot is taken. for 14m —" in page.text
        assert "Builds aarch64, not x86_64. —" in page.text
        ages = [one for one in page.find("time", datetime=f"{began:%Y-%m-%dT%H:%M:%SZ}") if "data-rel" in one]
        assert {one["title"] for one in ages} == {f"{began:%Y-%m-%d %H:%M:%S} UTC"}


def test_the_panel_of_a_waiting_job_changes_with_the_fleet() -> None:
    server = make_followed("north", max_concurrent_builds=1, held=1)
    job = make_job()
    client = client_of()

    with time_machine.travel(timezone.now(), tick=False):
        server.lease.__class__.objects.update(until=timezone.now() + timedelta(hours=1))
        (region,) = page_of(job, client=client).find("div", id="job")
        assert client.get(region["hx-get"], headers=FRAGMENT).status_code == 204
        BuildServer.objects.update(draining=True)
        changed = client.get(region["hx-get"], headers=FRAGMENT).content.decode()

    assert "No build server that fits is in service." in changed


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
