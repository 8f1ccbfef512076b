"""Taking servers out of service over HTTP: drains and maintenance with an end, removal, and the list's filters."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from buildboard.core.instants import utc_text
from buildboard.core.permissions import Role
from jobs.models import BuildJob
from servers.models import BuildServer
from servers.slots import take_slot
from tests.api import INFRASTRUCTURE, ApiClient, assert_error
from tests.factories import make_attempt, make_job, make_server

pytestmark = pytest.mark.django_db
SERVERS = f"{INFRASTRUCTURE}/build-servers"


@pytest.fixture
def operator() -> ApiClient:
    return ApiClient(Role.OPERATOR)


def shown(answer: Any, *keys: str) -> list[Any]:
    body = answer.json()
    return [body[key] for key in keys]


def test_a_drain_begins_with_reason_and_end_and_ends(operator: ApiClient) -> None:
    url = f"{SERVERS}/{make_server().pk}/drain"
    until = utc_text(timezone.now() + timedelta(hours=1))
    keys = ("draining", "draining_reason", "draining_until", "draining_by")

    begun = operator.post(url, {"enabled": True, "reason": " Disks. ", "until": until})
    again = operator.post(url, {"enabled": True, "reason": "Memory."})
    open_end = operator.post(url, {"enabled": True, "until": None})
    ended = operator.post(url, {"enabled": False})

    (by,) = shown(begun, "draining_by")
    assert shown(begun, *keys) == [True, "Disks.", until, by]
    assert by.startswith("operator-")
    assert begun.json()["draining_since"] is not None
    assert shown(again, *keys) == [True, "Memory.", until, by]
    assert shown(open_end, *keys) == [True, "Memory.", None, by]
    assert shown(ended, *keys, "draining_since") == [False, None, None, None, None]


def test_maintenance_has_an_end_and_says_who(operator: ApiClient) -> None:
    url = f"{SERVERS}/{make_server().pk}/maintenance"
    until = utc_text(timezone.now() + timedelta(hours=1))

    begun = operator.post(url, {"enabled": True, "until": until}).json()
    again = operator.post(url, {"enabled": True, "reason": "Kernel."})
    open_end = operator.post(url, {"enabled": True, "until": None})

    assert shown(again, "status_reason", "maintenance_until") == ["Kernel.", until]
    assert shown(open_end, "status_reason", "maintenance_until") == ["Kernel.", None]
    assert (begun["status"], begun["maintenance_until"]) == ("maintenance", until)
    assert begun["status_changed_by"].startswith("operator-")
    assert operator.post(url, {"enabled": False}).json()["maintenance_until"] is None


@pytest.mark.parametrize("verb", ["drain", "maintenance"])
@pytest.mark.parametrize("until", ["2001-01-01T00:00:00Z", "9000-01-01T00:00:00Z", "soon", 12])
def test_an_end_that_does_not_fit_is_refused(operator: ApiClient, verb: str, until: object) -> None:
    url = f"{SERVERS}/{make_server().pk}/{verb}"

    assert_error(operator.post(url, {"enabled": True, "until": until}), 422, fields=["until"])
    assert BuildServer.objects.filter(draining=False, status="online").count() == 1


def test_a_removal_says_first_what_it_does_and_then_cancels_and_may_be_taken_back(
    operator: ApiClient,
) -> None:
    server = make_server("arm", architectures=["aarch64"])
    job = make_job(target_architecture="aarch64")
    attempt = make_attempt(server=server)
    take_slot(server, holder=attempt.pk)
    url = f"{SERVERS}/{server.pk}/removal"

    before = operator.get(url).json()
    unsure = operator.post(url, {"confirm": "arm64"})
    removed = operator.post(url, {"confirm": "arm", "reason": "Sold."})
    kept = operator.delete(url)

    assert before == {
        "active_build_count": 1,
        "stranded_job_count": 1,
        "stranded_jobs": [str(job.pk)],
        "reached_through_it": [],
    }
    assert_error(unsure, 422, fields=["confirm"])
    assert removed.status_code == 202
    assert shown(removed, "removal_reason", "draining") == ["Sold.", True]
    assert BuildJob.objects.get(pk=attempt.job_id).cancel_requested_at is not None
    assert shown(kept, "removal_requested_at", "draining") == [None, False]


def test_who_is_a_way_to_others_is_not_removed(operator: ApiClient) -> None:
    server = make_server("one", transport="ssh", hostname="h", ssh_username="u")
    make_server("behind", transport="ssh", hostname="b", ssh_username="u", jump_host=server)
    url = f"{SERVERS}/{server.pk}/removal"

    assert operator.get(url).json()["reached_through_it"] == ["behind"]
    assert_error(operator.post(url, {"confirm": "one"}), 409)


def test_while_it_is_being_removed_it_drains(operator: ApiClient) -> None:
    server = make_server("one")
    operator.post(f"{SERVERS}/{server.pk}/removal", {"confirm": "one"})

    assert_error(operator.post(f"{SERVERS}/{server.pk}/drain", {"enabled": False}), 409)
    assert_error(operator.call("PATCH", f"{SERVERS}/{server.pk}", {"draining": False}), 409)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER])
def test_readers_take_nothing_out(role: str) -> None:
    api, url = ApiClient(role), f"{SERVERS}/{make_server('one').pk}"

    answers = [
        api.post(f"{url}/drain", {"enabled": True}),
        api.get(f"{url}/removal"),
        api.post(f"{url}/removal", {"confirm": "one"}),
        api.delete(f"{url}/removal"),
    ]

    assert {answered.status_code for answered in answers} == {403}


def test_what_is_not_there_is_not_found(operator: ApiClient) -> None:
    url = f"{SERVERS}/{uuid.uuid4()}"

    assert_error(operator.post(f"{url}/drain", {"enabled": True}), 404)
    assert_error(operator.get(f"{url}/removal"), 404)
    assert_error(operator.post(f"{url}/removal", {"confirm": "one"}), 404)
    assert_error(operator.delete(f"{url}/removal"), 404)


def test_events_say_who_took_it_out_and_why_newest_first(operator: ApiClient) -> None:
    url = f"{SERVERS}/{make_server().pk}"
    operator.post(f"{url}/maintenance", {"enabled": True, "reason": "Kernel."})
    operator.post(f"{url}/drain", {"enabled": True})

    told = ApiClient(Role.VIEWER).get(f"{url}/events?limit=2").json()

    assert [(one["kind"], one["to_status"], one["reason"], one["door"]) for one in told] == [
        ("drain_started", None, None, "api"),
        ("status", "maintenance", "Kernel.", "api"),
    ]
    assert {one["actor"].partition("-")[0] for one in told} == {"operator"}


# ---- the list -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["a", "b", "c"]),
        ("?group=south", ["a"]),
        ("?group=sou", []),
        ("?label=disk:nvme", ["a", "b"]),
        ("?label=disk:nv", []),
        ("?architecture=arm64", ["b"]),
        ("?architecture=aarch6", []),
        ("?status=degraded", ["c"]),
        ("?draining=true", ["b"]),
        ("?label=disk:nvme&draining=false", ["a"]),
    ],
)
def test_servers_are_listed_by_group_label_architecture_and_state(
    operator: ApiClient, query: str, names: list[str]
) -> None:
    make_server("a", group="south", labels={"disk": "nvme"})
    make_server("b", labels={"disk": "nvme"}, architectures=["x86_64", "aarch64"], draining=True)
    make_server("c", status="degraded")

    assert [one["name"] for one in operator.get(f"{SERVERS}{query}").json()] == names


@pytest.mark.parametrize("query", ["?label=disk", "?group=", "?status=fine", "?architecture=../x", "?grup=x"])
def test_a_filter_that_does_not_fit_is_refused(operator: ApiClient, query: str) -> None:
    assert operator.get(f"{SERVERS}{query}").status_code == 422
