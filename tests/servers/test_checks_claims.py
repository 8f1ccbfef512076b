"""Whose check of a server it is: one claimer at a time, and none when the server or the claim is gone."""

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from buildboard.core.models import Event
from servers import check_steps, checks
from servers.connections import read_shown_host_key
from servers.errors import ServerConflict
from servers.host_keys import HostKey
from servers.models import BuildServer, ServerCheck
from servers.registry import accept_host_key, add_server, change_server
from tests.factories import make_server
from tests.servers.checking import OLGA, address, check
from tests.ssh_servers import SshServer

pytestmark = [pytest.mark.django_db, pytest.mark.ssh]


def test_a_check_has_one_claimer_until_it_is_silent_for_long() -> None:
    row = make_server()
    found = checks.request_check(row, actor=OLGA)

    first = checks.claim_check(found.pk)
    taken = checks.claim_check(found.pk)
    open_now = checks.open_checks(machine=row.machine_id, limit=10)
    ServerCheck.objects.update(beat_at=timezone.now() - timedelta(seconds=checks.DEAD_SECONDS + 1))
    open_later = checks.open_checks(machine=row.machine_id, limit=10)
    second = checks.claim_check(found.pk)

    assert first is not None
    assert (taken, open_now, open_later) == (None, [], [found.pk])
    assert second not in {None, first}


def test_a_check_of_a_server_that_is_deleted_just_then_is_nobodys(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = checks.request_check(make_server(), actor=OLGA)
    claim_check = checks.claim_check

    def claim_and_delete(check_id: uuid.UUID) -> uuid.UUID | None:
        claim = claim_check(check_id)
        BuildServer.objects.all().delete()
        return claim

    monkeypatch.setattr(checks, "claim_check", claim_and_delete)

    assert checks.run_check(found.pk) is False
    assert caplog.records == []


def test_the_key_of_an_old_address_is_not_put_up_for_the_new_one(
    ssh_server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = add_server(address(ssh_server), actor=OLGA)

    def move_meanwhile(server: BuildServer, *, timeout_seconds: float) -> HostKey:
        seen = read_shown_host_key(server, timeout_seconds=timeout_seconds)
        change_server(row, {"hostname": "elsewhere.example"}, actor=OLGA)
        return seen

    monkeypatch.setattr(check_steps, "read_shown_host_key", move_meanwhile)

    steps = check(row)

    assert "SHA256:" in steps["host_key"]["seen"]
    assert (row.hostname, row.seen_host_key) == ("elsewhere.example", "")
    with pytest.raises(ServerConflict, match="no new host key"):
        accept_host_key(row, fingerprint=steps["host_key"]["seen"].split()[1].rstrip(","), actor=OLGA)


def test_who_lost_a_check_writes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = make_server(work_dir=str(tmp_path))
    found = checks.request_check(row, actor=OLGA)
    look_around = check_steps._Way.look_around

    def overtaken(way: check_steps._Way, client: Any) -> None:
        ServerCheck.objects.update(beat_at=timezone.now() - timedelta(seconds=checks.DEAD_SECONDS + 1))
        assert checks.claim_check(found.pk) is not None
        look_around(way, client)

    monkeypatch.setattr(check_steps._Way, "look_around", overtaken)

    assert checks.run_check(found.pk) is False
    found.refresh_from_db()
    assert (found.steps, found.finished_at, found.ok) == ([], None, None)


def test_a_check_that_the_board_fails_at_ends_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row = make_server()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(check_steps._Way, "look_around", broken)

    steps = check(row)

    assert steps["shell"]["ok"] is False
    assert "ZeroDivisionError" in steps["shell"]["seen"]
    assert "A check failed" in caplog.text


def test_asked_twice_it_is_done_once_and_a_few_are_kept() -> None:
    row = make_server()
    waiting = checks.request_check(row, actor=OLGA)

    assert checks.request_check(row, actor=OLGA) == waiting
    ServerCheck.objects.all().update(finished_at=timezone.now())
    for _ in range(checks.KEPT_PER_SERVER + 3):
        checks.request_check(row, actor=OLGA)
        ServerCheck.objects.all().update(finished_at=timezone.now(), claim="0" * 32)

    assert ServerCheck.objects.count() == checks.KEPT_PER_SERVER
    assert Event.objects.filter(kind="check_requested").count() == 1 + checks.KEPT_PER_SERVER + 3


def test_only_a_machine_itself_checks_its_local_server() -> None:
    row = make_server(machine_id="that")
    over_ssh = make_server(transport="ssh", hostname="h", ssh_username="u")
    for server in (row, over_ssh):
        checks.request_check(server, actor=OLGA)

    def servers_open(machine: str) -> set[Any]:
        found = checks.open_checks(machine=machine, limit=10)
        return set(ServerCheck.objects.filter(pk__in=found).values_list("server", flat=True))

    assert servers_open("this") == {over_ssh.pk}
    assert servers_open("that") == {row.pk, over_ssh.pk}
