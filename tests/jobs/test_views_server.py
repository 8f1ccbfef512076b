"""The page of one server: what runs there, what was seen of it, its keys and its checks, in words."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from buildboard.core.audit import record_event
from buildboard.core.crypto import generate_ssh_key_pair
from buildboard.core.permissions import Role
from jobs.models import BuildJob
from jobs.states import AttemptStatus
from jobs.views.charts import draw_line
from servers.models import BuildServer, ProbeSample, ServerCheck, Toolchain
from servers.slots import take_slot
from servers.states import ServerStatus, TransportKind
from tests.demo_logs import BRANCH, HOSTILE
from tests.factories import make_attempt, make_built, make_job, make_server
from tests.jobs.pages import FRAGMENT, Page, client_of

pytestmark = pytest.mark.django_db
OLD, NEW = (" ".join(generate_ssh_key_pair("host")[1].split()[:2]) for _ in range(2))
NOW = datetime(2026, 1, 16, 6, 0, tzinfo=UTC)


def ssh_server(name: str = "arm-1", **fields: Any) -> BuildServer:
    address = {
        "transport": TransportKind.SSH,
        "hostname": "arm.example",
        "ssh_username": "build",
        "public_key": "ssh-ed25519 AAAA buildboard-arm-1",
        "private_key": "sealed-text",
    }
    return make_server(name, **address | fields)


def page_of(server: BuildServer, role: str = Role.OPERATOR) -> Page:
    return Page(client_of(role).get(f"/servers/{server.pk}/").content.decode())


def test_a_server_that_is_not_there_answers_404() -> None:
    assert client_of().get(f"/servers/{uuid.uuid4()}/").status_code == 404


def test_it_shows_what_runs_and_what_ended_there() -> None:
    server = make_server("one")
    running = make_attempt(server=server)
    BuildJob.objects.filter(pk=running.job_id).update(progress=40, server=server)
    make_attempt(server=make_server("other"))
    for status in ("completed", "failed", "cancelled"):
        make_job(status, server=server, source_repository=f"https://git.example/{status}")

    page = page_of(server, Role.VIEWER)

    jobs = [link["href"] for link in page.find("a") if link.get("class") == "tlink"]
    assert len(jobs) == 4
    assert jobs[0] == f"/jobs/{running.job_id}/"
    assert page.find("progress", aria_label="Building, 40%")
    assert "1 of the last 2 completed" in page.text


def test_it_says_when_each_build_ends_and_when_a_full_server_has_room() -> None:
    now = timezone.now()
    for _ in range(3):
        make_built(600, ended_at=now)
    server = make_server(max_concurrent_builds=2)
    for minutes in (2, 8):
        attempt = make_attempt(
            make_job("running", server=server), server=server, started_at=now - timedelta(minutes=minutes)
        )
        take_slot(server, holder=attempt.pk)

    full = re.sub(r"\d+", "N", page_of(server).text)

    assert "N of N busy full, next one free in N–N" in full
    assert full.count("N–N min left ends N:N–N:N UTC") >= 1
    BuildServer.objects.filter(pk=server.pk).update(max_concurrent_builds=3)
    assert "next one free in" not in page_of(server).text


def test_each_attempt_is_in_the_chart_of_the_server_that_it_ran_on() -> None:
    now = timezone.now()
    first, second = (make_server(name, max_concurrent_builds=1) for name in ("first", "second"))
    job = make_job("running", server=second, started_at=now - timedelta(minutes=10))
    lost = {"started_at": now - timedelta(minutes=45), "completed_at": now - timedelta(minutes=15)}
    make_attempt(job, AttemptStatus.LOST, server=first, **lost)
    make_attempt(job, AttemptStatus.RELEASED, server=first)
    make_attempt(job, server=second, started_at=now - timedelta(minutes=99))
    earlier = {"started_at": now - timedelta(minutes=99), "completed_at": now - timedelta(minutes=61)}
    make_attempt(make_job("completed", server=first), AttemptStatus.COMPLETED, server=first, **earlier)

    charts = [
        [one["aria-label"] for one in page_of(server).find("svg", role="img")] for server in (first, second)
    ]

    assert "Builds in the last hour: 1 lost; the slots were busy 50% of it." in charts[0]
    assert "Builds in the last hour: 1 running; the slots were busy 100% of it." in charts[1]


def test_the_number_of_queries_does_not_grow_with_the_builds(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    server, client = make_server("one", max_concurrent_builds=10), client_of()
    for count in (1, 3):
        for _ in range(count):
            make_attempt(server=server)
            make_attempt(make_job("completed", server=server), "completed", server=server)
            ProbeSample.objects.create(server=server)
            server.toolchains.create(name="gcc", path=f"/usr/bin/{uuid.uuid4()}")
        # session, person, server, check, running, how far, recent, slots, what they ran, events, statuses, samples of
        # an hour and of a day, toolchains, unfinished jobs
        with django_assert_num_queries(15):
            client.get(f"/servers/{server.pk}/")


def test_a_poll_answers_nothing_until_something_changed() -> None:
    server, client = make_server("one"), client_of()

    (region,) = Page(client.get(f"/servers/{server.pk}/").content.decode()).find("div", id="server")
    unchanged = client.get(region["hx-get"], headers=FRAGMENT)
    take_slot(server, holder=uuid.uuid4())
    busy = client.get(region["hx-get"], headers=FRAGMENT).content.decode()

    assert (region["data-poll"], unchanged.status_code) == ("10000", 204)
    assert busy.lstrip().startswith('<div id="server"')
    assert Page(busy).find("div", id="server")[0]["data-poll"] == "2000"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER])
def test_readers_see_no_buttons(role: str) -> None:
    server = ssh_server(host_key=OLD, seen_host_key=NEW)

    page = page_of(server, role)

    assert [form["action"] for form in page.find("form", method="post")] == ["/theme/", "/logout/"]
    links = {link["href"] for link in page.find("a") if f"/{server.pk}/" in link.get("href", "")}
    assert links == set()
    assert "authorized_keys" not in page.text


def test_operators_see_every_button_and_no_credential() -> None:
    server = ssh_server(host_key=OLD, last_health_check=timezone.now())

    html = client_of(Role.OPERATOR).get(f"/servers/{server.pk}/").content.decode()

    for part in ("test", "drain", "maintenance", "edit", "disable", "delete"):
        assert f"/servers/{server.pk}/{part}/" in html
    assert "sealed-text" not in html


def test_a_new_server_says_how_to_let_the_board_in() -> None:
    server = ssh_server(public_key="ssh-ed25519 AAAA it's mine", status=ServerStatus.UNKNOWN)

    page = page_of(server)

    assert (
        r"mkdir -p ~/.ssh printf '\n%s\n' "
        "'ssh-ed25519 AAAA it'\"'\"'s mine' >> ~/.ssh/authorized_keys "
        "chmod go-w ~ chmod 700 ~/.ssh chmod 600 ~/.ssh/authorized_keys"
    ) in page.text
    assert page.find("button", data_copy="#install-lines")
    assert page.find("button", data_copy="#public-key")
    assert "open" in page.find("details", id="install-fold")[0]


def test_a_server_that_was_reached_folds_its_key_away() -> None:
    page = page_of(ssh_server(host_key=OLD, last_health_check=timezone.now()))

    assert "open" not in page.find("details", id="install-fold")[0]


def test_a_first_host_key_waits_to_be_accepted() -> None:
    server = ssh_server(seen_host_key=NEW, status=ServerStatus.UNKNOWN)

    page = page_of(server)

    assert "Is this your server?" in page.text
    assert f"Ed25519 {server.seen_host_key_fingerprint}" in page.text
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in page.text
    assert page.find("input", name="fingerprint")[0]["value"] == server.seen_host_key_fingerprint


def test_a_changed_host_key_is_an_alarm_with_both_keys() -> None:
    server = ssh_server(host_key=OLD, seen_host_key=NEW, status=ServerStatus.OFFLINE)

    page = page_of(server, Role.VIEWER)

    assert page.find("section", role="alert", id="key-alarm")
    old, new = server.host_key_fingerprint, server.seen_host_key_fingerprint
    assert f"Pinned, the old one Ed25519 {old} Seen now, the new one Ed25519 {new}" in page.text


def make_check(server: BuildServer, steps: list[dict[str, object]], **fields: Any) -> ServerCheck:
    return ServerCheck.objects.create(server=server, steps=steps, **fields)


def step(name: str, ok: bool | None, seen: str = "", advice: str = "") -> dict[str, object]:
    return {"name": name, "ok": ok, "seen": seen, "advice": advice, "milliseconds": 12 if ok else None}


def test_a_check_shows_each_step_as_it_comes() -> None:
    server = make_server("one")
    steps = [step("reach", True, "port 22 <open>"), step("host_key", None), step("login", None)]
    make_check(server, steps, started_at=timezone.now())

    page = page_of(server)

    assert (
        "Reach : done port 22 <open> 12 ms Host key : current Log in : ahead Shell : ahead Git : ahead "
        "Work folder : ahead Disk : ahead Tools : ahead"
    ) in page.text
    assert "testing now" in page.text
    assert page.find("div", id="server")[0]["data-poll"] == "2000"


def test_a_check_that_failed_says_what_to_do() -> None:
    server = make_server("one")
    steps = [step("reach", True), step("host_key", True), step("login", False, "refused", "Add the key.")]
    make_check(server, steps, started_at=timezone.now(), finished_at=timezone.now())

    page = page_of(server)

    assert "Log in : failed refused Add the key. Shell : ahead" in page.text
    assert page.find("div", id="server")[0]["data-poll"] == "10000"


def test_a_check_that_no_runner_begins_says_so() -> None:
    server = make_server("one")
    make_check(server, [], requested_at=timezone.now() - timedelta(minutes=1))

    assert "No runner has begun this test for 1m ." in page_of(server).text


def test_tools_for_other_architectures_come_last() -> None:
    server = make_server("one", last_health_check=timezone.now())
    for name, target in (("gcc", "aarch64"), ("make", ""), ("gcc", "")):
        server.toolchains.create(name=name, version="1.2", target_architecture=target, path=f"/bin/{name}")

    text = page_of(server).text

    assert "gcc 1.2 itself /bin/gcc make 1.2 itself /bin/make gcc 1.2 aarch64 /bin/gcc" in text


def test_events_are_told_in_words() -> None:
    server = make_server("one")
    record_event("server", subject_id=server.pk, kind="status", to_state="offline", reason="no <route>")
    record_event(
        "server", subject_id=server.pk, kind="server_changed", data={"what": ["draining_reason", "group"]}
    )
    record_event("server", subject_id=server.pk, kind="something_new")

    text = page_of(server).text

    assert "Something new" in text
    assert "Changed: draining reason, group" in text
    assert "Offline no <route>" in text


def test_reasons_stand_above_everything() -> None:
    server = make_server(
        "one",
        status=ServerStatus.DEGRADED,
        status_reason="Little room.",
        draining=True,
        draining_reason="disks on Tuesday",
        enabled=False,
        quarantine_kind="hand",
        quarantined_since=timezone.now(),
        quarantined_until=timezone.now() + timedelta(hours=1),
        quarantine_reason="three builds failed",
    )

    text = page_of(server, Role.VIEWER).text

    for part in (
        "Little room.",
        "Draining. It takes no new builds. disks on Tuesday Nothing runs there now.",
        "three builds failed",
        "Disabled. It gets no builds until it is enabled.",
    ):
        assert part in text


# ---- charts ---------------------------------------------------------------------------------------------


def test_a_chart_breaks_where_nothing_was_measured() -> None:
    minutes = ((70, 50.0), (60, 0.0), (59, 100.0), (30, 50.0), (1, None))
    points = [(NOW - timedelta(minutes=ago), value) for ago, value in minutes]

    chart = draw_line("CPU", points, limit=85, now=NOW)

    assert chart.lines == ["M30.0,68.0L34.5,6.0", "M165.0,37.0h1"]
    assert chart.areas[0] == "M30.0,68.0L34.5,6.0L34.5,68.0L30.0,68.0Z"
    assert chart.limit_y == 15.3
    assert chart.sentence == "CPU in the last hour: 50% now, from 0% to 100%; the limit is 85%."


def test_a_chart_of_nothing_says_so() -> None:
    chart = draw_line("Disk", [], limit=85, now=NOW)

    assert (chart.is_empty, chart.sentence) == (True, "Disk: nothing was measured in the last hour.")


def test_charts_have_their_text_beside_them() -> None:
    server = make_server("one", cpu_percent=12.0)
    ProbeSample.objects.create(server=server, cpu_percent=12.0)

    page = page_of(server, Role.VIEWER)

    labels = [chart["aria-label"] for chart in page.find("svg", role="img")]
    assert labels == [
        "CPU in the last hour: 12% now, from 12% to 12%; the limit is 85%.",
        "Memory: nothing was measured in the last hour.",
        "Disk: nothing was measured in the last hour.",
        "No build ran there in the last hour.",
        "Load for each core: nothing was measured in the last day.",
        "Memory: nothing was measured in the last day.",
        "Disk: nothing was measured in the last day.",
        "Time to answer: nothing was measured in the last day.",
    ]
    assert page.broken == []


def test_a_lost_build_leaves_the_page() -> None:
    server = make_server("one")
    make_attempt(status=AttemptStatus.LOST, server=server)

    assert "Nothing runs there now." in page_of(server, Role.VIEWER).text


def test_visitors_are_asked_to_sign_in() -> None:
    server = make_server("one")

    assert Client().get(f"/servers/{server.pk}/").status_code == 302


def test_a_build_is_as_far_there_as_on_its_own_page() -> None:
    now, server = timezone.now(), make_server()
    make_built(600, ended_at=now)
    job = make_job("running", progress=10, server=server, started_at=now - timedelta(minutes=4))
    attempt = make_attempt(job, server=server, started_at=job.started_at)

    places = (f"/servers/{server.pk}/", f"/jobs/{job.pk}/")
    bars = [Page(client_of().get(place).content.decode()).find("progress") for place in places]

    assert attempt.phase == "building"
    assert [bar["aria-label"] for found in bars for bar in found] == ["Building, 40%", "Progress 40%"]


def test_hostile_text_is_written_out_on_the_page_and_in_the_list() -> None:
    evil = f"{HOSTILE}\u202e\x1b[31m"
    server = ssh_server(
        status=ServerStatus.OFFLINE,
        status_reason=f"reason {evil}",
        draining=True,
        draining_reason=f"draining {evil}",
        quarantine_kind="hand",
        quarantined_since=timezone.now(),
        quarantined_until=timezone.now() + timedelta(hours=1),
        quarantine_reason=f"quarantine {evil}",
        labels={"label": evil},
        environment={"NAME": evil},
        facts={"distribution": evil, "kernel": evil, "work_dir": evil},
        host_key=OLD,
        last_health_check=timezone.now(),
        unreachable_since=timezone.now(),
    )
    Toolchain.objects.create(server=server, name=evil[:64], version=evil[:64], path=evil)
    job = make_job("running", branch=BRANCH, server=server, started_at=timezone.now())
    make_attempt(job, server=server, unreachable_since=timezone.now())
    client = client_of(Role.OPERATOR)

    pages = [
        Page(client.get(address).content.decode()) for address in (f"/servers/{server.pk}/", "/servers/")
    ]

    assert [page.broken for page in pages] == [[], []]
    for word in ("reason", "draining", "quarantine"):
        assert f"{word} {HOSTILE}\\u202e\\x1b[31m" in pages[0].text
    assert f"reason {HOSTILE}\\u202e\\x1b[31m" in pages[1].text
    assert [set("\x1b\u202e\u202c") & set(page.text) for page in pages] == [set(), set()]
    assert [
        value
        for page in pages
        for name, attributes in page.elements
        if name != "input"
        for value in attributes.values()
        if set("\x1b\u202e\u202c") & set(value)
    ] == []
