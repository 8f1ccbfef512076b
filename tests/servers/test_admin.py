"""Build servers in the admin site: slots follow the limit, trust does not follow a new address."""

import uuid

import pytest
from django.test import Client

from buildboard.core.models import Event
from buildboard.core.permissions import Role
from servers.models import BuildServer
from servers.slots import take_slot
from servers.states import ServerStatus, TransportKind
from tests.factories import make_server, make_user

pytestmark = pytest.mark.django_db
FORM = {
    "name": "arm-1",
    "hostname": "arm.example",
    "ssh_port": "22",
    "ssh_username": "build",
    "architectures": "arm64, AARCH64,riscv64",
    "max_concurrent_builds": "3",
    "labels": "disk=nvme\nsite = north ",
    "enabled": "on",
    "cpu_limit_percent": "85",
    "memory_limit_percent": "85",
    "storage_limit_percent": "85",
    "toolchains-TOTAL_FORMS": "0",
    "toolchains-INITIAL_FORMS": "0",
}
ADD = "/admin/servers/buildserver/add/"


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(make_user(Role.OPERATOR, username="olga"))
    return client


def change_url(server: BuildServer) -> str:
    return f"/admin/servers/buildserver/{server.pk}/change/"


def ssh_server(**fields: object) -> BuildServer:
    address = {"hostname": "arm.example", "ssh_username": "build", "transport": TransportKind.SSH}
    return make_server("arm-1", **address | {"architectures": ["aarch64"]} | fields)


def test_an_operator_adds_a_server_with_its_slots(operator: Client) -> None:
    answered = operator.post(ADD, FORM)

    assert answered.status_code == 302
    server = BuildServer.objects.get()
    assert (server.transport, server.status) == (TransportKind.SSH, ServerStatus.UNKNOWN)
    assert server.architectures == ["aarch64", "riscv64"]
    assert server.labels == {"disk": "nvme", "site": "north"}
    assert [slot.number for slot in server.slots.all()] == [1, 2, 3]
    event = Event.objects.get()
    assert (event.subject_type, event.kind, event.actor, event.door) == (
        "server", "server_added", "olga", "admin",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("hostname", ""),
        ("ssh_username", ""),
        ("ssh_port", "0"),
        ("ssh_port", "65536"),
        ("architectures", ""),
        ("architectures", "../x"),
        ("architectures", "x" * 40),
        ("labels", "no equals sign"),
        ("labels", "a=1\na=2"),
        ("labels", "=x"),
        ("max_concurrent_builds", "0"),
        ("max_concurrent_builds", "257"),
    ],
)
def test_a_field_that_does_not_fit_is_named(operator: Client, field: str, value: str) -> None:
    answered = operator.post(ADD, {**FORM, field: value})

    assert answered.status_code == 200
    assert list(answered.context["adminform"].form.errors) == [field]
    assert BuildServer.objects.count() == 0


def test_lowering_the_limit_keeps_slots_that_are_held(operator: Client) -> None:
    server = ssh_server(max_concurrent_builds=3)
    for _ in range(2):
        take_slot(server, holder=uuid.uuid4())

    operator.post(change_url(server), {**FORM, "max_concurrent_builds": "1"})

    assert [slot.number for slot in server.slots.all()] == [1, 2]


def test_saving_writes_nothing_that_a_runner_may_be_writing(operator: Client) -> None:
    server = ssh_server()
    page = operator.get(change_url(server))
    BuildServer.objects.filter(pk=server.pk).update(status=ServerStatus.DEGRADED, boot_id="b2")

    operator.post(change_url(server), {**FORM, "name": "arm-2"})

    server.refresh_from_db()
    assert page.status_code == 200
    assert (server.name, server.status, server.boot_id) == ("arm-2", ServerStatus.DEGRADED, "b2")


def test_a_new_address_drops_the_trust_in_the_old_machine(operator: Client) -> None:
    server = ssh_server(host_key="ssh-ed25519 OLD", private_key="sealed", public_key="pub")

    same = operator.post(change_url(server), {**FORM, "host_key": "ssh-ed25519 OLD"})
    server.refresh_from_db()
    kept = (server.host_key, server.private_key)
    moved = operator.post(
        change_url(server), {**FORM, "host_key": "ssh-ed25519 OLD", "hostname": "evil.example"}
    )
    server.refresh_from_db()

    assert (same.status_code, moved.status_code) == (302, 302)
    assert kept == ("ssh-ed25519 OLD", "sealed")
    assert (server.hostname, server.host_key, server.private_key, server.public_key) == (
        "evil.example",
        "",
        "",
        "",
    )


def test_a_new_address_may_bring_its_own_host_key(operator: Client) -> None:
    server = ssh_server(host_key="ssh-ed25519 OLD")

    operator.post(change_url(server), {**FORM, "host_key": "ssh-ed25519 NEW", "ssh_port": "2222"})

    server.refresh_from_db()
    assert (server.ssh_port, server.host_key) == (2222, "ssh-ed25519 NEW")


def test_this_machine_keeps_its_transport(operator: Client) -> None:
    server = make_server("local")

    operator.post(
        change_url(server), {**FORM, "name": "local", "hostname": "", "ssh_username": "", "transport": "ssh"}
    )

    server.refresh_from_db()
    assert (server.transport, server.max_concurrent_builds) == (TransportKind.LOCAL, 3)


def test_a_server_with_builds_cannot_be_deleted(operator: Client) -> None:
    server = ssh_server()
    holder = uuid.uuid4()
    take_slot(server, holder=holder)
    url = f"/admin/servers/buildserver/{server.pk}/delete/"

    busy = operator.post(url, {"post": "yes"})
    server.slots.update(holder=None)
    free = operator.post(url, {"post": "yes"})

    assert (busy.status_code, free.status_code) == (403, 302)
    assert BuildServer.objects.count() == 0
    assert Event.objects.get(kind="server_deleted").data == {"name": "arm-1"}


def test_many_cannot_be_deleted_at_once(operator: Client) -> None:
    server = ssh_server()

    operator.post(
        "/admin/servers/buildserver/",
        {"action": "delete_selected", "_selected_action": [str(server.pk)], "post": "yes"},
    )

    assert BuildServer.objects.count() == 1


def test_maintenance_begins_and_ends(operator: Client) -> None:
    server = ssh_server()
    chosen = {"_selected_action": [str(server.pk)]}

    def status_after(action: str) -> str:
        operator.post("/admin/servers/buildserver/", {"action": action, **chosen})
        server.refresh_from_db()
        return server.status

    assert status_after("end_maintenance") == ServerStatus.ONLINE
    assert status_after("start_maintenance") == ServerStatus.MAINTENANCE
    assert status_after("end_maintenance") == ServerStatus.UNKNOWN
    assert {event.actor for event in Event.objects.all()} == {"olga"}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER])
def test_others_cannot_touch_the_fleet(role: str) -> None:
    server = ssh_server()
    client = Client()
    client.force_login(make_user(role))

    assert client.post(ADD, FORM).status_code == 403
    assert client.post(change_url(server), FORM).status_code == 403
    assert BuildServer.objects.values_list("hostname", flat=True).get() == "arm.example"
