"""Build servers over the API: operators manage them, readers look, and no answer holds a private key."""

import uuid
from typing import Any

import pytest
from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.crypto import generate_ssh_key_pair
from buildboard.core.models import Event
from buildboard.core.permissions import Role
from jobs.api import build_servers
from jobs.execution import parting, removal
from servers.given import NewServer, ServerChange
from servers.health import note_host_key
from servers.host_keys import parse_host_key
from servers.models import BuildServer, ServerCheck
from servers.slots import take_slot
from servers.states import ServerStatus
from tests.api import INFRASTRUCTURE, ApiClient, assert_error
from tests.factories import make_job, make_server

pytestmark = pytest.mark.django_db
SERVERS = f"{INFRASTRUCTURE}/build-servers"
UNKNOWN = f"{SERVERS}/7c333433-f38f-45e5-ab26-6ec1d9e7fdff"
BODY = {"name": "arm-1", "hostname": "arm.example", "ssh_username": "build"}


@pytest.fixture
def operator() -> ApiClient:
    return ApiClient(Role.OPERATOR)


def made(api: ApiClient, **fields: Any) -> dict[str, Any]:
    answered = api.post(SERVERS, BODY | fields)
    assert answered.status_code == 201, answered.json()
    return dict(answered.json())


def patch(api: ApiClient, server: dict[str, Any], **fields: Any) -> Any:
    return api.call("PATCH", f"{SERVERS}/{server['id']}", fields)


def key_line() -> str:
    return " ".join(generate_ssh_key_pair("x")[1].split()[:2])


def test_what_a_client_sends_shows_no_key_in_a_report_of_an_error() -> None:
    given = NewServer(name="a", private_key="-----BEGIN SECRET", private_key_passphrase="open sesame")
    change = ServerChange(private_key="-----BEGIN SECRET", private_key_passphrase="open sesame")

    assert "SECRET" not in f"{given!r} {given} {change!r}"
    assert "sesame" not in f"{given!r} {given} {change!r}"


# ---- adding and reading -----------------------------------------------------------------------------------


def test_an_operator_adds_a_server_and_gets_the_line_to_paste(operator: ApiClient) -> None:
    server = made(
        operator,
        architectures=["arm64", "armhf"],
        labels={"disk": "nvme"},
        utilization_limits={"cpu_percent": 70},
        environment={"PATH": "/opt/bin:/usr/bin"},
    )

    shown = operator.get(f"{SERVERS}/{server['id']}").json()
    assert shown | {"check_id": server["check_id"]} == server
    assert server["public_key"].endswith(" buildboard-arm-1")
    assert server["architectures"] == ["aarch64", "armv7"]
    assert server["utilization_limits"] == {"cpu_percent": 70, "memory_percent": 85, "storage_percent": 85}
    assert (server["status"], server["max_concurrent_builds"], server["ssh_port"], server["key_generated"]) == (
        "unknown", 4, 22, True,
    )  # fmt: skip
    assert Event.objects.get(kind="server_added").door == "api"


def test_no_answer_holds_a_private_key(operator: ApiClient) -> None:
    private, _ = generate_ssh_key_pair("mine")
    answers = [operator.post(SERVERS, BODY | {"private_key": private})]
    server = answers[0].json()
    url = f"{SERVERS}/{server['id']}"
    answers += [
        patch(operator, server, private_key=private, private_key_passphrase="sesame"),
        patch(operator, server, private_key=private[:80]),
        operator.get(url),
        operator.get(SERVERS),
        operator.get(f"{url}/capacity"),
        operator.post(f"{url}/probe"),
        operator.get(f"{url}/checks"),
    ]

    told = b"".join(answered.content for answered in answers)
    assert [answered.status_code for answered in answers] == [201, 200, 422, 200, 200, 200, 202, 200]
    assert "private_key" not in server
    assert private.splitlines()[1].encode() not in told
    assert b"PRIVATE KEY" not in told
    assert BuildServer.objects.get().private_key.encode() not in told
    assert b"sesame" not in told


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"hostname": "-oProxyCommand=x"}, ["hostname"]),
        ({"hostname": "", "ssh_username": ""}, ["hostname", "ssh_username"]),
        ({"ssh_port": 0}, ["ssh_port"]),
        ({"ssh_port": "22"}, ["ssh_port"]),
        ({"transport": "local"}, ["transport"]),
        ({"transport": "telnet"}, ["transport"]),
        ({"max_concurrent_builds": 0}, ["max_concurrent_builds"]),
        ({"utilization_limits": {"cpu_percent": 101}}, ["utilization_limits.cpu_percent"]),
        ({"utilization_limits": {"gpu_percent": 1}}, ["utilization_limits.gpu_percent"]),
        ({"labels": {"a b": "x"}}, ["labels"]),
        ({"architectures": ["../x"]}, ["architectures"]),
        ({"environment": {"LD_PRELOAD": "/x"}}, ["environment"]),
        ({"host_key": "ssh-dss AAAA"}, ["host_key"]),
        ({"jump_host": "nobody"}, ["jump_host"]),
        ({"status": "online"}, ["status"]),
        ({"machine_id": "x"}, ["machine_id"]),
        ({"private_key": "x"}, ["private_key"]),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_made(
    operator: ApiClient, fields: dict[str, Any], names: list[str]
) -> None:
    assert_error(operator.post(SERVERS, BODY | fields), 422, code="invalid", fields=names)
    assert BuildServer.objects.count() == 0


def test_a_name_is_taken_once(operator: ApiClient) -> None:
    made(operator)

    assert_error(operator.post(SERVERS, BODY), 422, fields=["name"])


def test_servers_are_listed_by_name_a_page_at_a_time(operator: ApiClient) -> None:
    for number in range(3):
        made(operator, name=f"s{number}")

    first = operator.get(f"{SERVERS}?limit=2")
    following = first.headers["Link"].split(">")[0].strip("<").replace("http://testserver", "")

    assert [server["name"] for server in first.json()] == ["s0", "s1"]
    assert [server["name"] for server in operator.get(following).json()] == ["s2"]


# ---- changing ---------------------------------------------------------------------------------------------


def test_a_patch_changes_what_it_names(operator: ApiClient) -> None:
    server = made(operator, host_key=key_line(), group="g")

    answered = patch(operator, server, enabled=False, draining=True, draining_reason="Moves.", group=None)

    changed = answered.json()
    assert (changed["enabled"], changed["draining"], changed["draining_reason"], changed["group"]) == (
        False, True, "Moves.", None,
    )  # fmt: skip
    same = ("name", "host_key", "public_key", "hostname", "labels", "utilization_limits")
    assert {name: changed[name] for name in same} == {name: server[name] for name in same}
    assert patch(operator, server).json()["draining"] is True


def test_another_host_drops_pin_and_key(operator: ApiClient) -> None:
    server = made(operator, host_key=key_line())

    changed = patch(operator, server, hostname="evil.example").json()

    assert (changed["host_key"], changed["host_key_fingerprint"], changed["status"]) == (
        None,
        None,
        "unknown",
    )
    assert changed["public_key"] != server["public_key"]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"name": None}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"nmae": "x"}, ["nmae"]),
        ({"transport": "local"}, ["transport"]),
        ({"enabled": "yes"}, ["enabled"]),
        ({"id": str(uuid.uuid4())}, ["id"]),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(
    operator: ApiClient, fields: dict[str, Any], names: list[str]
) -> None:
    server = made(operator)

    assert_error(patch(operator, server, **fields, group="other"), 422, fields=names)
    del server["check_id"]
    assert operator.get(f"{SERVERS}/{server['id']}").json() == server


def test_a_server_with_builds_neither_moves_nor_goes(operator: ApiClient) -> None:
    server = made(operator)
    row = BuildServer.objects.get()
    take_slot(row, holder=uuid.uuid4())

    assert_error(patch(operator, server, hostname="b.example"), 409, code="conflict")
    assert_error(operator.delete(f"{SERVERS}/{server['id']}"), 409, code="conflict")
    row.slots.update(holder=None)
    assert operator.delete(f"{SERVERS}/{server['id']}").status_code == 204
    assert_error(operator.get(f"{SERVERS}/{server['id']}"), 404)


@pytest.mark.parametrize(("is_swept", "status"), [(False, 202), (True, 204)])
def test_one_with_a_long_history_is_on_its_way_or_gone_if_the_sweep_was_faster(
    operator: ApiClient, monkeypatch: pytest.MonkeyPatch, is_swept: bool, status: int
) -> None:
    monkeypatch.setattr(parting, "AT_ONCE", 1)
    monkeypatch.setattr(removal, "PARTING_SECONDS", 0.0)
    server = make_server()
    for _ in range(2):
        make_job("completed", server=server)
    remove = removal.remove_idle

    def remove_beside_the_sweep(row: BuildServer, *, actor: Actor) -> bool:
        is_gone = remove(row, actor=actor)
        for _ in range(9 * is_swept):
            removal.finish_removals()
        return is_gone

    monkeypatch.setattr(build_servers, "remove_idle", remove_beside_the_sweep)
    answered = operator.delete(f"{SERVERS}/{server.pk}")

    assert answered.status_code == status
    assert BuildServer.objects.filter(pk=server.pk, draining=True).exists() is not is_swept
    if not is_swept:
        assert answered.json()["draining"] is True


def test_a_jump_host_is_named_by_id_or_name_and_does_not_go(operator: ApiClient) -> None:
    jump = made(operator)

    inner = made(operator, name="inner", jump_host="arm-1")
    by_id = made(operator, name="inner-2", jump_host=jump["id"])

    assert inner["jump_host"] == by_id["jump_host"] == jump["id"]
    assert_error(operator.delete(f"{SERVERS}/{jump['id']}"), 409)
    assert_error(patch(operator, jump, jump_host="inner"), 422, fields=["jump_host"])
    assert patch(operator, inner, jump_host=None).json()["jump_host"] is None


# ---- actions ----------------------------------------------------------------------------------------------


def test_a_probe_is_a_check_that_can_be_watched(operator: ApiClient) -> None:
    server = made(operator)
    ServerCheck.objects.all().delete()
    url = f"{SERVERS}/{server['id']}"

    asked = operator.post(f"{url}/probe")
    check = asked.json()

    assert asked.status_code == 202
    assert (check["ok"], check["steps"], check["finished_at"]) == (None, [], None)
    steps = [{"name": "reach", "ok": False, "seen": "s", "advice": "a", "milliseconds": 7}]
    ServerCheck.objects.update(steps=steps, finished_at=check["requested_at"])
    seen = operator.get(f"{url}/checks/{check['id']}").json()
    assert (seen["ok"], seen["steps"], seen["requested_by"]) == (False, steps, operator.user.username)  # type: ignore[union-attr]  # it has one
    assert operator.get(f"{url}/checks").json() == [seen]
    other = made(operator, name="other")
    assert_error(operator.get(f"{SERVERS}/{other['id']}/checks/{check['id']}"), 404)
    assert_error(operator.post(f"{url}/probe", {"tools": True}), 422, fields=["tools"])


def test_what_has_started_a_check_gives_its_id(operator: ApiClient) -> None:
    server = made(operator)
    check = f"{SERVERS}/{server['id']}/checks/{server['check_id']}"

    assert operator.get(check).json()["steps"] == []
    ServerCheck.objects.update(finished_at=timezone.now())
    assert patch(operator, server, labels={"disk": "nvme"}).json()["check_id"] is None
    other = patch(operator, server, work_dir="/srv/elsewhere").json()["check_id"]
    assert other not in {None, server["check_id"]}
    assert operator.get(f"{SERVERS}/{server['id']}/checks/{other}").json()["finished_at"] is None
    assert "check_id" not in operator.get(f"{SERVERS}/{server['id']}").json()


def test_the_key_that_was_seen_is_accepted_by_its_fingerprint(operator: ApiClient) -> None:
    server, seen = made(operator), parse_host_key(key_line())
    accept = f"{SERVERS}/{server['id']}/accept-host-key"
    assert_error(operator.post(accept, {"fingerprint": seen.fingerprint}), 409)
    note_host_key(uuid.UUID(server["id"]), seen=seen, changed=False)

    shown = operator.get(f"{SERVERS}/{server['id']}").json()
    assert (shown["host_key"], shown["seen_host_key"]) == (None, seen.line)
    assert shown["host_key_fingerprint"] == shown["seen_host_key_fingerprint"] == seen.fingerprint
    assert_error(operator.post(accept, {"fingerprint": "SHA256:another"}), 409)
    assert_error(operator.post(accept, {}), 422, fields=["fingerprint"])
    accepted = operator.post(accept, {"fingerprint": seen.fingerprint})

    assert accepted.status_code == 200
    assert (accepted.json()["host_key"], accepted.json()["seen_host_key"]) == (seen.line, None)
    waiting = ServerCheck.objects.get()  # asked for when it was added, and not begun since
    assert accepted.json()["check_id"] == str(waiting.pk)
    assert operator.post(accept, {"fingerprint": seen.fingerprint}).status_code == 200


def test_maintenance_begins_takes_another_reason_and_ends(operator: ApiClient) -> None:
    server = make_server()
    url = f"{SERVERS}/{server.pk}/maintenance"

    def status(**body: Any) -> tuple[str, str | None]:
        answered = operator.post(url, body).json()
        return answered["status"], answered["status_reason"]

    assert status(enabled=False) == ("online", None)
    assert status(enabled=True, reason="New disk.") == ("maintenance", "New disk.")
    assert status(enabled=True, reason="Other.") == ("maintenance", "Other.")
    assert status(enabled=True) == ("maintenance", "Other.")
    assert status(enabled=False)[0] == "unknown"
    assert Event.objects.filter(kind="status").count() == 2
    assert_error(operator.post(url, {}), 422, fields=["enabled"])


def test_capacity_is_what_is_free(operator: ApiClient) -> None:
    server = make_server(max_concurrent_builds=2, memory_percent=40.0, total_cpu_cores=8)
    take_slot(server, holder=uuid.uuid4())

    shown = operator.get(f"{SERVERS}/{server.pk}/capacity").json()

    assert shown == {
        "server_id": str(server.pk),
        "name": server.name,
        "status": "online",
        "max_concurrent_builds": 2,
        "active_build_count": 1,
        "available_slots": 1,
        "utilization": {"cpu_percent": None, "memory_percent": 40.0, "storage_percent": None},
        "utilization_limits": {"cpu_percent": 85, "memory_percent": 85, "storage_percent": 85},
        "total_cpu_cores": 8,
        "total_memory_mb": None,
        "total_storage_gb": None,
        "last_health_check": None,
    }


# ---- rights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER])
def test_readers_look_and_change_nothing(role: str) -> None:
    server, api = make_server(), ApiClient(role)
    url = f"{SERVERS}/{server.pk}"

    for path in (SERVERS, url, f"{url}/capacity", f"{url}/checks"):
        assert api.get(path).status_code == 200
    answers = [
        api.post(SERVERS, BODY),
        api.call("PATCH", url, {"enabled": False}),
        api.delete(url),
        api.post(f"{url}/probe"),
        api.post(f"{url}/maintenance", {"enabled": True}),
        api.post(f"{url}/accept-host-key", {"fingerprint": "SHA256:abc"}),
    ]

    assert {answered.status_code for answered in answers} == {403}
    assert list(BuildServer.objects.values_list("enabled", "status")) == [(True, ServerStatus.ONLINE)]


def test_what_is_not_there_is_not_found(operator: ApiClient) -> None:
    answers = [
        operator.get(UNKNOWN),
        operator.call("PATCH", UNKNOWN, {"enabled": False}),
        operator.delete(UNKNOWN),
        operator.post(f"{UNKNOWN}/probe"),
        operator.get(f"{UNKNOWN}/checks"),
        operator.get(f"{UNKNOWN}/checks/{uuid.uuid4()}"),
        operator.post(f"{UNKNOWN}/maintenance", {"enabled": True}),
        operator.post(f"{UNKNOWN}/accept-host-key", {"fingerprint": "SHA256:abc"}),
        operator.get(f"{UNKNOWN}/capacity"),
    ]

    for answered in answers:
        assert_error(answered, 404)
