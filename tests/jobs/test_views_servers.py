"""The list of servers: what it shows of each, filters, polling, and what it costs."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from buildboard.core.crypto import generate_ssh_key_pair
from buildboard.core.permissions import Role
from jobs.views.server_looks import Meter, Slots, beats_of
from servers.fleet import takes_jobs
from servers.models import BuildServer, ProbeSample
from servers.slots import take_slot
from servers.states import QuarantineKind, ServerStatus, TransportKind
from tests.factories import make_attempt, make_built, make_job, make_server
from tests.jobs.pages import FRAGMENT, Page, client_of

pytestmark = pytest.mark.django_db
OLD, NEW = (" ".join(generate_ssh_key_pair("host")[1].split()[:2]) for _ in range(2))
SSH = {"transport": TransportKind.SSH, "hostname": "build.example", "ssh_username": "build", "host_key": OLD}


def names_in(html: str) -> list[str]:
    rows = html.split('<tr id="server-')[1:]
    return [row.split('class="tlink"', 1)[1].split(">", 1)[1].split("<", 1)[0] for row in rows]


def row_of(name: str, html: str) -> str:
    return next(row for row in html.split('<tr id="server-')[1:] if f">{name}</a>" in row)


def make_fleet() -> None:
    """One server for each way to be."""
    make_server("well", labels={"disk": "nvme"}, group="south").toolchains.create(
        name="gcc", version="13.2.0", path="/usr/bin/gcc"
    )
    make_server("arm", architectures=["aarch64"], **SSH)
    make_server("away", status=ServerStatus.OFFLINE, status_reason="no route")
    make_server("ill", status=ServerStatus.DEGRADED)
    make_server("mended", status=ServerStatus.MAINTENANCE)
    make_server("drained", draining=True)
    make_server("off", enabled=False)
    make_server(
        "kept-away",
        quarantine_kind="hand",
        quarantined_since=timezone.now(),
        quarantined_until=timezone.now() + timedelta(hours=1),
    )
    make_server("swapped", seen_host_key=NEW, **SSH)


def test_a_visitor_is_asked_to_sign_in_and_a_reader_under_public_read_is_not(settings: LazySettings) -> None:
    make_server("one")

    refused = Client().get("/servers/")
    settings.PUBLIC_READ = True
    shown = Client().get("/servers/").content.decode()

    assert (refused.status_code, refused["Location"]) == (302, "/login/?next=/servers/")
    assert names_in(shown) == ["one"]
    assert "/servers/new/" not in shown


ALL = ["arm", "away", "drained", "ill", "kept-away", "mended", "off", "swapped", "well"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ALL),
        ("?status=online", ["arm", "well"]),
        ("?status=attention", ["away", "ill", "kept-away", "swapped"]),
        ("?status=out", ["drained", "mended", "off"]),
        ("?status=nonsense", ALL),
        ("?arch=aarch64", ["arm"]),
        ("?arch=ARM64", ["arm"]),
        ("?arch=%00%27", []),
        ("?q=gcc-13", ["well"]),
        ("?q=disk%3Dnvme+south", ["well"]),
        ("?q=disk%3Dnvme+north", []),
        ("?q=BUILD.example", ["arm", "swapped"]),
        ("?q=%00%25", []),
        ("?status=online&arch=x86_64", ["well"]),
        ("?group=south", ["well"]),
        ("?group=sou", []),
        ("?label=disk%3Dnvme", ["well"]),
        ("?label=disk", ["well"]),
        ("?label=disk%3Dssd", []),
        ("?group=south&label=%00", ["well"]),
    ],
)
def test_filters_are_in_the_address(query: str, names: list[str]) -> None:
    make_fleet()

    shown = client_of().get(f"/servers/{query}")

    assert (shown.status_code, names_in(shown.content.decode())) == (200, names)


def test_the_tabs_count_the_fleet_and_the_worst_comes_first() -> None:
    make_fleet()

    html = client_of().get("/servers/?status=out&q=nobody").content.decode()

    for word, count in (("All", 9), ("Online", 2), ("Needs attention", 4), ("Taken out", 3)):
        assert f'{word} <span class="count">{count}</span>' in html
    text = Page(html).text
    assert "No server fits" in text
    counts = (
        "2 online, 1 offline, 1 draining, 1 degraded, 1 quarantined, 1 in maintenance, 1 disabled, "
        "1 with another host key"
    )
    assert f"9 servers 0 of 32 slots busy {counts}" in text
    assert text.index("swapped shows another host key.") < text.index("away has been offline for")


@pytest.mark.parametrize(
    ("name", "badges"),
    [
        ("well", ["online"]),
        ("away", ["offline"]),
        ("drained", ["online", "draining"]),
        ("off", ["online", "disabled"]),
        ("kept-away", ["online", "quarantined"]),
        ("mended", ["maintenance"]),
        ("leaving", ["online", "removing"]),
    ],
)
def test_badges_say_the_status_and_what_keeps_it_from_builds(name: str, badges: list[str]) -> None:
    make_fleet()
    make_server("leaving", draining=True, removal_requested_at=timezone.now())

    row = row_of(name, client_of().get("/servers/").content.decode())

    words = [part.rpartition("</svg>")[2] for part in row.split("</span>") if "badge-soft" in part]
    assert words == [word.capitalize() for word in badges]


def test_a_row_says_slots_load_and_limits_in_words() -> None:
    server = make_server(
        "one", max_concurrent_builds=3, cpu_percent=91.6, memory_percent=80.2, memory_limit_percent=90
    )
    take_slot(server, holder=uuid.uuid4())

    html = client_of().get("/servers/").content.decode()

    page = Page(html)
    assert page.find("span", aria_label="1 of 3 slots busy")
    bars = {bar["aria-label"]: (bar["class"].strip(), bar["value"]) for bar in page.find("progress")}
    assert bars == {
        "CPU 92%, limit 85%": ("bar bad", "92"),
        "Memory 80%, limit 90%": ("bar", "80"),
        "Disk was not measured": ("bar", "0"),
    }
    assert page.find("div", id="servers")[0]["data-poll"] == "2000"


def test_a_full_server_says_when_its_next_slot_comes_free() -> None:
    now = timezone.now()
    for _ in range(3):
        make_built(600, ended_at=now)
    full, free = make_server("full", max_concurrent_builds=1), make_server("free")
    running = make_attempt(
        make_job("running", server=full), server=full, started_at=now - timedelta(minutes=2)
    )
    assert take_slot(full, holder=running.pk) is not None

    html = client_of().get("/servers/").content.decode()

    assert re.search(r"1 / 1 next free in \d+–\d+ min", Page(row_of(full.name, html)).text)
    assert "next free" not in row_of(free.name, html)


LATER, EARLIER = timezone.now() + timedelta(days=1), timezone.now() - timedelta(days=1)
OUT = {"quarantined_since": EARLIER, "quarantine_kind": QuarantineKind.HAND}


@pytest.mark.parametrize(
    ("fields", "in_row", "on_page"),
    [
        ({}, "", "room for 4 more"),
        ({"status": ServerStatus.DEGRADED}, "", "room for 4 more"),
        ({"status": ServerStatus.OFFLINE}, "offline", ""),
        ({"status": ServerStatus.MAINTENANCE}, "in maintenance", ""),
        ({"status": ServerStatus.UNKNOWN}, "not reached yet", ""),
        ({"enabled": False}, "disabled", ""),
        ({"draining": True}, "draining", ""),
        (SSH | {"seen_host_key": NEW, "last_health_check": EARLIER}, "key not accepted", ""),
        (OUT, "in quarantine", ""),
        (OUT | {"quarantined_until": LATER}, "in quarantine", ""),
        (OUT | {"quarantined_until": EARLIER}, "", "takes one build"),
        (OUT | {"quarantined_until": EARLIER, "canary_id": uuid.uuid4()}, "in quarantine", ""),
        ({"starts_refused_until": LATER}, "refused a start", ""),
        ({"starts_refused_until": EARLIER}, "", "room for 4 more"),
    ],
)
def test_the_list_and_its_page_say_whether_a_server_takes_builds_and_why_not(
    fields: dict[str, Any], in_row: str, on_page: str
) -> None:
    server = make_server("one", **fields)
    client = client_of()

    row = Page(row_of("one", client.get("/servers/").content.decode())).text
    page = Page(client.get(f"/servers/{server.pk}/").content.decode()).text

    assert f"0 / 4 {in_row}" in row
    assert f"Slots 0 of 4 busy {on_page or f'takes no builds: {in_row}'}" in page
    assert takes_jobs(server) == (in_row == "")


def test_a_full_server_that_takes_none_does_not_say_when_a_slot_comes_free() -> None:
    server = make_server("full", max_concurrent_builds=1, draining=True)
    running = make_attempt(make_job("running", server=server), server=server, started_at=timezone.now())
    assert take_slot(server, holder=running.pk) is not None
    client = client_of()

    row = Page(row_of("full", client.get("/servers/").content.decode())).text
    page = Page(client.get(f"/servers/{server.pk}/").content.decode()).text

    assert "1 / 1 draining" in row
    assert "next one free in" not in page
    assert "1 of 1 busy takes no builds: draining" in page


@pytest.mark.parametrize(("value", "colour"), [(None, ""), (75, ""), (76, "run"), (85, "run"), (86, "bad")])
def test_a_meter_warns_before_its_limit(value: int | None, colour: str) -> None:
    assert Meter("CPU", value, 85).colour == colour


def test_slots_are_drawn_as_far_as_there_is_room() -> None:
    assert Slots(1, 3).drawn == [True, False, False]
    assert Slots(3, 2).drawn == [True, True, True]
    assert (Slots(3, 2).free, Slots(3, 40).drawn) == (0, [])


def test_the_strip_tells_answers_silence_and_what_is_not_known_apart() -> None:
    now = timezone.now()
    server = BuildServer(unreachable_since=now - timedelta(minutes=3))
    seen = [now - timedelta(minutes=minutes) for minutes in (29, 11, 40)]

    beats = beats_of(server, seen_at=seen, now=now)

    assert beats == ["", *["off"] * 8, "", "off", "off", "off", "bad", "bad"]


def test_the_number_of_queries_does_not_grow_with_the_fleet(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client = client_of()
    for count in (1, 12):
        for _ in range(count - BuildServer.objects.count()):
            server = make_server()
            server.toolchains.create(name="gcc", version="12", path="/usr/bin/gcc")
            ProbeSample.objects.create(server=server)
        with django_assert_num_queries(7):  # session, person, servers, tools, slots, half hour; jobs counted
            client.get("/servers/")


def test_a_poll_answers_nothing_until_something_changed() -> None:
    server = make_server("one")
    client = client_of()

    (region,) = Page(client.get("/servers/?q=one").content.decode()).find("div", id="servers")
    unchanged = client.get(region["hx-get"], headers=FRAGMENT)
    take_slot(server, holder=uuid.uuid4())
    changed = client.get(region["hx-get"], headers=FRAGMENT).content.decode()

    assert (region["data-poll"], region["hx-trigger"], region["hx-swap"]) == (
        "10000",
        "bb:poll",
        "morph:outerHTML",
    )
    assert (unchanged.status_code, unchanged.content) == (204, b"")
    assert changed.lstrip().startswith('<div id="servers"')
    assert Page(changed).find("div", id="servers")[0]["data-poll"] == "2000"


@pytest.mark.parametrize(
    ("role", "offers"), [(Role.VIEWER, False), (Role.SUBMITTER, False), (Role.OPERATOR, True)]
)
def test_an_empty_fleet_shows_the_first_steps_to_those_who_can_take_them(role: str, offers: bool) -> None:
    page = Page(client_of(role).get("/servers/").content.decode())

    assert "No build server yet" in page.text
    assert bool(page.find("a", href="/servers/new/")) is offers
    assert ("An operator can add one." in page.text) is not offers


def test_texts_of_servers_are_escaped() -> None:
    fields: dict[str, Any] = {"group": "<g>", "labels": {"a": "<b>"}, "status_reason": "<script>"}
    make_server("one", status=ServerStatus.OFFLINE, **fields)

    html = client_of().get("/servers/").content.decode()

    assert "group &lt;g&gt;" in html
    assert "a=&lt;b&gt;" in html
    assert "&lt;script&gt;" in html


def test_pages_of_jobs_lead_to_servers() -> None:
    make_server("one")

    page = Page(client_of(Role.VIEWER).get("/jobs/").content.decode())

    assert len(page.find("a", href="/servers/")) == 2
