"""Hands short tasks to django-q2, and owns its queue table; nobody else speaks to either.

A row of the queue belongs to a cluster (`runner`) or is addressed to that cluster of one machine
(`runner@<machine>`): a machine's pings and its runner's task are of use there only. A taken row is
addressed to the machine that took it, so that whatever a dead group of processes held can be freed at once.
It is not in charge of what the tasks do: the `tasks.py` of each app.
"""

import logging
from datetime import datetime, timedelta
from time import sleep
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Q
from django.utils import timezone
from django_q.brokers.orm import ORM  # noqa: TID251  # this module owns django-q2
from django_q.conf import Conf  # noqa: TID251  # same
from django_q.models import OrmQ  # noqa: TID251  # same
from django_q.tasks import async_task  # noqa: TID251  # same

from buildboard.core.machine import machine_id

logger = logging.getLogger(__name__)

# A row that its machine has not taken for so long may be taken by any other: that machine is gone.
ABANDONED_SECONDS = 60
AWAY_SECONDS = 1.0


def enqueue(dotted_path: str, *args: object, cluster: str = "buildboard", machine: str = "") -> int:
    """Have `dotted_path(*args)` run by a cluster, of `machine` alone when it is named; the row's id.

    It is written in the caller's transaction. The task may run twice or late: it must not mind.
    """
    broker = MachineBroker(list_key=_key(cluster, machine))
    async_task(dotted_path, *args, broker=broker, save=False)
    return broker.last_row


def is_queued(row: int) -> bool:
    """Whether a row that `enqueue` gave is still there: it goes when the task's result has arrived."""
    return bool(OrmQ.objects.filter(pk=row).exists())


def free_row(row: int, *, delay_seconds: float) -> None:
    """Let a row whose worker died be taken again after the delay (so that a deadly task does not spin)."""
    OrmQ.objects.filter(pk=row).update(lock=timezone.now() + timedelta(seconds=delay_seconds))


def free_rows(cluster: str, *, machine: str) -> int:
    """Let all that this machine's dead cluster held be taken again by any; how many rows."""
    held = OrmQ.objects.filter(key=_key(cluster, machine))
    return int(held.update(key=cluster, lock=timezone.now()))


def drop_addressed(cluster: str, *, machine: str, path: str) -> None:
    """Remove waiting calls of one function from what is addressed to this machine's cluster."""
    for row in OrmQ.objects.filter(key=_key(cluster, machine)):
        if row.task.get("func") == path:
            row.delete()


def task_timeout_seconds(cluster: str) -> float:
    """How long one task of the cluster may take."""
    # From the settings: django-q2's own Conf has the values of the cluster that this process belongs to.
    whole: dict[str, Any] = settings.Q_CLUSTER
    return float(whole["ALT_CLUSTERS"].get(cluster, whole)["timeout"])


def _key(cluster: str, machine: str) -> str:
    return f"{cluster}@{machine}" if machine else cluster


class MachineBroker(ORM):  # type: ignore[misc]  # the library has no types
    """django-q2's queue in the database, with what its own lacks: addressed rows, order, a calm outage."""

    last_row = 0

    def enqueue(self, task: str) -> int:
        """Add a row; it is remembered as `last_row`."""
        self.last_row = super().enqueue(task)
        return self.last_row

    def dequeue(self) -> list[tuple[int, str]]:
        """Take the next due row, addressed ones first, then the oldest; none after a short sleep."""
        try:
            taken = self._take()
        except (OperationalError, InterfaceError) as error:
            # Left to itself django-q2 ends the process, and the next one tries after ten seconds.
            logger.warning("The task queue is out of reach: %s", str(error).strip())
            if not connection.in_atomic_block:
                connection.close()
            sleep(AWAY_SECONDS)
            return []
        if not taken:
            sleep(Conf.POLL)
        return taken

    def _take(self) -> list[tuple[int, str]]:
        now = timezone.now()
        mine = _key(self.list_key, machine_id())
        abandoned = Q(
            key__startswith=f"{self.list_key}@", lock__lt=now - timedelta(seconds=ABANDONED_SECONDS)
        )
        rows = self.get_connection()
        due = rows.filter(Q(key__in=[self.list_key, mine], lock__lt=now) | abandoned).order_by("-key", "pk")
        row = due.first()
        if row is None:
            return []
        until: datetime = self.timeout(row)
        if not rows.filter(pk=row.pk, lock=row.lock).update(lock=until, key=mine):
            return []  # another machine was faster
        return [(row.pk, row.payload)]
