"""Leases: one runner follows a server, and whoever lost it is told so."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from servers.leases import HeldLease, acquire_lease, acquire_leases, release_leases, renew_lease
from servers.models import BuildServer, ServerLease
from servers.states import TransportKind
from tests.factories import make_server

pytestmark = pytest.mark.django_db


def run_out(server: BuildServer) -> None:
    past = timezone.now() - timedelta(seconds=1)
    assert ServerLease.objects.filter(pk=server.pk).update(until=past) == 1


def test_a_free_lease_is_acquired() -> None:
    server = make_server()

    assert acquire_lease(server.pk, runner="one") == HeldLease(server.pk, 1)
    lease = ServerLease.objects.get()
    assert (lease.server_id, lease.runner, lease.fence) == (server.pk, "one", 1)
    assert lease.until is not None
    assert lease.until > timezone.now()


@pytest.mark.parametrize("runner", ["one", "two"])
def test_a_held_lease_is_acquired_by_nobody(runner: str) -> None:
    server = make_server()
    acquire_lease(server.pk, runner="one")

    assert acquire_lease(server.pk, runner=runner) is None
    assert ServerLease.objects.values_list("runner", "fence").get() == ("one", 1)


def test_a_lease_that_ran_out_goes_to_another_with_a_higher_fence() -> None:
    server = make_server()
    first = acquire_lease(server.pk, runner="one")
    run_out(server)

    second = acquire_lease(server.pk, runner="two")

    assert (first, second) == (HeldLease(server.pk, 1), HeldLease(server.pk, 2))


def test_who_lost_a_lease_cannot_renew_it() -> None:
    server = make_server()
    first = acquire_lease(server.pk, runner="one")
    run_out(server)
    second = acquire_lease(server.pk, runner="two")
    assert first is not None
    assert second is not None

    assert renew_lease(first, runner="one") is False
    assert renew_lease(second, runner="two") is True


def test_a_runner_does_not_renew_by_a_fence_of_its_own_past() -> None:
    server = make_server()
    first = acquire_lease(server.pk, runner="one")
    run_out(server)
    acquire_lease(server.pk, runner="one")
    assert first is not None

    assert renew_lease(first, runner="one") is False


def test_a_lease_that_ran_out_and_nobody_took_is_renewed() -> None:
    server = make_server()
    lease = acquire_lease(server.pk, runner="one")
    run_out(server)
    assert lease is not None

    assert renew_lease(lease, runner="one") is True
    assert acquire_lease(server.pk, runner="two") is None
    assert ServerLease.objects.values_list("runner", "fence").get() == ("one", 1)


def test_released_leases_are_free_at_once() -> None:
    first, second, other = make_server(), make_server(), make_server()
    for server in (first, second):
        acquire_lease(server.pk, runner="one")
    acquire_lease(other.pk, runner="other")

    assert release_leases("one") == 2
    assert [acquire_lease(server.pk, runner="two") for server in (first, second, other)] == [
        HeldLease(first.pk, 2),
        HeldLease(second.pk, 2),
        None,
    ]


def test_a_released_lease_is_not_renewed_by_who_released_it() -> None:
    lease = acquire_lease(make_server().pk, runner="runner-1")
    assert lease is not None
    release_leases("runner-1")

    assert renew_lease(lease, runner="runner-1") is False
    assert ServerLease.objects.get().until is None


def test_a_local_server_is_only_for_its_machine() -> None:
    here = make_server("here", machine_id="this")
    make_server("there", machine_id="that")
    remote = make_server("remote", transport=TransportKind.SSH, hostname="r.example", ssh_username="build")

    taken = acquire_leases("one", machine="this")

    assert {(lease.server_id, lease.fence) for lease in taken} == {(here.pk, 1), (remote.pk, 1)}
    assert acquire_leases("two", machine="this") == []


def test_leases_are_acquired_up_to_a_limit_and_the_rest_next() -> None:
    for _ in range(3):
        make_server(machine_id="this")

    assert [len(acquire_leases("one", machine="this", limit=2)) for _ in range(3)] == [2, 1, 0]


def test_leases_that_ran_out_or_were_released_are_among_those_acquired() -> None:
    late, released, held = (make_server(machine_id="this") for _ in range(3))
    acquire_lease(released.pk, runner="gone")
    release_leases("gone")
    for server in (late, held):
        acquire_lease(server.pk, runner="old")
    run_out(late)

    taken = acquire_leases("new", machine="this")

    assert {(lease.server_id, lease.fence) for lease in taken} == {(late.pk, 2), (released.pk, 2)}


@pytest.mark.django_db(transaction=True)
def test_a_server_that_is_gone_has_no_lease() -> None:
    assert acquire_lease(uuid.uuid4(), runner="one") is None
    assert ServerLease.objects.count() == 0
