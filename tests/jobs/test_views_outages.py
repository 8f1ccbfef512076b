"""Drains, maintenance and removal on pages: what they do is shown first, and afterwards who did it and until when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from buildboard.core.audit import Actor, record_event
from buildboard.core.permissions import Role
from jobs.models import BuildJob
from jobs.views.server_past import past_of, statuses_of
from servers.drains import set_draining, set_maintenance
from servers.models import BuildServer, ProbeSample
from servers.slots import take_slot
from tests.factories import make_attempt, make_built, make_job, make_server, make_user
from tests.jobs.pages import Page, client_of

pytestmark = pytest.mark.django_db
UNTIL = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(hours=3)


def get(server: BuildServer, part: str = "", role: str = Role.OPERATOR) -> Page:
    return Page(client_of(role).get(f"/servers/{server.pk}/{part}").content.decode())


def act(server: BuildServer, action: str, **values: str) -> Page:
    client = client_of(user=make_user(Role.OPERATOR, username="olga"))
    answer = client.post(f"/servers/{server.pk}/{action}/", values, follow=True)
    return Page(answer.content.decode())


def busy(server: BuildServer) -> Any:
    job = make_job("running", source_repository="https://git.example/linux.git", server=server)
    attempt = make_attempt(job, server=server)
    take_slot(server, holder=attempt.pk)
    return attempt


@pytest.mark.parametrize("action", ["drain", "maintenance", "delete"])
def test_what_still_runs_and_what_would_wait_is_shown_first(action: str) -> None:
    server = make_server("arm", architectures=["aarch64"])
    busy(server)
    for _ in range(2):
        make_job(target_architecture="aarch64", branch="next")

    page = get(server, f"{action}/")

    assert "1 build still runs there ; nobody can tell when it ends." in page.text
    assert "linux main the first of its kind" in page.text
    assert "2 waiting jobs fit no other server , so they wait until this one is back" in page.text
    assert page.broken == []


def test_a_drain_says_by_whom_and_until_when_and_what_still_runs() -> None:
    server = make_server("one")
    attempt = busy(server)
    make_built(3600, source_repository=attempt.job.source_repository)

    page = act(server, "drain", reason="Disks.", until=UNTIL.strftime("%Y-%m-%dT%H:%M"))

    assert (
        "Draining for 0s by olga. It takes no new builds until "
        f"{UNTIL:%Y-%m-%d %H:%M}:00 UTC . Disks. 1 build still runs there , the last until about "
    ) in page.text
    assert BuildServer.objects.get().draining_until == UNTIL


def test_maintenance_says_the_same() -> None:
    page = act(make_server("one"), "maintenance", until=UNTIL.strftime("%Y-%m-%d %H:%M"))

    assert (
        "In maintenance for 0s by olga. It takes no new builds until "
        f"{UNTIL:%Y-%m-%d %H:%M}:00 UTC ; a probe then brings it back in. Nothing runs there now."
    ) in page.text


@pytest.mark.parametrize("action", ["drain", "maintenance"])
@pytest.mark.parametrize(
    ("until", "says"), [("at two", "Write the end as a date"), ("2001-01-01T10:00", "still to come")]
)
def test_an_end_that_does_not_fit_changes_nothing(action: str, until: str, says: str) -> None:
    server = make_server("one")

    assert says in act(server, action, until=until).text
    assert BuildServer.objects.filter(draining=False, status="online").exists()


def test_a_server_with_builds_is_removed_by_its_name_only_and_may_be_kept() -> None:
    server = make_server("one")
    attempt = busy(server)

    (field,) = get(server, "delete/").find("input", name="confirm")
    unsure = act(server, "remove", confirm="two", reason="Sold.")
    before = BuildServer.objects.get().removal_requested_at
    removed = Page(
        client_of(Role.ADMIN)
        .post(f"/servers/{server.pk}/remove/", {"confirm": "one", "reason": "Sold."}, follow=True)
        .content.decode()
    )

    assert "required" in field
    assert "Write the server's name, one, to confirm" in unsure.text
    assert before is None
    assert "1 build is being cancelled; the server is deleted when none runs. Sold." in removed.text
    assert BuildJob.objects.get(pk=attempt.job_id).cancel_requested_at is not None
    assert f"/servers/{server.pk}/keep/" in [form["action"] for form in removed.find("form")]
    assert f"/servers/{server.pk}/undrain/" not in [form["action"] for form in removed.find("form")]
    client_of(Role.OPERATOR).post(f"/servers/{server.pk}/keep/")
    assert BuildServer.objects.filter(removal_requested_at__isnull=True, draining=False).exists()


def test_a_server_that_others_are_reached_through_offers_no_removal() -> None:
    server = make_server("one", transport="ssh", hostname="h", ssh_username="u")
    make_server("behind", transport="ssh", hostname="b", ssh_username="u", jump_host=server)

    page = get(server, "delete/")

    assert (
        "It is the way to behind and cannot be deleted: give that one another jump host first." in page.text
    )
    assert [form for form in page.find("form", method="post") if "/servers/" in form["action"]] == []


@pytest.mark.parametrize(
    ("action", "how"),
    [
        ("drain", "Then it ends by itself."),
        ("maintenance", "Then a probe brings it back in."),
        ("quarantine", "Then one build decides."),
    ],
)
def test_the_question_says_how_it_ends(action: str, how: str) -> None:
    assert f"{how} Empty: somebody ends it." in get(make_server("one"), f"{action}/").text


# ---- its past -------------------------------------------------------------------------------------------


def test_the_statuses_say_who_and_why_and_how_long() -> None:
    server = make_server("one")
    set_maintenance(server.pk, enabled=True, actor=Actor("olga"), reason="Kernel.")
    set_maintenance(server.pk, enabled=False, actor=Actor("olga"))
    set_draining(server.pk, enabled=True, actor=Actor("olga"))
    record_event("server", subject_id=server.pk, kind="status", to_state="online", reason="It answers.")

    spans = statuses_of(server)

    assert [(one.status, one.who, one.reason) for one in spans] == [
        ("online", "", "It answers."),
        ("unknown", "olga", ""),
        ("maintenance", "olga", "Kernel."),
    ]
    assert [one.seconds is None for one in spans] == [True, False, False]
    text = get(server, role=Role.VIEWER).text
    assert "It answers. by the board," in text
    assert "Kernel. by olga," in text


def test_a_day_and_a_week_of_load_memory_disk_and_time_to_answer() -> None:
    server = make_server("one")
    began = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    for minutes, load, latency in ((-6000, 9.0, 2000.0), (1, 3.5, 20.0), (2, 0.5, 60.0), (30, 1.0, None)):
        ProbeSample.objects.create(
            server=server,
            at=began + timedelta(minutes=minutes),
            load_per_core=load,
            memory_percent=40.0,
            latency_ms=latency,
        )

    day, week = past_of(server, span="day"), past_of(server, span="week")

    assert [(name, chart.sentence) for name, chart in day.charts] == [
        ("Load for each core", "Load for each core in the last day: 1.0 now, from 1.0 to 3.5."),
        ("Memory", "Memory in the last day: 40% now, from 40% to 40%; the limit is 85%."),
        ("Disk", "Disk: nothing was measured in the last day."),
        ("Time to answer", "Time to answer in the last day: 60 ms now, from 60 ms to 60 ms."),
    ]
    assert week.charts[0][1].levels == [(68.0, "0"), (37.0, "5"), (6.0, "10")]
    assert week.charts[3][1].levels[-1] == (6.0, "2500")
    assert [tab for tab in week.tabs if tab[2]] == [("?span=week", "Week", True)]
    page = Page(client_of(Role.VIEWER).get(f"/servers/{server.pk}/?span=week").content.decode())
    assert page.find("a", href="?span=week#history", aria_current="true")
    assert "span=week" in page.find("div", id="server")[0]["hx-get"]
    assert page.broken == []


def test_an_unknown_span_is_a_day() -> None:
    assert past_of(make_server(), span="<x>").tabs[0][2] is True


def test_another_host_key_is_an_alarm_on_the_overview() -> None:
    make_job("completed", server=make_server("well"))
    keys = {"host_key": "ssh-ed25519 AAAA", "seen_host_key": "ssh-ed25519 BBBB"}
    make_server("changed", transport="ssh", hostname="h", ssh_username="u", status="offline", **keys)
    make_server("new", transport="ssh", hostname="n", ssh_username="u", seen_host_key=keys["host_key"])

    page = Page(client_of(Role.VIEWER).get("/").content.decode())

    assert page.find("section", role="alert", id="note-host-keys")
    assert "changed shows another host key than the pinned one." in page.text
    assert "other host key" in page.text


def test_each_reading_stands_beside_its_threshold() -> None:
    strains = {
        "storage": {"holds": True, "against": 0, "value": 83.4},
        "free_storage": {"holds": False, "against": 0, "value": 5120.0},
        "load": {"holds": False, "against": 1, "value": 1.26},
        "a_band_of_before": {"holds": True, "against": 0, "value": 1.0},
    }

    text = get(make_server("one", strains=strains, last_health_check=timezone.now())).text

    assert (
        "Disk : strained well again at 80% 83% in use "
        "Room on the disk : well degraded under 1.0 GiB 5.0 GiB free "
        "Load : well degraded over 16.0 1.3 for each core"
    ) in text
