"""The queue of short tasks: addresses, order, and what happens to the rows of the dead."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from django_q.models import OrmQ  # noqa: TID251  # looks at the rows that enqueue makes

from buildboard.core import enqueue as queue
from buildboard.core.enqueue import MachineBroker, drop_addressed, enqueue, free_row, free_rows, is_queued
from buildboard.core.machine import MACHINE_VARIABLE, machine_id

PING = "buildboard.core.tasks.ping"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "sleep", lambda seconds: None)


def rows() -> list[tuple[int, str]]:
    return list(OrmQ.objects.order_by("pk").values_list("pk", "key"))


def test_enqueue_keeps_function_and_arguments() -> None:
    row = enqueue(PING, "buildboard")

    task = OrmQ.objects.get(pk=row).task
    assert (task["func"], task["args"], task["kwargs"], task["save"]) == (PING, ("buildboard",), {}, False)
    assert rows() == [(row, "buildboard")]
    assert is_queued(row)


@pytest.mark.django_db(transaction=True)
def test_enqueue_goes_with_its_transaction() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        enqueue(PING, "buildboard")
        raise RuntimeError

    assert rows() == []


def test_rows_are_taken_addressed_first_then_oldest_and_once() -> None:
    first = enqueue(PING, "buildboard")
    second = enqueue(PING, "buildboard")
    addressed = enqueue(PING, "buildboard", machine=machine_id())
    broker = MachineBroker(list_key="buildboard")

    taken = [broker.dequeue() for _ in range(4)]

    assert [[row for row, _ in rows] for rows in taken] == [[addressed], [first], [second], []]
    assert {key for _, key in rows()} == {f"buildboard@{machine_id()}"}


def test_row_of_another_cluster_or_machine_is_left() -> None:
    enqueue(PING, "runner", cluster="runner")
    enqueue(PING, "buildboard", machine="elsewhere")

    assert MachineBroker(list_key="buildboard").dequeue() == []


def test_row_of_a_machine_that_is_gone_is_taken_by_another() -> None:
    row = enqueue(PING, "buildboard", machine="elsewhere")
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=queue.ABANDONED_SECONDS + 1))

    assert [taken for taken, _ in MachineBroker(list_key="buildboard").dequeue()] == [row]


def test_result_removes_the_row() -> None:
    row = enqueue(PING, "buildboard")
    broker = MachineBroker(list_key="buildboard")
    broker.dequeue()

    broker.acknowledge(row)

    assert not is_queued(row)


def test_rows_that_a_dead_cluster_held_can_be_taken_by_another_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = enqueue(PING, "buildboard")
    MachineBroker(list_key="buildboard").dequeue()

    assert free_rows("buildboard", machine=machine_id()) == 1

    monkeypatch.setenv(MACHINE_VARIABLE, "elsewhere")
    assert [taken for taken, _ in MachineBroker(list_key="buildboard").dequeue()] == [row]


def test_row_of_a_dead_worker_waits_its_delay_and_is_taken_again() -> None:
    row = enqueue(PING, "buildboard")
    broker = MachineBroker(list_key="buildboard")
    broker.dequeue()

    free_row(row, delay_seconds=60)
    assert broker.dequeue() == []

    free_row(row, delay_seconds=-1)
    assert [taken for taken, _ in broker.dequeue()] == [row]


def test_drop_addressed_removes_one_function_only() -> None:
    enqueue(PING, "runner", cluster="runner", machine=machine_id())
    kept = enqueue("jobs.tasks.run_builds", cluster="runner", machine=machine_id())

    drop_addressed("runner", machine=machine_id(), path=PING)

    assert [row for row, _ in rows()] == [kept]


def test_outage_of_the_database_is_sat_out() -> None:
    row = enqueue(PING, "buildboard")

    def away(*_: object) -> None:
        raise OperationalError("connection refused")

    with connection.execute_wrapper(away):
        assert MachineBroker(list_key="buildboard").dequeue() == []

    assert [taken for taken, _ in MachineBroker(list_key="buildboard").dequeue()] == [row]


def test_timeouts_are_of_the_cluster() -> None:
    assert queue.task_timeout_seconds("buildboard") == 600.0
    assert queue.task_timeout_seconds("runner") == 900.0
