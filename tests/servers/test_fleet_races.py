"""Two at once, on either database: a slot and its server's end, one check and its claimers, quarantine and trial."""

import threading
import uuid
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from buildboard.core.audit import Actor
from servers import checks, registry
from servers.errors import InvalidServer, ServerConflict
from servers.fields import check_fields
from servers.models import BuildServer, ProbeSample, Slot
from servers.quarantine import quarantine_for_fault, take_canary
from servers.registry import add_server, change_server, delete_server
from servers.slots import held_slots, take_slot
from tests.factories import make_server
from tests.racing import at_once
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
OLGA = Actor(name="olga", door="api")
SSH = {"transport": "ssh", "hostname": "h", "ssh_username": "u"}


@pytest.mark.parametrize("attempt", range(4))
def test_a_server_is_deleted_or_takes_a_build_never_both(attempt: int) -> None:
    server = make_server()

    def take() -> int | None:
        return take_slot(server, holder=uuid.uuid4())

    def delete() -> str:
        delete_server(server, actor=OLGA)
        return "deleted"

    *taken, deleted = at_once([take, take, take, delete])

    if deleted == "deleted":
        assert taken == [None] * 3
        assert (BuildServer.objects.count(), Slot.objects.count()) == (0, 0)
    else:
        assert isinstance(deleted, ServerConflict)
        assert held_slots(server) >= 1


@pytest.mark.parametrize("attempt", range(4))
def test_a_server_moves_or_takes_a_build_before_never_both(attempt: int) -> None:
    server = make_server(**SSH)
    where: list[str] = []

    def take() -> None:
        if take_slot(server, holder=uuid.uuid4()):
            where.append(BuildServer.objects.get(pk=server.pk).hostname)

    def move() -> str:
        return change_server(server, {"hostname": "elsewhere"}, actor=OLGA).hostname

    _, moved = at_once([take, move])

    assert where == ([moved] if isinstance(moved, str) else ["h"])


@pytest.mark.parametrize("attempt", range(4))
def test_a_jump_host_is_deleted_or_taken_never_both(attempt: int) -> None:
    jump = make_server("jump", **SSH)
    behind = make_server("behind", **SSH)
    new = {"name": "new", "hostname": "h", "ssh_username": "u", "jump_host": "jump"}

    def delete() -> str:
        delete_server(jump, actor=OLGA)
        return "deleted"

    deleted, changed, added = at_once(
        [
            delete,
            lambda: change_server(behind, {"jump_host": "jump"}, actor=OLGA),
            lambda: add_server(new, actor=OLGA),
        ]
    )

    if deleted == "deleted":
        assert {type(changed), type(added)} <= {ServerConflict, InvalidServer}
        assert not BuildServer.objects.filter(jump_host__isnull=False).exists()
    else:
        assert isinstance(deleted, ServerConflict)
        assert BuildServer.objects.filter(jump_host=jump).exists()


@pytest.mark.parametrize("what", ["add", "change"])
def test_a_jump_host_that_is_deleted_in_between_is_a_conflict(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jump = make_server("jump", **SSH)
    behind = make_server("behind", **SSH)

    def check_then_delete(*args: Any, **kwargs: Any) -> Any:
        checked = check_fields(*args, **kwargs)
        BuildServer.objects.filter(pk=jump.pk).delete()
        return checked

    monkeypatch.setattr(registry, "check_fields", check_then_delete)

    with pytest.raises(ServerConflict, match=r"The jump host of (new|behind) was deleted meanwhile"):
        if what == "add":
            add_server({"name": "new", "hostname": "h", "ssh_username": "u", "jump_host": "jump"}, actor=OLGA)
        else:
            change_server(behind, {"jump_host": "jump"}, actor=OLGA)

    assert not BuildServer.objects.filter(name="new").exists()


def test_a_server_that_becomes_a_jump_host_while_it_is_deleted_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    jump = make_server("jump", **SSH)

    def look_then_add(server: BuildServer) -> None:
        make_server("behind", **SSH, jump_host=server)

    monkeypatch.setattr(registry, "refuse_jump_host", look_then_add)

    with pytest.raises(ServerConflict, match="has just become the jump host of another server"):
        delete_server(jump, actor=OLGA)

    assert BuildServer.objects.filter(name="jump").exists()


def test_a_claim_does_not_wait_for_a_change_that_waits_for_it() -> None:
    """It holds a slot and then names the server, which a change has locked before it looks at the slots."""
    server = make_server(**SSH)
    holds = threading.Event()

    def claim() -> int | None:
        with transaction.atomic():
            number = take_slot(server, holder=uuid.uuid4())
            holds.set()
            if connection.vendor == "postgresql":
                wait_for(is_waited_for, what="the change")
            ProbeSample.objects.create(server=server)
        return number

    def move() -> str:
        assert holds.wait(10)
        return change_server(server, {"hostname": "elsewhere"}, actor=OLGA).hostname

    number, moved = at_once([claim, move])

    assert number == 1
    assert isinstance(moved, ServerConflict)


def is_waited_for() -> bool:
    """Whether somebody waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_a_check_is_claimed_once() -> None:
    check = checks.request_check(make_server(), actor=OLGA)

    claims = at_once([lambda: checks.claim_check(check.pk)] * 6)

    assert sum(claim is not None for claim in claims) == 1


def test_two_that_are_accused_at_once_are_never_both_taken_out_when_they_are_all() -> None:
    servers = [make_server() for _ in range(2)]

    begun = at_once([partial(quarantine_for_fault, server.pk, reason="x") for server in servers])

    assert sorted(begun) == [False, True]
    assert BuildServer.objects.filter(quarantined_since__isnull=False).count() == 1


def test_of_many_takers_one_gives_a_server_on_trial_its_build() -> None:
    make_server()
    server = make_server()
    quarantine_for_fault(server.pk, reason="x")
    BuildServer.objects.filter(pk=server.pk).update(quarantined_until=timezone.now())
    server.refresh_from_db()

    taken = at_once([partial(take_canary, server, holder=uuid.uuid4()) for _ in range(4)])

    assert sorted(taken) == [False, False, False, True]
