"""The overview: what it tells of the queue, the builds, the fleet and the last day, and what it costs."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from buildboard.core.audit import Actor, record_event
from buildboard.core.crypto import generate_ssh_key_pair
from buildboard.core.permissions import Role
from jobs.models import BuildJob, KeptForecast
from jobs.queue import predictions
from jobs.states import Priority
from jobs.views import trends
from servers.health import note_host_key, set_status
from servers.host_keys import parse_host_key
from servers.removals import request_removal
from servers.states import ServerStatus, TransportKind
from tests.demo_logs import BRANCH, HOSTILE
from tests.demo_rows import fill_board
from tests.factories import make_attempt, make_built, make_followed, make_job, make_server
from tests.jobs.pages import FRAGMENT, Page, client_of

pytestmark = pytest.mark.django_db
LIKE = {"source_repository": "https://git.example/linux.git", "target_architecture": "x86_64"}


@pytest.fixture(autouse=True)
def _read_anew() -> None:
    trends.forget()


def shown(client: Client | None = None) -> Page:
    trends.forget()
    return Page((client or client_of()).get("/").content.decode())


def completed(minutes: float, **fields: Any) -> BuildJob:
    return make_built(60 * minutes, **{**LIKE, **fields})


def test_a_visitor_is_asked_to_sign_in() -> None:
    answer = Client().get("/")

    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/")


@pytest.mark.parametrize(
    ("role", "server", "says", "adds"),
    [
        (Role.SUBMITTER, True, "A build server is ready.", False),
        (Role.ADMIN, False, "There is no build server yet", True),
    ],
)
def test_an_empty_board_shows_the_first_steps(role: str, server: bool, says: str, adds: bool) -> None:
    if server:
        make_server()

    page = shown(client_of(role))

    assert "No build yet" in page.text
    assert says in page.text
    assert bool(page.find("a", href="/servers/new/")) is adds
    assert page.find("div", id="overview")[0]["data-poll"] == "10000"


def test_without_a_server_it_says_that_nothing_can_start() -> None:
    make_job()

    page = shown(client_of(Role.OPERATOR))

    assert "There is no build server, so nothing can start." in page.text
    assert len(page.find("a", href="/servers/new/")) == 1
    assert "There is no build server yet" in page.text
    assert "blocked" in page.text


def test_with_every_server_out_of_service_it_says_so() -> None:
    make_job()
    make_server(status=ServerStatus.OFFLINE)

    assert "No build server is in service, so nothing can start." in shown().text


def test_a_running_build_has_its_expected_end_from_the_builds_before_it() -> None:
    for minutes in (9, 10, 50):
        completed(minutes)
    completed(1, source_repository="https://git.example/other.git")
    server = make_followed("north")
    make_job(
        "running",
        started_at=timezone.now() - timedelta(minutes=4),
        server=server,
        server_name="north",
        **LIKE,
    )

    page = shown()

    assert re.search(r"40% 4m 0\ds elapsed [\d.<–]+ (min|h) left", page.text)
    assert page.find("progress", value="40")[0]["aria-label"] == "linux 40%"


def test_a_build_that_takes_longer_than_usual_says_so() -> None:
    completed(10)
    make_job("running", started_at=timezone.now() - timedelta(minutes=12), **LIKE)
    make_job("claimed", **LIKE)

    text = shown().text

    assert re.search(r"99% 12m 0\ds elapsed over usual 10m · [\d<–]+ min left", text)
    assert "Claimed connecting" in text


def test_the_queue_tells_why_each_job_waits_and_when_it_may_start() -> None:
    completed(10)
    make_followed("north", max_concurrent_builds=1, held=1)
    now = timezone.now()
    asked: tuple[dict[str, Any], ...] = (
        {},
        {},
        {"group": "south"},
        {"not_before": now + timedelta(minutes=5)},
        {"provider": "orchestrator"},
    )
    for number, fields in enumerate(asked):
        make_job(created_at=now - timedelta(minutes=9 - number), **{**LIKE, **fields})

    rows = shown().text.partition("Starts in")[2].partition("Fleet")[0]

    waits = r"linux main x86_64 normal priority Waiting for a slot north is busy · why\? linux waits (\d+)–(\d+) min"
    first, second = (
        [int(minutes) for minutes in found] for found in re.findall(waits, rows)
    )  # of what holds the slot nothing is known, so they wait one build, and two, of half to twice ten minutes each
    assert 4 <= first[0] < 10 < first[1] <= 21
    assert first[0] < second[0] < 20 < second[1] <= 60
    assert "How good estimates of a start are is not known" in rows
    assert "No build server can take it it starts when north is put into the group south" in rows
    assert "Waits before its next try due at" in rows
    assert "Waiting for an orchestrator" in rows
    assert rows.count(" impossible ") == 1


def test_without_any_history_the_expected_wait_says_that_it_is_a_guess() -> None:
    make_followed("north", max_concurrent_builds=1, held=1)
    nobody_waits = shown().text
    make_job(**LIKE)
    make_job(**LIKE)

    text = shown().text

    figure = text.partition("Expected wait ")[2]
    assert re.match(r"10m\b[^.]*? a guess: no build has completed yet", figure), figure[:200]
    assert "a guess" not in nobody_waits


def test_queue_says_how_good_estimates_have_been() -> None:
    record = {"starts": {"estimates": 40, "within_25_percent": 65, "in_range": 81}, "ends": None}
    KeptForecast.objects.create(
        pk=1, made_at=timezone.now(), next_at=timezone.now() + timedelta(hours=1), track_record=record
    )
    make_followed("north", max_concurrent_builds=1, held=1)
    make_job(**LIKE)

    text = shown().text

    told = "Of the last 40 estimates of a start, 81% had it in their range, 65% were within 25% of it."
    assert told in text


def test_the_figures_compare_the_last_day_with_the_usual() -> None:
    now = timezone.now()
    make_followed("north", max_concurrent_builds=4)
    for minutes in (2, 4, 60):
        completed(minutes)
    make_job("failed")
    for days in (2, 2, 3, 4):
        make_job("failed", completed_at=now - timedelta(days=days))
    make_job("running", started_at=now)

    text = shown().text

    assert "Running 1 of 4 slots 0% of the fleet busy" in text
    assert "Success, 24 h 75.0 % 1 failed · usually 1 a day" in text
    assert "Median duration 4m 00s p95 1h 00m" in text
    assert "Expected wait none x86_64 none" in text


def test_charts_say_in_a_sentence_what_they_show() -> None:
    completed(2)
    make_job("failed")

    page = shown()

    sentences = [one["aria-label"] for one in page.find("svg", role="img") if one.get("class") == "chart"]
    assert sentences == [
        "Jobs that ended in the last 24 hours: 1 completed, 1 failed, 0 cancelled; at most 2 in one hour.",
        "How long completed jobs ran in the last 24 hours: median 2 lately, from 2 to 2 minutes; "
        "95th percentile 2 lately, from 2 to 2 minutes.",
        "How long jobs were queued in the last 24 hours: 90th percentile 0 lately, from 0 to 0 seconds.",
    ]


def test_the_latest_events_are_told_with_their_reasons() -> None:
    job = completed(8, branch="release/4.2", server_name="north")
    server = make_followed("north")
    for name in ("south", "north"):
        make_attempt(job, "failed", server_name=name)
    record_event("job", subject_id=job.pk, kind="submitted", actor=Actor("ann", "api"))
    record_event("job", subject_id=job.pk, kind="completed", data={"attempt": 1})
    record_event("job", subject_id=job.pk, kind="failed", reason="boom: no rule\nmore", data={"attempt": 2})
    record_event("job", subject_id=job.pk, kind="cancelled", actor=Actor("ann", "page"))
    record_event("job", subject_id=uuid.uuid4(), kind="failed", reason="of a job that is gone")
    set_status(server.pk, status=ServerStatus.DEGRADED, reason="The disk is 91% full.")

    feed = shown().text.partition("Recent activity")[2].partition("Throughput")[0]

    assert re.split(r" \ds(?= |$)", feed)[:4] == [
        " north is degraded The disk is 91% full.",
        " linux release/4.2 cancelled by ann north",
        " linux release/4.2 failed: boom: no rule north · attempt 2 of 2",
        " linux release/4.2 completed in 8m 00s south · attempt 1 of 2",
    ]


def test_quarantines_are_news() -> None:
    server = make_server("north")
    for kind, reason in (
        ("quarantine_withheld", "Alone."),
        ("quarantined", "Smoke."),
        ("quarantine_ended", ""),
    ):
        record_event("server", subject_id=server.pk, kind=kind, actor=Actor("ann", "page"), reason=reason)

    feed = shown().text.partition("Recent activity")[2].partition("Throughput")[0]

    assert re.split(r" \ds(?= |$)", feed)[:3] == [
        " north out of quarantine ann",
        " north in quarantine Smoke.",
        " north at fault, and kept in service Alone.",
    ]


def test_another_host_key_is_told_once_and_what_is_too_long_is_cut_visibly() -> None:
    pinned, other = (" ".join(generate_ssh_key_pair("host")[1].split()[:2]) for _ in range(2))
    way = {"transport": TransportKind.SSH, "hostname": "north.example", "ssh_username": "build"}
    server = make_server("north", host_key=pinned, **way)

    note_host_key(server.pk, seen=parse_host_key(other), changed=True)
    request_removal(server, actor=Actor("ann", "page"), confirm="north", reason="Because. " * 9)

    feed = shown().text.partition("Recent activity")[2].partition(" Fleet")[0]
    removed, swapped, *others = re.split(r" \ds(?= |$)", feed)
    assert removed == f" north removal asked for {'Because. ' * 8}Because…"
    assert swapped == f" north showed another host key {parse_host_key(other).fingerprint}"
    assert others == [""]


def test_the_number_of_queries_does_not_grow_with_the_rows(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client, server = client_of(), make_followed("north")
    for count in (1, 3, 50):
        for _ in range(count - BuildJob.objects.filter(status="queued").count()):
            for status in ("queued", "running", "failed", "completed"):
                job = make_job(status, started_at=timezone.now(), server=server, server_name="north")
                record_event("job", subject_id=job.pk, kind=status, data={"attempt": 1})
        trends.forget()
        KeptForecast.objects.all().delete()
        with django_assert_num_queries(28):  # the queue is played
            client.get("/")
        with django_assert_num_queries(25):  # what ended is remembered
            client.get("/")
        predictions.refresh()
        with django_assert_num_queries(19):
            client.get("/")


@pytest.mark.sqlite_only
def test_nothing_is_read_through_or_sorted_that_grows_with_the_history() -> None:
    job = make_job("failed", started_at=timezone.now(), server_name="north")
    record_event("job", subject_id=job.pk, kind="failed")
    make_job("failed", completed_at=timezone.now() - timedelta(days=3))
    make_job("running", started_at=timezone.now())
    client = client_of()

    with CaptureQueriesContext(connection) as captured:
        shown(client)
    plans = {}
    for query in captured:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql'].replace('%', '%%')}")
            plans[query["sql"]] = "; ".join(row[-1] for row in cursor.fetchall())

    growing = {sql: plan for sql, plan in plans.items() if "jobs_buildjob" in plan or "core_event" in plan}
    scans = [plan for plan in growing.values() if "SCAN" in plan]
    assert scans == ["SCAN core_event"]  # by its number, from the newest on
    by_end = [plan for sql, plan in growing.items() if '"jobs_buildjob"."completed_at" >' in sql]
    assert len(by_end) == 3
    assert all("job_ended" in plan for plan in by_end)
    assert any("job_usual" in plan for plan in plans.values())


def test_a_poll_answers_nothing_until_something_changed() -> None:
    make_followed("north")
    job = make_job("running", started_at=timezone.now())
    client = client_of()

    (region,) = shown(client).find("div", id="overview")
    unchanged = client.get(region["hx-get"], headers=FRAGMENT)
    BuildJob.objects.filter(pk=job.pk).update(status="failed", completed_at=timezone.now())
    trends.forget()
    changed = client.get(region["hx-get"], headers=FRAGMENT)

    assert (region["data-poll"], region["hx-trigger"], region["hx-swap"]) == (
        "2000",
        "bb:poll",
        "morph:outerHTML",
    )
    assert (unchanged.status_code, unchanged.content) == (204, b"")
    assert changed.content.decode().lstrip().startswith('<div id="overview" data-poll="10000"')


def test_hostile_names_are_text_on_a_board_full_of_rows() -> None:
    fill_board()
    long_ago = timezone.now() - timedelta(hours=3)
    for status in ("running", "queued", "failed"):
        job = make_job(
            status,
            source_repository=f"https://git.example/{HOSTILE}",
            branch=BRANCH,
            priority=Priority.URGENT,
            created_at=long_ago,
            started_at=long_ago,
        )
    record_event("job", subject_id=job.pk, kind="failed", reason=f"{HOSTILE}\u202e", data={"attempt": 1})

    page = shown(client_of(Role.ADMIN))

    assert page.broken == []
    assert page.text.count("evil\\x1b[2J\\u202emain\\u202c<script>alert(1)</script>") == 3
    assert "onerror=alert(2)>\\u202e" in page.text
    assert not set("\x1b\u202e\u202c") & set(page.text)
