"""The page of a job that waits: for what, for how long, and what every server is to it."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from jobs.models import BuildJob, KeptForecast, Refusal
from jobs.views.waiting_servers import A_PAGE
from servers.models import BuildServer
from servers.states import ServerStatus
from tests.factories import make_attempt, make_built, make_followed, make_job
from tests.jobs.pages import FRAGMENT, Page, client_of, page_of

pytestmark = pytest.mark.django_db


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
