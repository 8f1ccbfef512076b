"""From rows to connections: one a process and server, a new one when the row changes, none for what cannot be."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from pytest_django import DjangoAssertNumQueries

from buildboard.core.crypto import encrypt, generate_ssh_key_pair, make_key
from servers.connections import (
    forget_connections,
    hops_of,
    open_client,
    open_fresh_transport,
    read_shown_host_key,
    target_of,
    way_to,
)
from servers.local import LocalTransport
from servers.models import BuildServer
from servers.transport import HostKeyMismatch, HostKeyUnknown, LoginRefused, Unreachable
from tests.factories import make_server
from tests.servers.ssh_targets import logins
from tests.ssh_servers import SshServer
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    forget_connections()


def row_for(server: SshServer, **fields: Any) -> BuildServer:
    return make_server(**{**server.row_fields, "private_key": encrypt(server.private_key), **fields})


def absent_row(**fields: Any) -> BuildServer:
    """A row over SSH that nobody is behind."""
    own = {"transport": "ssh", "hostname": "127.0.0.1", "ssh_port": 1, "ssh_username": "x"}
    return make_server(**{**own, "private_key": encrypt(generate_ssh_key_pair("")[0]), **fields})


def test_a_local_row_needs_no_connection() -> None:
    server = make_server()

    assert isinstance(open_fresh_transport(server), LocalTransport)


@pytest.mark.ssh
def test_one_connection_serves_all_clients_of_a_process(ssh_server: SshServer) -> None:
    row = row_for(ssh_server)

    for _ in range(3):
        open_client(BuildServer.objects.get(pk=row.pk)).poll([])

    assert open_client(row) is open_client(BuildServer.objects.get(pk=row.pk))
    assert logins(ssh_server) == 1


@pytest.mark.ssh
def test_a_changed_row_gets_a_new_connection_and_the_old_one_ends(ssh_server: SshServer) -> None:
    row = row_for(ssh_server)
    old = open_client(row)
    old.poll([])
    sessions = set(ssh_server.sessions())

    row.max_concurrent_builds = 9
    assert open_client(row) is old
    row.private_key = encrypt(ssh_server.private_key)
    open_client(row).poll([])

    assert logins(ssh_server) == 2
    wait_for(lambda: not sessions & set(ssh_server.sessions()))
    assert ssh_server.sessions()
    with pytest.raises(Unreachable):
        old.poll([])


@pytest.mark.ssh
def test_connections_are_forgotten_one_or_all(ssh_server: SshServer) -> None:
    rows = [row_for(ssh_server), row_for(ssh_server)]
    for row in rows:
        open_client(row).poll([])

    forget_connections(rows[0].pk)
    kept = open_client(rows[1])
    kept.poll([])
    forget_connections()

    wait_for(lambda: not ssh_server.sessions())
    assert open_client(rows[1]) is not kept


@pytest.mark.ssh
def test_a_fork_begins_without_connections(ssh_server: SshServer) -> None:
    row = row_for(ssh_server)
    here = open_client(row)
    here.poll([])
    pid = os.fork()
    if not pid:
        result = 9
        try:
            other = open_client(row)
            other.poll([])
            forget_connections()
            result = 0 if other is not here else 1
        finally:
            os._exit(result)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert open_client(row) is here
    here.poll([])
    assert logins(ssh_server) == 2


@pytest.mark.ssh
def test_an_unpinned_row_is_asked_for_its_key_and_no_more(ssh_server: SshServer) -> None:
    row = row_for(ssh_server, host_key="", private_key="")

    assert read_shown_host_key(row, timeout_seconds=10).line == ssh_server.host_key_line
    with pytest.raises(HostKeyUnknown) as failed:
        open_client(row).poll([])

    assert failed.value.seen.line == ssh_server.host_key_line
    assert failed.value.server_id == str(row.pk)
    assert logins(ssh_server) == 0


@pytest.mark.ssh
def test_accepting_the_key_is_all_that_is_needed(ssh_server: SshServer) -> None:
    row = row_for(ssh_server, host_key="")
    with pytest.raises(HostKeyUnknown):
        open_client(row).poll([])

    row.host_key = f"some.host {ssh_server.host_key_line} a comment"
    open_client(row).poll([])

    assert logins(ssh_server) == 1


@pytest.mark.ssh
def test_jump_hosts_are_rows_with_pins_of_their_own(ssh_server: SshServer) -> None:
    with SshServer() as gate:
        jump = row_for(gate)
        row = row_for(ssh_server, jump_host=jump)

        open_client(row).poll([])
        assert [logins(gate), logins(ssh_server)] == [1, 1]

        jump.host_key = ssh_server.host_key_line
        with pytest.raises(HostKeyMismatch) as failed:
            open_client(row).poll([])

        assert failed.value.server_id == str(jump.pk)
        assert [logins(gate), logins(ssh_server)] == [1, 1]


@pytest.mark.ssh
@pytest.mark.parametrize("depth", [2, 3, 7])
def test_a_deep_chain_of_jump_hosts_costs_one_query(
    depth: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    row = None
    for number in range(depth + 1):
        row = absent_row(name=f"hop-{number}", jump_host=row)
    assert row is not None
    chain = [f"hop-{number}" for number in range(depth + 1)]

    found = BuildServer.objects.select_related("jump_host").get(pk=row.pk)
    with django_assert_num_queries(1):
        assert [hop.name for hop in hops_of(found)] == chain
    with django_assert_num_queries(0):
        way_to(found)


def test_another_work_dir_of_the_row_is_used(ssh_server: SshServer) -> None:
    root = ssh_server.folder / "elsewhere"

    open_client(row_for(ssh_server, work_dir=str(root))).poll([])

    assert sorted(path.name for path in root.iterdir()) == ["jobs", "lib"]
    assert list(ssh_server.home.iterdir()) == []


@pytest.mark.ssh
def test_a_fresh_transport_shares_nothing(ssh_server: SshServer) -> None:
    row = row_for(ssh_server)
    open_client(row).poll([])

    fresh = open_fresh_transport(row)
    assert fresh.run(["list", "n"], timeout_seconds=10).exit_code == 0
    fresh.close()

    open_client(row).poll([])
    assert logins(ssh_server) == 2


def test_jump_hosts_in_a_circle_are_refused() -> None:
    first = absent_row(name="first")
    second = absent_row(name="second", jump_host=first)
    third = absent_row(name="third", jump_host=second)
    first.jump_host = third

    assert [hop.name for hop in hops_of(BuildServer.objects.get(pk=third.pk))] == ["first", "second", "third"]
    for row in (first, second, third):
        with pytest.raises(Unreachable, match="circle") as failed:
            open_client(row)
        assert failed.value.nothing_sent


def test_a_row_that_jumps_through_itself_is_refused() -> None:
    row = absent_row()
    row.jump_host = row

    with pytest.raises(Unreachable, match="circle"):
        open_client(row)


def test_the_boards_own_machine_is_no_jump_host() -> None:
    with pytest.raises(Unreachable, match="no jump host"):
        open_client(absent_row(jump_host=make_server(name="local-one")))


def test_a_key_of_a_lost_encryption_key_is_said_to_be_one(settings: LazySettings) -> None:
    row = absent_row(name="forge")
    settings.ENCRYPTION_KEYS = [make_key()]

    with pytest.raises(LoginRefused, match="private key of forge cannot be decrypted") as failed:
        open_client(row)
    assert row.private_key not in str(failed.value)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"host_key": "nonsense"}, "accepted host key"), ({"work_dir": "/a b"}, "work folder")],
)
def test_rows_that_cannot_be_used_say_why(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(Unreachable, match=reason) as failed:
        open_client(absent_row(**fields))
    assert failed.value.nothing_sent


def test_no_key_text_is_in_what_is_shown_of_a_target() -> None:
    private = generate_ssh_key_pair("")[0]
    row = absent_row(private_key=encrypt(private))

    shown = (
        repr(target_of(row))
        + repr(open_client(row))
        + repr(vars(vars(open_client(row))["_transport"]))
        + str(row)
    )

    assert target_of(row).private_key == private
    assert not [line for line in private.splitlines()[1:-1] if line in shown]
