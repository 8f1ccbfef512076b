"""The list of jobs: filters, pages, polling, and what it costs."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from buildboard.core.permissions import Role
from jobs.models import BuildJob
from jobs.states import JobStatus
from jobs.views.selection import PAGE_SIZE
from servers.leases import acquire_lease
from tests.factories import make_job, make_server
from tests.jobs.pages import FRAGMENT, Page, client_of

pytestmark = pytest.mark.django_db


def names_in(html: str) -> list[str]:
    rows = html.split('<tr id="job-')[1:]
    return [row.split('class="tlink"', 1)[1].split(">", 1)[1].split("<", 1)[0] for row in rows]


def make_named(*names: str, **fields: Any) -> list[BuildJob]:
    """Jobs of these repositories, the first one the newest."""
    now = timezone.now()
    return [
        make_job(
            source_repository=f"https://git.example/{name}", created_at=now - timedelta(hours=index), **fields
        )
        for index, name in enumerate(names)
    ]


def test_a_visitor_is_asked_to_sign_in_and_a_reader_under_public_read_is_not(settings: LazySettings) -> None:
    make_named("demo")

    refused = Client().get("/jobs/?status=failed")
    settings.PUBLIC_READ = True
    shown = Client().get("/jobs/")

    assert (refused.status_code, refused["Location"]) == (302, "/login/?next=/jobs/%3Fstatus%3Dfailed")
    assert names_in(shown.content.decode()) == ["demo"]
    assert "/jobs/new/" not in shown.content.decode()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["queued", "running", "failed", "completed", "cancelled"]),
        ("?status=active", ["queued", "running"]),
        ("?status=failed", ["failed"]),
        ("?status=completed", ["completed"]),
        ("?status=cancelled", ["cancelled"]),
        ("?status=nonsense", ["queued", "running", "failed", "completed", "cancelled"]),
        ("?q=fail", ["failed"]),
        ("?q=repo:comp", ["completed"]),
        ("?q=branch:main+repo:run", ["running"]),
        ("?q=error:ENOSPC", ["failed"]),
        ("?q=deadbee", ["completed"]),
        ("?q=%00%27%25", []),
        ("?q=arch:riscv64", []),
        ("?arch=x86_64&status=failed", ["failed"]),
    ],
)
def test_filters_are_in_the_address(query: str, names: list[str]) -> None:
    for index, status in enumerate(("queued", "running", "failed", "completed", "cancelled")):
        make_job(
            status,
            source_repository=f"https://git.example/{status}",
            created_at=timezone.now() - timedelta(hours=index),
            error_message="no room: ENOSPC" if status == "failed" else "",
            resolved_commit="deadbeef" * 5 if status == "completed" else "",
        )

    shown = client_of().get(f"/jobs/{query}")

    assert (shown.status_code, names_in(shown.content.decode())) == (200, names)


def test_a_job_is_found_by_the_start_of_its_id() -> None:
    wanted, _ = make_named("wanted", "other")

    for text in (str(wanted.pk), str(wanted.pk)[:8]):
        assert names_in(client_of().get(f"/jobs/?q={text}").content.decode()) == ["wanted"]


def test_pages_follow_each_other_without_gaps_or_repeats_in_both_directions() -> None:
    total = 2 * PAGE_SIZE + 3
    at = timezone.now()
    BuildJob.objects.bulk_create(
        BuildJob(
            source_repository=f"https://git.example/{index:03}",
            target_architecture="x86_64",
            created_at=at - timedelta(seconds=index // 7),
        )
        for index in range(total)
    )
    client = client_of()
    expected = [job.repository_name for job in BuildJob.objects.order_by("-created_at", "-id")]

    def link(html: str, rel: str) -> str:
        return next((one["href"] for one in Page(html).find("a", rel=rel)), "")

    forward, address, seen = [], "?", []
    while address:
        html = client.get(f"/jobs/{address}").content.decode()
        forward.append(names_in(html))
        seen.append(html)
        address = link(html, "next")
    back = [names_in(client.get(f"/jobs/{link(seen[-1], 'prev')}").content.decode())]
    first = client.get(f"/jobs/{link(seen[1], 'prev')}").content.decode()

    assert [name for page in forward for name in page] == expected
    assert back == [forward[1]]
    assert names_in(first) == forward[0]
    assert link(first, "prev") == ""


@pytest.mark.parametrize("cursor", ["before=nonsense", "after=20260101T000000.0-zz", "before=%00"])
def test_a_cursor_that_is_none_gives_the_first_page(cursor: str) -> None:
    make_named("demo")

    assert names_in(client_of().get(f"/jobs/?{cursor}").content.decode()) == ["demo"]


def test_the_number_of_queries_does_not_grow_with_the_jobs(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client = client_of()
    for count in (1, 50):
        for _ in range(count - BuildJob.objects.count()):
            make_job("failed", error_message="x", server=make_server(), server_name="s")
        with django_assert_num_queries(4):  # session, person, jobs, count of unfinished ones
            client.get("/jobs/")


def test_a_waiting_job_that_no_server_can_take_says_so_in_its_row(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    stuck, _ = make_named("stuck", "busy")
    BuildJob.objects.filter(pk=stuck.pk).update(group="south")
    server = make_server("north", max_concurrent_builds=1)
    assert acquire_lease(server.pk, runner="runner-1") is not None
    server.slots.update(holder=uuid.uuid4())
    client = client_of()

    with django_assert_num_queries(8):  # and what those that wait need; slots, servers, toolchains
        rows = client.get("/jobs/").content.decode().split('<tr id="job-')[1:]

    assert ["No build server can take it." in row for row in rows] == [True, False]


def test_a_poll_answers_nothing_until_something_changed() -> None:
    job = make_job("running")
    client = client_of()

    (region,) = Page(client.get("/jobs/?q=demo").content.decode()).find("div", id="jobs")
    unchanged = client.get(region["hx-get"], headers=FRAGMENT)
    BuildJob.objects.filter(pk=job.pk).update(
        status=JobStatus.FAILED,
        completed_at=timezone.now(),
        updated_at=timezone.now(),
        error_message="boom\nmore",
    )
    changed = client.get(region["hx-get"], headers=FRAGMENT).content.decode()

    assert (region["data-poll"], region["hx-trigger"], region["hx-swap"]) == (
        "2000",
        "bb:poll",
        "morph:outerHTML",
    )
    assert (unchanged.status_code, unchanged.content) == (204, b"")
    (region_now,) = Page(changed).find("div", id="jobs")
    assert changed.lstrip().startswith('<div id="jobs"')
    assert region_now["data-poll"] == "10000"
    assert region_now["hx-get"] != region["hx-get"]
    assert ">boom</a>" in changed


def test_a_browser_without_scripts_gets_the_whole_page_under_the_same_address() -> None:
    make_job("running")
    client = client_of()
    (region,) = Page(client.get("/jobs/").content.decode()).find("div", id="jobs")

    whole = client.get(region["hx-get"]).content.decode()

    assert whole.startswith("<!doctype html>")
    assert "HX-Request" in client.get("/jobs/")["Vary"]


@pytest.mark.parametrize(
    ("role", "server", "says", "offers"),
    [
        (Role.SUBMITTER, True, "A build server is ready.", True),
        (Role.ADMIN, False, "There is no build server yet", True),
        (Role.VIEWER, True, "A build server is ready.", False),
    ],
)
def test_an_empty_board_shows_the_first_steps(role: str, server: bool, says: str, offers: bool) -> None:
    if server:
        make_server()

    page = Page(client_of(role).get("/jobs/").content.decode())

    assert "No build yet" in page.text
    assert says in page.text
    assert bool(page.find("a", href="/jobs/new/")) is offers


def test_filters_that_nothing_fits_say_so() -> None:
    make_named("demo")

    page = Page(client_of().get("/jobs/?status=failed").content.decode())

    assert "No job fits" in page.text
    assert page.find("div", id="jobs")[0]["data-poll"] == "10000"


def test_only_unfinished_jobs_are_counted() -> None:
    for status in ("queued", "running", "failed", "completed"):
        make_job(status)

    page = client_of().get("/jobs/").content.decode()

    assert page.count('<span class="count">') == 1
    assert 'Active <span class="count">2</span>' in page
