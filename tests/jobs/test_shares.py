"""What submitters were served: kept between passes and processes, and counted only where it matters."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from jobs.models import FairShare
from jobs.queue.fairness import NOBODY
from jobs.queue.shares import KEPT, note_served, outworn_shares, read_shares
from tests.factories import make_user

pytestmark = pytest.mark.django_db
KEY = "k"


def served() -> dict[uuid.UUID, float]:
    return dict(FairShare.objects.filter(needs_key=KEY).values_list("submitter", "served"))


def test_starts_are_counted_through_the_weight() -> None:
    ann, bob = make_user(share_weight=4).pk, make_user().pk
    contested = {KEY: {ann, bob, NOBODY}}

    note_served([(KEY, ann)] * 3 + [(KEY, bob)], contested=contested)
    note_served([(KEY, ann)], contested=contested)

    assert served() == {ann: 1.0, bob: 1.0}
    shares = read_shares(contested)
    assert shares.served == {KEY: {ann: 1.0, bob: 1.0}}
    assert [shares.weight_of(who) for who in (ann, bob, NOBODY)] == [4, 1, 1]


def test_who_comes_back_is_counted_from_where_the_others_are() -> None:
    ann, bob = make_user().pk, make_user().pk
    FairShare.objects.create(needs_key=KEY, submitter=ann, served=100.0)

    note_served([(KEY, bob), (KEY, bob)], contested={KEY: {ann, bob}})

    assert served() == {ann: 100.0, bob: 101.0}


def test_rows_are_made_in_one_order_whatever_started_first() -> None:
    people = [make_user().pk for _ in range(4)]
    keys = ["k", "a", "z"]
    contested = {key: set(people) for key in keys}
    started = [(key, person) for key in keys for person in sorted(people, reverse=True)]

    note_served(started, contested=contested)

    made = FairShare.objects.order_by("pk").values_list("needs_key", "submitter")
    assert list(made) == [(key, person) for key in sorted(keys) for person in sorted(people)]


def test_what_nobody_else_waited_for_costs_no_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(0):
        note_served([(KEY, NOBODY)], contested={"another": {NOBODY, uuid.uuid4()}})
        assert read_shares({}).served == {}

    assert served() == {}


def test_shares_that_nobody_waited_for_in_days_are_outworn() -> None:
    old = FairShare.objects.create(
        needs_key="old", submitter=NOBODY, updated_at=timezone.now() - KEPT - timedelta(seconds=1)
    )
    FairShare.objects.create(needs_key=KEY, submitter=NOBODY)

    assert list(outworn_shares()) == [old]
