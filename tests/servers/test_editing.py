"""Adding, changing and removing servers: trust does not follow a new address, and no key leaves the database."""

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from buildboard.core.audit import Actor
from buildboard.core.crypto import decrypt, generate_ssh_key_pair, load_ssh_private_key
from buildboard.core.models import Event
from servers.errors import InvalidServer, ServerConflict
from servers.health import note_host_key, note_pinned_key, note_reached
from servers.host_keys import parse_host_key
from servers.models import BuildServer, ProbeSample, ServerCheck, Slot, Toolchain
from servers.registry import accept_host_key, add_server, change_server, delete_server
from servers.slots import take_slot
from servers.states import ServerStatus
from tests.factories import make_server
from tests.requirements import require

pytestmark = pytest.mark.django_db
OLGA = Actor(name="olga", door="api")
FIELDS = {"name": "arm-1", "hostname": "arm.example", "ssh_username": "build"}


def key_line() -> str:
    """A public key that nobody has."""
    return " ".join(generate_ssh_key_pair("x")[1].split()[:2])


def add(**fields: Any) -> BuildServer:
    return add_server(FIELDS | fields, actor=OLGA)


def events(server: BuildServer) -> list[str]:
    rows = Event.objects.filter(subject_type="server", subject_id=str(server.pk)).exclude(
        kind="check_requested"
    )
    return list(rows.order_by("sequence").values_list("kind", flat=True))


def refused(server: BuildServer | None = None, **fields: Any) -> list[str]:
    """The names of the fields that are refused, of a new server or a change."""
    with pytest.raises(InvalidServer) as error:
        change_server(server, fields, actor=OLGA) if server else add(**fields)
    return sorted(problem["field"] for problem in error.value.problems)


# ---- adding -----------------------------------------------------------------------------------------------


def test_a_new_server_has_a_key_pair_slots_and_a_check_on_its_way() -> None:
    server = add()

    assert (server.transport, server.ssh_port, server.status) == ("ssh", 22, ServerStatus.UNKNOWN)
    assert server.public_key.startswith("ssh-ed25519 ")
    assert server.public_key.endswith(" buildboard-arm-1")
    private = decrypt(server.private_key, record="it")
    assert load_ssh_private_key(private)[1].split()[1] == server.public_key.split()[1]
    assert server.key_generated is True
    assert [slot.number for slot in server.slots.all()] == [1, 2, 3, 4]
    assert ServerCheck.objects.get().server == server
    assert events(server) == ["server_added"]
    assert Event.objects.get(kind="server_added").actor == "olga"


def test_a_given_key_is_kept_encrypted_and_without_its_passphrase() -> None:
    private, public = generate_ssh_key_pair("mine")

    server = add(private_key=private, private_key_passphrase=None, host_key=f"arm.example {key_line()} note")

    assert server.public_key.split()[:2] == public.split()[:2]
    kept = decrypt(server.private_key, record="it")
    assert load_ssh_private_key(kept)[1].split()[1] == public.split()[1]
    assert (server.key_generated, len(server.host_key.split())) == (False, 2)


def test_no_private_key_is_in_an_event_an_error_or_a_repr() -> None:
    private, _ = generate_ssh_key_pair("mine")
    body = private.splitlines()[1]
    server = add(private_key=private)
    change_server(server, {"private_key": private, "hostname": "b.example"}, actor=OLGA)
    with pytest.raises(InvalidServer) as error:
        change_server(server, {"private_key": private[:100], "name": ""}, actor=OLGA)

    told = (
        json.dumps(list(Event.objects.values("kind", "reason", "data")))
        + str(error.value)
        + repr(error.value)
    )
    stored = json.dumps(list(BuildServer.objects.values_list("private_key", flat=True)))
    assert body not in told + stored
    assert private[:40] not in told


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"name": ""}, ["name"]),
        ({"hostname": ""}, ["hostname"]),
        ({"ssh_username": "-l root", "hostname": "-x"}, ["hostname", "ssh_username"]),
        ({"transport": "local"}, ["transport"]),
        ({"private_key": "nonsense"}, ["private_key"]),
        ({"private_key_passphrase": "x"}, ["private_key_passphrase"]),
        ({"host_key": "nonsense"}, ["host_key"]),
        ({"jump_host": "nobody"}, ["jump_host"]),
        (
            {"utilization_limits": {"cpu_percent": 0, "disk_percent": 5}},
            ["utilization_limits.cpu_percent", "utilization_limits.disk_percent"],
        ),
        ({"ssh_prot": 22}, ["ssh_prot"]),
        ({"status": "online"}, ["status"]),
    ],
)
def test_fields_that_do_not_fit_are_all_named_and_nothing_is_made(
    fields: dict[str, Any], names: list[str]
) -> None:
    assert refused(**fields) == names
    assert (BuildServer.objects.count(), Slot.objects.count(), Event.objects.count()) == (0, 0, 0)


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    require("ssh-keygen")
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", str(path)], check=True)

    assert refused(private_key=path.read_text()) == ["private_key_passphrase"]
    assert refused(private_key=path.read_text(), private_key_passphrase="no") == ["private_key_passphrase"]
    server = add(private_key=path.read_text(), private_key_passphrase="open sesame")
    assert "open sesame" not in decrypt(server.private_key, record="it")


def test_a_name_is_taken_once() -> None:
    server, other = add(), add(name="arm-2")

    assert refused() == ["name"]
    assert refused(other, name="arm-1") == ["name"]
    assert BuildServer.objects.count() == 2
    assert change_server(server, {"name": "arm-1"}, actor=OLGA).name == "arm-1"


# ---- changing ---------------------------------------------------------------------------------------------


def test_what_is_not_named_stays_and_the_same_again_is_no_event() -> None:
    server = add(labels={"a": "b"}, group="g", host_key=key_line())
    before = (server.host_key, server.private_key)

    changed = change_server(
        server, {"max_concurrent_builds": 2, "utilization_limits": {"cpu_percent": 50}}, actor=OLGA
    )
    change_server(server, {"max_concurrent_builds": 2}, actor=OLGA)

    assert (changed.labels, changed.group, changed.cpu_limit_percent, changed.memory_limit_percent) == (
        {"a": "b"}, "g", 50, 85,
    )  # fmt: skip
    assert (changed.host_key, changed.private_key) == before
    assert [slot.number for slot in changed.slots.all()] == [1, 2]
    assert events(server) == ["server_added", "server_changed"]
    assert Event.objects.get(kind="server_changed").data["what"] == [
        "cpu_limit_percent",
        "max_concurrent_builds",
    ]


@pytest.mark.parametrize(
    "address", [{"hostname": "evil.example"}, {"ssh_port": 2222}, {"ssh_username": "root"}]
)
def test_another_address_is_another_machine(address: dict[str, Any]) -> None:
    server = add(host_key=key_line())
    BuildServer.objects.update(
        status=ServerStatus.ONLINE, boot_id="b", facts={"os": "Linux"}, cpu_percent=1.0
    )
    Toolchain.objects.create(server=server, name="gcc", path="/usr/bin/gcc")
    ProbeSample.objects.create(server=server)
    old_key, old_pin = server.public_key, server.host_key_fingerprint

    changed = change_server(server, address, actor=OLGA)

    assert (changed.host_key, changed.seen_host_key, changed.boot_id, changed.facts) == ("", "", "", {})
    assert changed.public_key not in {"", old_key}
    assert (changed.status, changed.cpu_percent) == ("unknown", None)
    assert (Toolchain.objects.count(), ProbeSample.objects.count()) == (0, 0)
    assert events(server) == [
        "server_added", "server_changed", "host_key_replaced", "login_key_replaced", "status",
    ]  # fmt: skip
    dropped = Event.objects.get(kind="host_key_replaced")
    assert dropped.data == {"previous": old_pin, "fingerprint": None, "address_changed": True}


def test_another_address_may_bring_its_own_trust() -> None:
    line, (private, public) = key_line(), generate_ssh_key_pair("mine")
    server = add(host_key=key_line())

    changed = change_server(
        server, {"hostname": "new.example", "host_key": line, "private_key": private}, actor=OLGA
    )

    assert changed.host_key == line
    assert changed.public_key.split()[1] == public.split()[1]


def test_a_given_key_is_not_sent_to_another_machine_unasked() -> None:
    private, _ = generate_ssh_key_pair("mine")
    server = add(private_key=private)

    assert refused(server, hostname="new.example") == ["private_key"]
    assert change_server(server, {"hostname": "arm.example"}, actor=OLGA).key_generated is False
    fresh = change_server(server, {"hostname": "new.example", "private_key": None}, actor=OLGA)

    assert fresh.key_generated is True
    assert fresh.public_key != server.public_key


def test_a_fresh_pair_can_be_asked_for() -> None:
    server = add(host_key=key_line())

    changed = change_server(server, {"private_key": None}, actor=OLGA)

    assert changed.public_key != server.public_key
    assert changed.host_key == server.host_key
    assert events(server)[-1] == "login_key_replaced"


@pytest.mark.parametrize(
    "fields", [{"hostname": "b.example"}, {"ssh_port": 1}, {"ssh_username": "b"}, {"work_dir": "/srv/b"}]
)
def test_a_server_with_builds_does_not_move(fields: dict[str, Any]) -> None:
    server = add(host_key=key_line())
    take_slot(server, holder=uuid.uuid4())

    with pytest.raises(ServerConflict, match="A build runs on arm-1"):
        change_server(server, fields, actor=OLGA)

    assert change_server(server, {"labels": {"a": "b"}}, actor=OLGA).hostname == "arm.example"


def test_jump_hosts_are_servers_and_never_lead_back() -> None:
    outer, middle = add(name="outer"), add(name="middle")
    inner = add(name="inner", jump_host="middle")
    local = make_server("local")

    assert change_server(middle, {"jump_host": str(outer.pk)}, actor=OLGA).jump_host == outer
    for row, jump in ((outer, "inner"), (outer, "outer"), (inner, local.name)):
        assert refused(row, jump_host=jump) == ["jump_host"]
    assert change_server(inner, {"jump_host": None}, actor=OLGA).jump_host is None


def test_this_machine_takes_nothing_of_ssh_and_stays_what_it_is() -> None:
    server = make_server("local")

    assert refused(server, transport="ssh") == ["transport"]
    assert refused(server, hostname="h", private_key="k", host_key="x", jump_host="local") == [
        "host_key", "hostname", "jump_host", "private_key",
    ]  # fmt: skip
    changed = change_server(server, {"transport": "local", "labels": {"a": "b"}}, actor=OLGA)
    assert (changed.transport, changed.labels, changed.public_key) == ("local", {"a": "b"}, "")
    assert ServerCheck.objects.count() == 0


# ---- host keys --------------------------------------------------------------------------------------------


def test_only_the_key_that_was_seen_can_be_accepted() -> None:
    server, seen = add(), parse_host_key(key_line())
    with pytest.raises(ServerConflict, match="has seen no new host key"):
        accept_host_key(server, fingerprint=seen.fingerprint, actor=OLGA)
    note_host_key(server.pk, seen=seen, changed=False)
    with pytest.raises(ServerConflict, match=f"last showed {seen.fingerprint}".replace("+", r"\+")):
        accept_host_key(server, fingerprint="SHA256:other", actor=OLGA)

    accepted = accept_host_key(server, fingerprint=seen.fingerprint, actor=OLGA)
    again = accept_host_key(server, fingerprint=seen.fingerprint, actor=OLGA)

    assert (accepted.host_key, accepted.seen_host_key) == (seen.line, "")
    assert again.host_key == seen.line
    assert events(server) == ["server_added", "host_key_accepted"]
    assert Event.objects.get(kind="host_key_accepted").data == {
        "fingerprint": seen.fingerprint,
        "previous": None,
    }


def test_an_unpinned_server_is_never_online_and_says_what_it_waits_for() -> None:
    server, seen = add(), parse_host_key(key_line())

    note_host_key(server.pk, seen=seen, changed=False)
    note_reached(server.pk)
    server.refresh_from_db()

    assert server.status == "unknown"
    assert seen.fingerprint in server.status_reason


def test_a_changed_key_keeps_the_server_out_though_it_answers() -> None:
    server, other = add(host_key=key_line()), parse_host_key(key_line())
    note_reached(server.pk)

    note_host_key(server.pk, seen=other, changed=True)
    note_host_key(server.pk, seen=other, changed=True)
    note_reached(server.pk)
    server.refresh_from_db()

    assert (server.status, server.is_trusted) == ("offline", False)
    assert all(text in server.status_reason for text in (other.fingerprint, str(server.host_key_fingerprint)))
    assert server.quarantine_kind == "host_key"
    assert events(server) == ["server_added", "status", "status", "host_key_changed", "quarantined"]
    note_pinned_key(server.pk)
    note_pinned_key(server.pk)
    note_reached(server.pk)
    server.refresh_from_db()
    assert (server.status, server.seen_host_key) == ("online", "")
    assert server.quarantine_kind == ""
    assert events(server)[5:] == ["host_key_back", "quarantine_ended", "status"]


def test_the_quarantine_of_a_changed_key_ends_with_the_key_that_a_person_accepts_or_gives() -> None:
    accepted, given, moved = (add(name=name, host_key=key_line()) for name in ("accepted", "given", "moved"))
    for server in (accepted, given, moved):
        note_host_key(server.pk, seen=parse_host_key(key_line()), changed=True)
    accepted.refresh_from_db()

    accept_host_key(accepted, fingerprint=str(accepted.seen_host_key_fingerprint), actor=OLGA)
    change_server(given, {"host_key": key_line()}, actor=OLGA)
    change_server(moved, {"hostname": "elsewhere.example"}, actor=OLGA)

    assert set(BuildServer.objects.values_list("quarantine_kind", flat=True)) == {""}
    told = Event.objects.filter(kind="quarantine_ended").order_by("sequence")
    assert list(told.values_list("actor", "reason")) == [
        ("olga", "Its host key was accepted."),
        ("olga", "Another host key was pinned."),
        ("olga", "Another machine is at its address now."),
    ]


def test_late_news_of_a_key_change_nothing_that_an_operator_did_meanwhile() -> None:
    server, seen = add(), parse_host_key(key_line())
    change_server(server, {"host_key": seen.line}, actor=OLGA)

    note_host_key(server.pk, seen=parse_host_key(key_line()), changed=False)
    note_host_key(server.pk, seen=seen, changed=True)
    note_host_key(make_server("local").pk, seen=seen, changed=False)

    assert list(BuildServer.objects.values_list("seen_host_key", flat=True)) == ["", ""]


def test_in_maintenance_a_changed_key_is_remembered_for_its_end() -> None:
    server = add(host_key=key_line())
    BuildServer.objects.update(status=ServerStatus.MAINTENANCE)

    note_host_key(server.pk, seen=parse_host_key(key_line()), changed=True)
    server.refresh_from_db()

    assert (server.status, server.is_trusted) == ("maintenance", False)
    assert "host_key_changed" in events(server)


# ---- removing ---------------------------------------------------------------------------------------------


def test_a_server_is_removed_with_all_that_is_its_own() -> None:
    server = add()

    delete_server(server, actor=OLGA)

    assert (BuildServer.objects.count(), Slot.objects.count(), ServerCheck.objects.count()) == (0, 0, 0)
    assert Event.objects.get(kind="server_deleted").data == {"name": "arm-1", "hostname": "arm.example"}
    with pytest.raises(ServerConflict, match="deleted"):
        change_server(server, {"group": "g"}, actor=OLGA)


def test_a_server_with_builds_or_others_behind_it_stays() -> None:
    server = add()
    for _ in range(2):
        take_slot(server, holder=uuid.uuid4())
    with pytest.raises(ServerConflict, match="2 builds run on arm-1"):
        delete_server(server, actor=OLGA)
    Slot.objects.update(holder=None)
    inner = add(name="inner", jump_host="arm-1")
    with pytest.raises(ServerConflict, match="jump host of inner"):
        delete_server(server, actor=OLGA)

    delete_server(inner, actor=OLGA)
    delete_server(server, actor=OLGA)

    assert BuildServer.objects.count() == 0


def test_a_server_is_deleted_once() -> None:
    server = make_server()
    again = BuildServer.objects.get(pk=server.pk)
    delete_server(server, actor=OLGA)

    with pytest.raises(ServerConflict, match="deleted meanwhile"):
        delete_server(again, actor=OLGA)

    assert Event.objects.filter(kind="server_deleted").count() == 1
