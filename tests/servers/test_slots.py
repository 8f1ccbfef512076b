"""Slots: as many builds as the limit says and not one more, whoever asks at the same time."""

import uuid

import pytest
from django.db import transaction

from servers.models import BuildServer, Slot
from servers.slots import count_held_slots, fit_slots, free_slot, has_free_slot, held_slots, take_slot
from tests.factories import make_server
from tests.racing import at_once

ONE, TWO, THREE = (uuid.UUID(int=number) for number in (1, 2, 3))


def slots_of(server: BuildServer) -> list[tuple[int, uuid.UUID | None]]:
    return list(Slot.objects.filter(server=server).order_by("number").values_list("number", "holder"))


def set_limit(server: BuildServer, *, limit: int) -> None:
    server.max_concurrent_builds = limit
    server.save()
    fit_slots(server)


@pytest.mark.django_db
def test_slots_are_as_many_as_the_limit() -> None:
    server = make_server(max_concurrent_builds=2)
    assert slots_of(server) == [(1, None), (2, None)]

    fit_slots(server)
    assert slots_of(server) == [(1, None), (2, None)]

    set_limit(server, limit=3)
    assert slots_of(server) == [(1, None), (2, None), (3, None)]

    set_limit(server, limit=1)
    assert slots_of(server) == [(1, None)]


@pytest.mark.django_db
def test_slots_are_taken_from_the_first_until_the_server_is_full() -> None:
    server = make_server(max_concurrent_builds=2)

    assert [take_slot(server, holder=holder) for holder in (ONE, TWO, THREE)] == [1, 2, None]
    assert slots_of(server) == [(1, ONE), (2, TWO)]
    assert Slot.objects.filter(server=server, taken_at__isnull=True).count() == 0


@pytest.mark.django_db
def test_a_freed_slot_is_taken_again() -> None:
    server = make_server(max_concurrent_builds=2)
    take_slot(server, holder=ONE)
    take_slot(server, holder=TWO)

    assert free_slot(ONE) is True
    assert list(Slot.objects.filter(number=1).values_list("holder", "taken_at")) == [(None, None)]
    assert take_slot(server, holder=THREE) == 1
    assert slots_of(server) == [(1, THREE), (2, TWO)]


@pytest.mark.django_db
def test_who_holds_no_slot_frees_none() -> None:
    server = make_server(max_concurrent_builds=1)
    take_slot(server, holder=ONE)

    assert free_slot(TWO) is False
    assert (free_slot(ONE), free_slot(ONE)) == (True, False)


@pytest.mark.django_db
def test_a_held_slot_over_a_lowered_limit_runs_out() -> None:
    server = make_server(max_concurrent_builds=3)
    for holder in (ONE, TWO, THREE):
        take_slot(server, holder=holder)
    free_slot(TWO)

    set_limit(server, limit=1)
    assert slots_of(server) == [(1, ONE), (3, THREE)]
    assert take_slot(server, holder=TWO) is None

    assert free_slot(THREE) is True
    assert slots_of(server) == [(1, ONE)]
    assert free_slot(ONE) is True
    assert slots_of(server) == [(1, None)]


@pytest.mark.django_db
def test_a_free_slot_over_a_limit_that_was_just_lowered_is_not_taken() -> None:
    server = make_server(max_concurrent_builds=2)
    server.max_concurrent_builds = 1
    server.save()

    assert [take_slot(server, holder=holder) for holder in (ONE, TWO)] == [1, None]


@pytest.mark.django_db
def test_held_slots_are_counted_by_server() -> None:
    busy, idle = make_server(max_concurrent_builds=2), make_server(max_concurrent_builds=1)
    take_slot(busy, holder=ONE)
    take_slot(busy, holder=TWO)

    assert (held_slots(busy), held_slots(idle)) == (2, 0)
    assert count_held_slots() == {busy.pk: 2, idle.pk: 0}
    assert has_free_slot() is True

    take_slot(idle, holder=THREE)
    assert has_free_slot() is False


@pytest.mark.django_db
def test_a_free_slot_of_a_server_out_of_service_is_no_room() -> None:
    make_server(enabled=False)
    make_server(draining=True)

    assert has_free_slot() is False


@pytest.mark.django_db(transaction=True)
def test_takers_that_race_never_exceed_the_limit() -> None:
    server = make_server(max_concurrent_builds=3)

    def take() -> int | None:
        with transaction.atomic():
            return take_slot(server, holder=uuid.uuid4())

    taken = at_once([take] * 8)

    assert sorted(number or 0 for number in taken) == [0, 0, 0, 0, 0, 1, 2, 3]
    assert [number for number, holder in slots_of(server) if holder] == [1, 2, 3]


@pytest.mark.django_db
def test_what_runs_over_a_lowered_limit_counts_until_it_has_ended() -> None:
    server = make_server(max_concurrent_builds=4)
    holders = [uuid.UUID(int=10 + number) for number in range(4)]
    assert [take_slot(server, holder=holder) for holder in holders] == [1, 2, 3, 4]
    set_limit(server, limit=2)

    free_slot(holders[0])
    free_slot(holders[1])
    assert take_slot(server, holder=ONE) is None

    free_slot(holders[2])
    assert [take_slot(server, holder=holder) for holder in (ONE, TWO)] == [1, None]

    free_slot(holders[3])
    assert [take_slot(server, holder=holder) for holder in (TWO, THREE)] == [2, None]
