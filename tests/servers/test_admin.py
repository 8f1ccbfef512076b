"""Build servers in the admin site: the page's rules, trust that follows no new address, no key ever shown."""

import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.crypto import decrypt, generate_ssh_key_pair, load_ssh_private_key
from buildboard.core.models import Event
from buildboard.core.permissions import Role
from servers.drains import set_maintenance
from servers.models import BuildServer, ServerCheck
from servers.slots import take_slot
from servers.states import ServerStatus, TransportKind
from tests.api import INFRASTRUCTURE, ApiClient
from tests.factories import make_server, make_user
from tests.jobs.pages import Page

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
LIST = "/admin/servers/buildserver/"
OLD, NEW = (" ".join(generate_ssh_key_pair("host")[1].split()[:2]) for _ in range(2))


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
    assert server.key_generated
    assert server.public_key.startswith("ssh-ed25519 ")
    assert [(event.kind, event.actor, event.door) for event in Event.objects.order_by("sequence")] == [
        ("server_added", "olga", "admin"),
        ("check_requested", "olga", "admin"),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("hostname", ""),
        ("ssh_username", ""),
        ("ssh_port", "0"),
        ("ssh_port", "65536"),
        ("name", "auto"),
        ("hostname", "-oProxyCommand=x"),
        ("ssh_username", "a b"),
        ("architectures", "../x"),
        ("architectures", "x" * 40),
        ("labels", "no equals sign"),
        ("labels", "a=1\na=2"),
        ("labels", "=x"),
        ("max_concurrent_builds", "0"),
        ("max_concurrent_builds", "257"),
        ("host_key", "nonsense"),
        ("private_key", "nonsense"),
        ("work_dir", "relative"),
        ("environment", "LD_PRELOAD=x"),
        ("memory_limit_percent", "101"),
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


def test_a_form_that_lay_open_undoes_no_other_change(operator: Client) -> None:
    server = ssh_server(group="old")
    page = Page(operator.get(change_url(server)).content.decode())
    (shown,) = page.find("input", name="shown")
    BuildServer.objects.update(group="new", draining=True)
    form = FORM | {"architectures": "aarch64", "labels": "", "max_concurrent_builds": "4"}

    saved = operator.post(
        change_url(server), form | {"shown": shown["value"], "group": "old", "work_dir": "/srv/b"}
    )

    server.refresh_from_db()
    assert saved.status_code == 302
    assert (server.group, server.draining, server.work_dir) == ("new", True, "/srv/b")


def test_a_new_address_drops_the_trust_in_the_old_machine(operator: Client) -> None:
    operator.post(ADD, {**FORM, "host_key": OLD})
    server = BuildServer.objects.get()

    operator.post(change_url(server), {**FORM, "host_key": OLD, "group": "south"})
    same = BuildServer.objects.get()
    operator.post(change_url(server), {**FORM, "host_key": OLD, "hostname": "evil.example"})
    moved = BuildServer.objects.get()

    assert (same.group, same.host_key, same.public_key) == ("south", OLD, server.public_key)
    assert (moved.hostname, moved.host_key) == ("evil.example", "")
    assert moved.public_key != server.public_key


def test_a_new_address_may_bring_its_own_host_key(operator: Client) -> None:
    server = ssh_server(host_key=OLD)

    operator.post(change_url(server), {**FORM, "host_key": NEW, "ssh_port": "2222"})

    server.refresh_from_db()
    assert (server.ssh_port, server.host_key) == (2222, NEW)


def test_a_private_key_is_stored_and_never_shown(operator: Client) -> None:
    private, public = generate_ssh_key_pair("own")

    refused = operator.post(ADD, {**FORM, "private_key": private, "ssh_port": "0"})
    operator.post(ADD, {**FORM, "private_key": private})
    server = BuildServer.objects.get()
    shown = operator.get(change_url(server))

    stored = decrypt(server.private_key, record="key")
    assert load_ssh_private_key(stored, passphrase=None)[1].split()[:2] == public.split()[:2]
    assert (server.key_generated, server.public_key.split()[:2]) == (False, public.split()[:2])
    for answered in (refused, shown):
        assert answered.status_code == 200
        assert private.splitlines()[1] not in answered.content.decode()
        assert "BEGIN OPENSSH" not in answered.content.decode()
    assert server.private_key not in shown.content.decode()
    assert server.public_key in shown.content.decode()


def test_no_address_filters_by_a_key(operator: Client) -> None:
    ssh_server(private_key="sealed")

    answered = operator.get(f"{LIST}?private_key__startswith=s")

    assert answered.status_code == 400


def test_what_the_state_forbids_is_said_and_changes_nothing(operator: Client) -> None:
    server = ssh_server()
    take_slot(server, holder=uuid.uuid4())

    answered = operator.post(change_url(server), {**FORM, "hostname": "other.example"}, follow=True)

    assert (
        "A build runs on arm-1: drain it and wait, or cancel them, to move it." in answered.content.decode()
    )
    server.refresh_from_db()
    assert server.hostname == "arm.example"


def test_draining_begins_and_ends(operator: Client) -> None:
    server = ssh_server()

    operator.post(change_url(server), {**FORM, "draining": "on", "draining_reason": "disks"})
    server.refresh_from_db()
    began = (server.draining, server.draining_reason)
    operator.post(change_url(server), FORM)
    server.refresh_from_db()

    assert (began, server.draining) == ((True, "disks"), False)


def test_a_drain_has_an_end_that_is_kept_changed_and_checked_as_by_the_api(operator: Client) -> None:
    server = ssh_server()
    begun = {**FORM, "draining": "on", "draining_reason": "disks"}
    tomorrow = (timezone.now() + timedelta(days=1)).replace(second=0, microsecond=0)
    typed = f"{tomorrow:%Y-%m-%d %H:%M}"

    def save(until: str) -> BuildServer:
        """As from the page as it is now."""
        page = Page(operator.get(change_url(server)).content.decode())
        (shown,) = page.find("input", name="shown")
        operator.post(change_url(server), {**begun, "draining_until": until, "shown": shown["value"]})
        server.refresh_from_db()
        return server

    assert (save(typed).draining, server.draining_until) == (True, tomorrow)
    BuildServer.objects.update(draining_until=tomorrow + timedelta(seconds=30))
    (field,) = Page(operator.get(change_url(server)).content.decode()).find("input", name="draining_until")
    assert field["value"] == typed
    assert save(typed).draining_until == tomorrow + timedelta(seconds=30), "it was left as it was shown"
    # Of a form that does not say what it showed.
    operator.post(change_url(server), {**begun, "draining_until": typed})
    server.refresh_from_db()
    assert server.draining_until == tomorrow + timedelta(seconds=30)
    assert save("").draining_until is None

    for until, told in (
        ("soon", "Write the end as a date and a time in UTC, such as 2026-01-16 14:00, or nothing."),
        (
            "2020-01-01 00:00",
            "Give a time that is still to come, within a year, or none: then somebody ends it.",
        ),
    ):
        answered = operator.post(change_url(server), {**begun, "draining_until": until})
        assert answered.context["adminform"].form.errors == {"draining_until": [told]}
    stray = operator.post(change_url(server), {**FORM, "draining_until": typed}, follow=True)
    assert "This goes with draining: set that to true, too." in stray.content.decode()
    assert BuildServer.objects.filter(pk=server.pk, draining=True, draining_until=None).exists()


@pytest.mark.parametrize(
    "labels", [{"1x": "a"}, {"a b": "c"}, {"x" * 65: "y"}, {"a": "x\u200b"}, {"a": "\x07"}]
)
def test_labels_that_do_not_fit_are_refused_with_the_words_of_the_api(
    operator: Client, labels: dict[str, str]
) -> None:
    ((key, value),) = labels.items()
    body = {"name": "arm-1", "hostname": "h", "ssh_username": "u", "labels": labels}
    api = ApiClient(Role.OPERATOR).post(f"{INFRASTRUCTURE}/build-servers", body)

    answered = operator.post(ADD, {**FORM, "labels": f"{key}={value}"})

    (told,) = [one["message"] for one in api.json()["errors"]]
    assert api.status_code == 422
    assert answered.context["adminform"].form.errors == {"labels": [told]}


def test_a_probe_is_asked_for(operator: Client) -> None:
    server = ssh_server()

    operator.post(LIST, {"action": "probe_now", "_selected_action": [str(server.pk)]})

    assert ServerCheck.objects.get().requested_by == "olga"


def test_a_host_key_is_accepted_on_the_page_that_shows_it(operator: Client) -> None:
    server, other = ssh_server(seen_host_key=NEW), make_server("other")

    def answer(*chosen: BuildServer) -> str:
        ids = [str(one.pk) for one in chosen]
        return str(operator.post(LIST, {"action": "accept_host_key", "_selected_action": ids})["Location"])

    assert answer(server, other) == f"/servers/{server.pk}/host-key/"
    assert answer(other) == LIST
    server.refresh_from_db()
    assert (server.host_key, server.seen_host_key) == ("", NEW)


def test_servers_are_found_by_tool_and_filtered(operator: Client) -> None:
    ssh_server(group="south", labels={"site": "a:b"}).toolchains.create(
        name="zig", path="/usr/bin/zig", target_architecture="riscv64"
    )
    make_server("other", labels={"site": "c"})
    listed = operator.get(LIST).content.decode()

    offered = ["?group=south", "?label=site%3Aa%3Ab", "?label=site%3Ac"]
    assert [query for query in offered if query in listed] == offered
    for query in (
        *("q=zig", "toolchains__target_architecture=riscv64", "transport__exact=ssh"),
        *("group=south", "label=site:a:b"),
    ):
        shown = operator.get(f"{LIST}?{query}").content.decode()
        assert (query, "arm-1" in shown, ">other<" in shown) == (query, True, False)


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
    assert Event.objects.get(kind="server_deleted").data == {
        "name": "arm-1",
        "hostname": "arm.example",
    }


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


def test_maintenance_that_is_on_already_keeps_its_reason(operator: Client) -> None:
    server = ssh_server()
    set_maintenance(server.pk, enabled=True, actor=Actor("ada"), reason="Kernel.")

    chosen = {"action": "start_maintenance", "_selected_action": [str(server.pk)]}
    operator.post("/admin/servers/buildserver/", chosen)

    server.refresh_from_db()
    assert (server.status_reason, server.status_changed_by) == ("Kernel.", "ada")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER])
def test_others_cannot_touch_the_fleet(role: str) -> None:
    server = ssh_server()
    client = Client()
    client.force_login(make_user(role))

    assert client.post(ADD, FORM).status_code == 403
    assert client.post(change_url(server), FORM).status_code == 403
    assert BuildServer.objects.values_list("hostname", flat=True).get() == "arm.example"
