"""Quarantine on pages, in the admin site and over HTTP: who is out, why and until when, and what ends it."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.instants import utc_text
from buildboard.core.permissions import Role
from servers import quarantine
from servers.models import BuildServer
from tests.api import INFRASTRUCTURE, ApiClient, assert_error
from tests.factories import make_attempt, make_job, make_server, make_user
from tests.jobs.pages import Page, client_of

pytestmark = pytest.mark.django_db
REASON = "3 different builds of 2 repositories failed here and passed on other servers."
UNTIL = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(hours=3)
OLGA = Actor("olga", "page")


@pytest.fixture
def bad() -> BuildServer:
    """In quarantine for a minute, by the board."""
    make_server("good")
    server = make_server("bad")
    assert quarantine.quarantine_for_fault(server.pk, reason=REASON)
    return server


def end_the_wait(server: BuildServer) -> None:
    BuildServer.objects.filter(pk=server.pk).update(quarantined_until=timezone.now() - timedelta(seconds=1))


def send_canary(server: BuildServer) -> Any:
    end_the_wait(server)
    server.refresh_from_db()
    attempt = make_attempt(
        make_job("running", source_repository="https://git.example/linux.git"), server=server
    )
    assert quarantine.take_canary(server, holder=attempt.pk)
    return attempt


def page_of(server: BuildServer, role: str = Role.OPERATOR) -> Page:
    return Page(client_of(role).get(f"/servers/{server.pk}/").content.decode())


def act(server: BuildServer, action: str, **values: str) -> Page:
    client = client_of(user=make_user(Role.OPERATOR, username="olga"))
    return Page(client.post(f"/servers/{server.pk}/{action}/", values, follow=True).content.decode())


# ---- the page of a server ---------------------------------------------------------------------------------


def test_the_page_says_why_until_when_and_what_then(bad: BuildServer) -> None:
    page = page_of(bad)

    assert page.broken == []
    assert "In quarantine for" in page.text
    assert f"{REASON} Then it gets one build; if that goes well, it is back in service." in page.text
    assert "End the quarantine now" in page.text
    assert "Quarantined" in page.text


def test_a_reader_sees_it_without_the_button(bad: BuildServer) -> None:
    text = page_of(bad, Role.VIEWER).text

    assert REASON in text
    assert "End the quarantine now" not in text


def test_past_the_wait_the_page_says_that_one_build_is_due_and_then_which(bad: BuildServer) -> None:
    end_the_wait(bad)

    assert "It is on trial: the next build that fits is sent there alone." in page_of(bad).text

    canary = send_canary(bad)
    page = page_of(bad)

    assert "It is on trial with one build, linux main : if that goes well, it is back in service" in page.text
    assert f"/jobs/{canary.job_id}/" in [link["href"] for link in page.find("a")]


def test_a_person_puts_one_in_quarantine_with_reason_and_end_and_ends_it() -> None:
    server = make_server("one")
    question = Page(client_of(Role.OPERATOR).get(f"/servers/{server.pk}/quarantine/").content.decode())
    assert "Put one in quarantine? It takes no new builds" in question.text

    begun = act(server, "quarantine", reason="Smoke", until=f"{UNTIL:%Y-%m-%dT%H:%M}")

    assert "In quarantine: it gets no new builds." in begun.text
    assert "by olga, until" in begun.text
    server.refresh_from_db()
    assert (server.quarantine_reason, server.quarantined_until) == ("Smoke", UNTIL)

    ended = Page(
        client_of(Role.OPERATOR).post(f"/servers/{server.pk}/end-quarantine/", follow=True).content.decode()
    )

    assert "It takes builds again." in ended.text
    assert "Out of quarantine" in ended.text
    server.refresh_from_db()
    assert server.quarantined_since is None


def test_one_without_an_end_says_that_somebody_has_to_end_it() -> None:
    server = make_server("one")
    quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, reason="Smoke")

    assert "It takes no new builds until somebody ends this. What runs there goes on." in page_of(server).text


def test_a_changed_host_key_is_told_by_its_alarm_alone_and_ends_with_the_key() -> None:
    server = make_server("one", transport="ssh", hostname="one.example", ssh_username="build")
    quarantine.hold_for_key(server.pk, reason="Its host key changed.")

    refused = act(server, "end-quarantine")

    assert "one shows another host key than the pinned one: accept that key" in refused.text
    server.refresh_from_db()
    assert server.quarantine_kind == "host_key"


def test_only_operators_may(bad: BuildServer) -> None:
    for action in ("quarantine", "end-quarantine"):
        assert client_of(Role.SUBMITTER).post(f"/servers/{bad.pk}/{action}/").status_code == 403


# ---- lists ------------------------------------------------------------------------------------------------


def test_the_list_says_it_first_and_in_the_row(bad: BuildServer) -> None:
    client = client_of()
    held = Page(client.get("/servers/").content.decode()).text
    end_the_wait(bad)
    due = Page(client.get("/servers/").content.decode()).text
    send_canary(bad)
    runs = Page(client.get("/servers/").content.decode()).text
    quarantine.set_quarantine(bad.pk, enabled=True, actor=OLGA, reason="Smoke")
    endless = Page(client.get("/servers/").content.decode()).text

    bad.refresh_from_db()
    assert "bad is in quarantine until" in held
    assert REASON in held
    assert "Quarantined until" in held
    assert "bad comes out of quarantine through one build." in due
    assert "Quarantined takes one build" in due
    assert "Quarantined tries one build" in runs
    assert "Quarantined until ended" in endless


def test_the_list_is_drawn_anew_when_the_wait_is_over(bad: BuildServer) -> None:
    client = client_of()
    before = Page(client.get("/servers/").content.decode()).find("div", id="servers")[0]["hx-get"]
    end_the_wait(bad)

    assert Page(client.get("/servers/").content.decode()).find("div", id="servers")[0]["hx-get"] != before


# ---- the API ----------------------------------------------------------------------------------------------

SERVERS = f"{INFRASTRUCTURE}/build-servers"
KEYS = (
    *("quarantine_kind", "quarantine_reason", "quarantined_by", "quarantined_until"),
    *("quarantined_since", "canary_attempt_id"),
)


def shown(body: Any) -> list[Any]:
    return [body[key] for key in KEYS]


def test_a_quarantine_is_begun_and_ended_over_http() -> None:
    operator = ApiClient(Role.OPERATOR)
    url = f"{SERVERS}/{make_server().pk}/quarantine"
    until = utc_text(timezone.now() + timedelta(hours=1))

    begun = operator.post(url, {"enabled": True, "reason": " Smoke. ", "until": until}).json()
    endless = operator.post(url, {"enabled": True, "reason": "Smoke."}).json()
    ended = operator.post(url, {"enabled": False, "reason": "Fan."})

    by, since = begun["quarantined_by"], begun["quarantined_since"]
    assert by.startswith("operator-")
    assert shown(begun) == ["hand", "Smoke.", by, until, since, None]
    assert shown(endless) == ["hand", "Smoke.", by, None, since, None]
    assert (ended.status_code, shown(ended.json())) == (200, [None] * 6)


def test_the_canary_is_named(bad: BuildServer) -> None:
    canary = send_canary(bad)

    body = ApiClient(Role.VIEWER).get(f"{SERVERS}/{bad.pk}").json()

    assert (body["quarantine_kind"], body["canary_attempt_id"]) == ("fault", str(canary.pk))


def test_a_changed_key_is_a_conflict_and_others_are_refused(bad: BuildServer) -> None:
    keyed = make_server("keyed")
    quarantine.hold_for_key(keyed.pk, reason="Its host key changed.")
    operator, submitter = ApiClient(Role.OPERATOR), ApiClient(Role.SUBMITTER)

    assert_error(operator.post(f"{SERVERS}/{keyed.pk}/quarantine", {"enabled": False}), 409)
    assert_error(submitter.post(f"{SERVERS}/{bad.pk}/quarantine", {"enabled": False}), 403)
    assert_error(operator.post(f"{SERVERS}/{uuid.uuid4()}/quarantine", {"enabled": False}), 404)
    assert_error(operator.post(f"{SERVERS}/{bad.pk}/quarantine", {}), 422)


# ---- the admin site ---------------------------------------------------------------------------------------


def test_the_admin_site_shows_it_and_begins_and_ends_it(bad: BuildServer) -> None:
    client: Client = client_of(Role.ADMIN)
    other = make_server("other")
    url = reverse("admin:servers_buildserver_changelist")
    form = client.get(reverse("admin:servers_buildserver_change", args=[bad.pk])).content.decode()
    assert REASON in form
    assert "Host fault" in form

    client.post(url, {"action": "end_quarantine", "_selected_action": [str(bad.pk), str(other.pk)]})
    client.post(url, {"action": "start_quarantine", "_selected_action": [str(other.pk)]})

    rows = BuildServer.objects.order_by("name").values_list("name", "quarantine_kind")
    assert dict(rows) == {"bad": "", "good": "", "other": "hand"}
