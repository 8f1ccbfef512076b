"""Two at once, on either database: a slot and its server's end, one check and its claimers."""

import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import connection, connections, transaction

from buildboard.core.audit import Actor
from servers import checks
from servers.errors import ServerConflict
from servers.models import BuildServer, ProbeSample, Slot
from servers.registry import change_server, delete_server
from servers.slots import held_slots, take_slot
from tests.factories import make_server
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
OLGA = Actor(name="olga", door="api")
SSH = {"transport": "ssh", "hostname": "h", "ssh_username": "u"}


def at_once(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each gives, begun at the same moment; a conflict is given, too."""
    results: list[Any] = [None] * len(acts)
    barrier = threading.Barrier(len(acts))

    def run(number: int) -> None:
        barrier.wait(10)
        try:
            results[number] = acts[number]()
        except ServerConflict as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return results


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
