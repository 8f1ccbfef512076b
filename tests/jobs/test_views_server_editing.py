"""Adding, changing and acting on servers through pages: who may, what is refused, and what is never shown."""

import uuid
from typing import Any

import pytest

from buildboard.core.crypto import generate_ssh_key_pair
from buildboard.core.models import Event
from buildboard.core.permissions import Role
from servers.models import BuildServer, ServerCheck
from servers.slots import take_slot
from servers.states import ServerStatus, TransportKind
from tests.factories import make_server
from tests.jobs.pages import Page, client_of

pytestmark = pytest.mark.django_db
OLD, NEW = (" ".join(generate_ssh_key_pair("host")[1].split()[:2]) for _ in range(2))
FORM = {
    "name": "arm-1",
    "hostname": "arm.example",
    "ssh_port": "22",
    "ssh_username": "build",
    "architectures": "",
    "max_concurrent_builds": "4",
    "enabled": "on",
    "cpu_limit_percent": "85",
    "memory_limit_percent": "85",
    "storage_limit_percent": "85",
}
ACTIONS = (
    *("drain", "undrain", "maintenance", "end-maintenance", "disable", "enable", "delete"),
    *("remove", "keep"),
)


def add(**changes: str) -> Any:
    return client_of(Role.OPERATOR).post("/servers/new/", {**FORM, **changes})


def change(server: BuildServer, **changes: str) -> Any:
    return client_of(Role.OPERATOR).post(f"/servers/{server.pk}/edit/", {**FORM, **changes})


def opened(server: BuildServer) -> str:
    """What the form holds as what it showed."""
    page = Page(client_of(Role.OPERATOR).get(f"/servers/{server.pk}/edit/").content.decode())
    (field,) = page.find("input", name="shown")
    return str(field["value"])


def act(server: BuildServer, action: str, **values: str) -> Any:
    return client_of(Role.OPERATOR).post(f"/servers/{server.pk}/{action}/", values, follow=True)


def ssh_server(**fields: Any) -> BuildServer:
    address = {"transport": TransportKind.SSH, "hostname": "arm.example", "ssh_username": "build"}
    return make_server("arm-1", **address | {"architectures": []} | fields)


# ---- adding ---------------------------------------------------------------------------------------------


def test_a_server_is_added_with_a_key_of_the_board_and_tested() -> None:
    answered = add(architectures="arm64, i686", labels="disk=nvme", jump_host="", group="south")

    server = BuildServer.objects.get()
    assert (answered.status_code, answered["Location"]) == (302, f"/servers/{server.pk}/")
    assert (server.architectures, server.labels, server.group) == (
        ["aarch64", "i686"],
        {"disk": "nvme"},
        "south",
    )
    assert server.key_generated
    assert server.slots.count() == 4
    assert ServerCheck.objects.get().server == server
    assert Event.objects.get(kind="server_added").door == "page"


def test_a_key_of_ones_own_is_taken_and_never_shown() -> None:
    private, public = generate_ssh_key_pair("own")

    refused = add(private_key=private, hostname="a b").content.decode()
    add(private_key=private.replace("\n", "\r\n"))

    server = BuildServer.objects.get()
    shown = client_of(Role.OPERATOR).get(f"/servers/{server.pk}/edit/").content.decode()
    assert (server.key_generated, server.public_key.split()[:2]) == (False, public.split()[:2])
    assert "A private key is not shown again: paste it once more." in refused
    for html in (refused, shown):
        assert "BEGIN OPENSSH" not in html
        assert private.splitlines()[1] not in html
        assert server.private_key not in html


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "", "This field is required."),
        ("name", "taken", "Another server has this name; choose one that is free."),
        ("hostname", "-oProxyCommand=x", "may not begin with a dash"),
        ("hostname", "\0", "Null characters"),
        ("ssh_port", "70000", "65535"),
        ("ssh_username", "a b", "without spaces"),
        ("architectures", "../x", "an architecture"),
        ("labels", "x", "no name or no ="),
        ("labels", "1=x", "begins with a letter"),
        ("max_concurrent_builds", "", "required"),
        ("work_dir", "x", "absolute path"),
        ("environment", "LD_PRELOAD=x", "cannot be set"),
        ("host_key", "ssh-dss AAAA", "ssh-dss"),
        ("private_key", "x", "private key"),
        ("private_key_passphrase", "x", "give both or none"),
        ("memory_limit_percent", "101", "percent from 1 to 100"),
        ("jump_host", str(uuid.UUID(int=44)), "Select a valid choice"),
    ],
)
def test_a_field_that_does_not_fit_says_so_and_nothing_is_added(field: str, value: str, says: str) -> None:
    make_server("taken")

    answered = add(**{field: value})

    assert answered.status_code == 422
    assert list(answered.context["form"].errors) == [field]
    assert says in Page(answered.content.decode()).text
    assert BuildServer.objects.count() == 1


def test_what_was_typed_into_a_folded_part_is_shown_when_it_does_not_fit() -> None:
    page = Page(add(work_dir="relative").content.decode())

    assert "open" in page.find("details", id="more")[0]
    assert "open" not in page.find("details", id="own-key")[0]


# ---- changing -------------------------------------------------------------------------------------------


def test_only_what_was_changed_is_written() -> None:
    server = ssh_server(host_key=OLD, public_key="pub", private_key="sealed")
    BuildServer.objects.filter(pk=server.pk).update(group="meanwhile")

    answered = change(server, host_key=OLD, group="meanwhile", cpu_limit_percent="70")

    assert answered.status_code == 302
    now = BuildServer.objects.get()
    assert (now.cpu_limit_percent, now.memory_limit_percent, now.group) == (70, 85, "meanwhile")
    assert (now.host_key, now.private_key) == (OLD, "sealed")
    assert Event.objects.get(kind="server_changed").data["what"] == ["cpu_limit_percent"]


def test_a_key_that_was_accepted_meanwhile_is_not_undone_by_an_old_form() -> None:
    server = make_server(transport="ssh", hostname="arm.example", ssh_username="build", host_key=OLD)
    shown = opened(server)
    BuildServer.objects.update(host_key=NEW)

    saved = change(server, host_key=OLD, shown=shown, group="fast")
    server.refresh_from_db()

    assert saved.status_code == 302
    assert (server.host_key, server.group) == (NEW, "fast")


def test_a_form_that_lay_open_undoes_no_other_change() -> None:
    server = ssh_server(labels={"disk": "hdd"})
    shown = opened(server)
    meanwhile = {
        "max_concurrent_builds": 9,
        "labels": {"disk": "nvme"},
        "enabled": False,
        "cpu_limit_percent": 50,
        "architectures": ["aarch64"],
    }
    BuildServer.objects.update(**meanwhile)

    saved = change(server, shown=shown, labels="disk=hdd", group="fast")

    assert saved.status_code == 302
    assert Event.objects.get(kind="server_changed").data["what"] == ["group"]
    assert BuildServer.objects.values(*meanwhile).get() == meanwhile


def test_what_two_people_changed_is_told_and_nothing_is_written() -> None:
    server = ssh_server()
    shown = opened(server)
    BuildServer.objects.update(group="slow", max_concurrent_builds=9, work_dir="/srv/b")

    refused = change(server, shown=shown, group="fast", max_concurrent_builds="9", cpu_limit_percent="70")

    assert refused.status_code == 422
    assert dict(refused.context["form"].errors) == {
        "group": ["Somebody changed this to “slow” since the form was opened: open it anew and look."]
    }
    now = BuildServer.objects.get()
    assert (now.group, now.max_concurrent_builds, now.cpu_limit_percent, now.work_dir) == (
        "slow",
        9,
        85,
        "/srv/b",
    )


@pytest.mark.parametrize("shown", ["", "[]", "{", "[" * 100_000, '{"name": {}, "x": 1, "group": ["a"]}'])
def test_nonsense_for_what_was_shown_is_answered(shown: str) -> None:
    server = ssh_server()

    assert change(server, shown=shown, group="fast").status_code in {302, 422}


def test_another_address_drops_pin_and_key() -> None:
    server = ssh_server(host_key=OLD, public_key="pub", private_key="sealed")

    change(server, host_key=OLD, hostname="other.example")

    now = BuildServer.objects.get()
    assert (now.hostname, now.host_key) == ("other.example", "")
    assert now.public_key.startswith("ssh-ed25519 ")


def test_a_given_key_goes_nowhere_else_unasked() -> None:
    server = ssh_server(public_key="pub", private_key="sealed", key_generated=False)

    refused = change(server, hostname="other.example")
    made = change(server, hostname="other.example", renew_key="on")

    assert list(refused.context["form"].errors) == ["private_key"]
    assert "let the board make a new pair" in Page(refused.content.decode()).text
    assert made.status_code == 302
    assert BuildServer.objects.get().key_generated


def test_a_new_pair_and_a_given_key_exclude_each_other() -> None:
    private, _ = generate_ssh_key_pair("own")

    refused = change(ssh_server(), renew_key="on", private_key=private)

    assert list(refused.context["form"].errors) == ["renew_key"]


def test_a_server_with_builds_is_not_moved() -> None:
    server = ssh_server()
    take_slot(server, holder=uuid.uuid4())

    refused = change(server, hostname="other.example")

    assert refused.status_code == 409
    assert "A build runs on arm-1: drain it and wait" in Page(refused.content.decode()).text
    assert BuildServer.objects.get().hostname == "arm.example"


def test_a_jump_host_may_not_be_reached_through_the_server_itself() -> None:
    server = ssh_server()
    behind = make_server(
        "behind", transport=TransportKind.SSH, hostname="b", ssh_username="b", jump_host=server
    )

    refused = change(server, jump_host=str(behind.pk))

    assert list(refused.context["form"].errors) == ["jump_host"]


def test_this_machine_has_no_way_in_to_change() -> None:
    server = make_server("local")

    form = Page(client_of(Role.OPERATOR).get(f"/servers/{server.pk}/edit/").content.decode())
    change(server, name="here", max_concurrent_builds="7", hostname="x")

    now = BuildServer.objects.get()
    assert form.find("input", name="hostname") == form.find("textarea", name="private_key") == []
    assert (now.name, now.max_concurrent_builds, now.hostname) == ("here", 7, "")
    assert now.slots.count() == 7


# ---- acting ---------------------------------------------------------------------------------------------


def test_draining_maintenance_and_disabling_begin_and_end() -> None:
    server = ssh_server(host_key=OLD)

    def state_after(action: str, **values: str) -> tuple[object, ...]:
        act(server, action, **values)
        server.refresh_from_db()
        return server.draining, server.draining_reason, server.status, server.enabled

    assert state_after("drain", reason="disks") == (True, "disks", ServerStatus.ONLINE, True)
    assert state_after("undrain") == (False, "", ServerStatus.ONLINE, True)
    assert state_after("maintenance", reason="kernel") == (False, "", ServerStatus.MAINTENANCE, True)
    assert server.status_reason == "kernel"
    assert state_after("end-maintenance") == (False, "", ServerStatus.UNKNOWN, True)
    assert state_after("disable") == (False, "", ServerStatus.UNKNOWN, False)
    assert state_after("enable") == (False, "", ServerStatus.UNKNOWN, True)
    assert {event.door for event in Event.objects.exclude(actor="")} == {"page"}


@pytest.mark.parametrize("action", ["drain", "maintenance"])
@pytest.mark.parametrize("reason", ["\0", "x" * 1001])
def test_a_reason_that_no_column_holds_is_refused(action: str, reason: str) -> None:
    server = ssh_server()

    answered = act(server, action, reason=reason)

    assert "Write at most 1,000 characters of printable text." in Page(answered.content.decode()).text
    assert Event.objects.count() == 0


def test_a_server_is_deleted_but_not_under_a_build() -> None:
    server = ssh_server()
    take_slot(server, holder=uuid.uuid4())

    busy = act(server, "delete").content.decode()
    server.slots.update(holder=None)
    gone = act(server, "delete").content.decode()

    assert "A build runs on arm-1: drain it and wait" in Page(busy).text
    assert "Deleted." in Page(gone).text
    assert BuildServer.objects.count() == 0


def test_what_may_do_harm_asks_first() -> None:
    server = ssh_server()
    client = client_of(Role.OPERATOR)

    asked = {action: client.get(f"/servers/{server.pk}/{action}/").status_code for action in ACTIONS}

    assert asked == dict.fromkeys(ACTIONS, 302) | dict.fromkeys(
        ("drain", "maintenance", "disable", "delete", "remove"), 200
    )
    assert client.get(f"/servers/{server.pk}/explode/").status_code == 404
    assert Event.objects.count() == 0


def test_a_test_of_the_connection_is_asked_for_once() -> None:
    server = ssh_server()

    for _ in range(2):
        act(server, "test")

    assert ServerCheck.objects.count() == 1
    assert client_of(Role.OPERATOR).get(f"/servers/{server.pk}/test/").status_code == 405


def test_a_host_key_is_accepted_only_when_it_was_compared() -> None:
    server = ssh_server(host_key=OLD, seen_host_key=NEW)
    seen = str(server.seen_host_key_fingerprint)

    unasked = act(server, "host-key", fingerprint=seen)
    wrong = act(server, "host-key", fingerprint="SHA256:other", compared="yes")
    server.refresh_from_db()
    before = server.host_key
    right = act(server, "host-key", fingerprint=seen, compared="yes")
    server.refresh_from_db()

    assert "Compare the fingerprint with the server's own first" in Page(unasked.content.decode()).text
    assert f"The server last showed {seen}, another key." in Page(wrong.content.decode()).text
    assert "The host key is pinned." in Page(right.content.decode()).text
    assert (before, server.host_key, server.seen_host_key) == (OLD, NEW, "")


def test_without_a_key_there_is_nothing_to_accept() -> None:
    page = Page(client_of(Role.OPERATOR).get(f"/servers/{ssh_server().pk}/host-key/").content.decode())

    assert "No host key was seen yet." in page.text


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER])
def test_others_are_refused_everything(role: str) -> None:
    server = ssh_server(seen_host_key=NEW)
    client = client_of(role)
    before = BuildServer.objects.values().get()

    parts = ("edit", "test", "host-key", *ACTIONS)
    answers = {client.post(f"/servers/{server.pk}/{part}/", FORM).status_code for part in parts}

    assert answers | {client.post("/servers/new/", FORM).status_code} == {403}
    assert BuildServer.objects.values().get() == before
    assert Event.objects.count() == ServerCheck.objects.count() == 0


def test_every_page_of_servers_keeps_the_policy() -> None:
    server = ssh_server(host_key=OLD, seen_host_key=NEW, labels={"a": "1"}, max_concurrent_builds=20)
    client = client_of(Role.ADMIN)
    parts = ("", "edit/", "host-key/", "drain/", "maintenance/", "disable/", "delete/", "remove/")

    for address in ("/servers/", "/servers/new/", *(f"/servers/{server.pk}/{part}" for part in parts)):
        answer = client.get(address)
        assert (address, answer.status_code, Page(answer.content.decode()).broken) == (address, 200, [])
