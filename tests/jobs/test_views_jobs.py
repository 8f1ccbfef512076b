"""The list of jobs: filters, tabs, polling, and what it costs."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.http import QueryDict
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from buildboard.core.permissions import Role
from jobs.models import BuildJob
from jobs.states import JobStatus
from jobs.views.jobs import COUNTED
from jobs.views.selection import Selection
from tests.factories import make_followed, make_job, make_server, make_user
from tests.jobs.pages import FRAGMENT, Page, client_of, names_in

pytestmark = pytest.mark.django_db


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
        ("?server=north", ["running"]),
        ("?server=%00", ["queued", "running", "failed", "completed", "cancelled"]),
        ("?repo=https://git.example/failed", ["failed"]),
        ("?branch=topic", ["cancelled"]),
        ("?since=1h", ["queued"]),
        ("?since=24h&status=failed", ["failed"]),
        ("?since=nonsense&mine=0", ["queued", "running", "failed", "completed", "cancelled"]),
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
            server_name="north" if status == "running" else "",
            branch="topic" if status == "cancelled" else "main",
        )

    shown = client_of().get(f"/jobs/{query}")

    assert (shown.status_code, names_in(shown.content.decode())) == (200, names)


def test_a_job_is_found_by_the_start_of_its_id() -> None:
    wanted, _ = make_named("wanted", "other")

    for text in (str(wanted.pk), str(wanted.pk)[:8]):
        assert names_in(client_of().get(f"/jobs/?q={text}").content.decode()) == ["wanted"]


def test_mine_are_those_that_the_reader_submitted() -> None:
    user = make_user(Role.SUBMITTER)
    make_named("mine", created_by=user)
    make_named("other")

    assert names_in(client_of(user=user).get("/jobs/?mine=1").content.decode()) == ["mine"]
    assert names_in(client_of().get("/jobs/?mine=1").content.decode()) == []


def test_the_heads_lead_to_the_other_orders_and_say_which_one_is_shown() -> None:
    make_named("demo")
    client = client_of()

    def heads(address: str) -> list[tuple[str, str]]:
        page = Page(client.get(address).content.decode())
        found = [(one["aria-sort"], "") for one in page.find("th") if "aria-sort" in one]
        return found + [("", one["href"]) for one in page.find("a") if "sort=" in one.get("href", "")]

    assert heads("/jobs/?status=active") == [
        ("descending", ""),
        ("", "?status=active&sort=-status"),
        ("", "?status=active&sort=server"),
        ("", "?status=active&sort=-duration"),
        ("", "?status=active&sort=created"),
    ]
    assert heads("/jobs/?sort=server")[0] == ("ascending", "")
    assert "?sort=-server" in [address for _, address in heads("/jobs/?sort=server")]
    assert "?sort=created" not in [address for _, address in heads("/jobs/?sort=server")]


@pytest.mark.parametrize("cursor", ["before=nonsense", "after=20260101T000000.0-zz", "before=%00"])
def test_a_cursor_that_is_none_gives_the_first_page(cursor: str) -> None:
    make_named("demo")

    assert names_in(client_of().get(f"/jobs/?{cursor}").content.decode()) == ["demo"]


def test_the_number_of_queries_does_not_grow_with_the_jobs(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client = client_of()
    for count in (1, 3, 50):
        for _ in range(count - BuildJob.objects.count()):
            make_job("failed", error_message="x", server=make_server(), server_name="s")
        for sort in ("", "?sort=-status"):
            with django_assert_num_queries(9):  # session, person, jobs, servers, five counts
                client.get(f"/jobs/{sort}")
        for sort in ("?sort=server", "?sort=-duration"):
            with django_assert_num_queries(10):  # and those without a server, or that did not run
                client.get(f"/jobs/{sort}")


def test_a_waiting_job_says_in_its_row_what_it_waits_for() -> None:
    stuck, away, _ = make_named("stuck", "away", "busy")
    BuildJob.objects.filter(pk=stuck.pk).update(group="south")
    BuildJob.objects.filter(pk=away.pk).update(group="east")
    make_followed("north", max_concurrent_builds=1, held=1)
    make_server("east", group="east", status="offline")

    rows = client_of().get("/jobs/?status=queued").content.decode().split('<tr id="job-')[1:]

    told = ("No build server can take it", "No build server that fits is in service", "Waiting for a slot")
    assert [[words in row for words in told] for row in rows] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


@pytest.mark.parametrize("jobs", [1, 3])
def test_reasons_of_many_waiting_jobs_cost_as_many_queries_as_of_one(
    jobs: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_followed("north", max_concurrent_builds=1)
    for _ in range(jobs):
        make_job(needs_key="k")
    client = client_of()

    with django_assert_num_queries(22):  # nine of the list, thirteen of why they wait and until when
        client.get("/jobs/?status=queued")


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


def test_tabs_tell_how_many_there_are_and_stop_counting_at_a_thousand() -> None:
    for status in ("queued", "running", "failed", "completed", "completed"):
        make_job(status)
    client = client_of()

    few = client.get("/jobs/").content.decode()
    BuildJob.objects.bulk_create(
        BuildJob(
            source_repository="r", target_architecture="x86_64", status="failed", completed_at=timezone.now()
        )
        for _ in range(COUNTED)
    )
    many = client.get("/jobs/?status=failed").content.decode()
    narrowed = client.get("/jobs/?q=demo").content.decode()

    def counts(html: str) -> str:
        return Page(html).text.partition("Tokens")[2].partition("Any architecture")[0]

    assert "All 5 Active 2 Queued 1 Failed 1 Completed 2 Cancelled" in counts(few)
    assert "All 1,000+ Active 2 Queued 1 Failed 1,000+ Completed 2 Cancelled" in counts(many)
    assert "All Active Queued Failed Completed Cancelled" in counts(narrowed)
    assert "50 of 1,000+ jobs" in Page(many).text


def test_the_whole_error_is_there_for_the_pointer_the_keyboard_and_a_screen_reader() -> None:
    job = make_job("failed", error_message="<b>first</b>\nsecond " + "x" * 3000)

    page = Page(client_of().get("/jobs/").content.decode())

    (line,) = page.find("a", **{"class": "errline"})
    (whole,) = page.find("div", role="tooltip")
    assert (line["href"], line["aria-describedby"]) == (f"/jobs/{job.pk}/", whole["id"])
    assert "<b>first</b> <b>first</b> second xxx" in page.text
    assert page.broken == []


def test_text_is_looked_for_among_the_newest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.views.selection.SEARCHED", 2)
    make_named("one-x", "two", "three-x")

    found = Selection.of(QueryDict("q=-x")).apply(BuildJob.objects.all())

    assert [job.repository_name for job in found] == ["one-x"]


def test_a_search_says_how_far_back_it_looked() -> None:
    make_named("one", "two")

    pages = [Page(client_of().get(f"/jobs/?{query}").content.decode()) for query in ("q=one", "q=none", "")]

    assert "1 job on this page, found among the newest 100,000" in pages[0].text
    assert "Text is looked for among the newest 100,000 jobs." in pages[1].text
    assert "among the newest" not in pages[2].text
