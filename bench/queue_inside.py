"""The board of one size in the benchmark of the queue: fills the database of its environment, then looks at its queue.

It answers as bench/inside.py says. What a look changes is undone before the next one.
"""

import sys
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

django.setup()

from bench.history import add_history  # noqa: E402  # after django.setup(), as all that follow
from bench.inside import answer  # noqa: E402  # likewise
from buildboard.core.audit import record_event  # noqa: E402  # likewise
from buildboard.core.models import User  # noqa: E402  # likewise
from jobs.execution.dispatch import Dispatcher  # noqa: E402  # likewise
from jobs.models import Attempt, BuildJob, KeptForecast  # noqa: E402  # likewise
from jobs.needs import key_of, needs_of  # noqa: E402  # likewise
from jobs.queue import predictions  # noqa: E402  # likewise
from jobs.queue.explain import explain_job  # noqa: E402  # likewise
from jobs.queue.forecast import MOST_LOOKED_AT, foresee  # noqa: E402  # likewise
from jobs.states import AttemptStatus, JobStatus, Priority  # noqa: E402  # likewise
from servers.models import BuildServer, ServerLease, Slot  # noqa: E402  # likewise
from tests.factories import make_attempt, make_job, make_server  # noqa: E402  # likewise

QUEUED, SERVERS, SLOTS, PEOPLE, GROUPS, STARTS = 10_000, 500, 4, 20, 10, 20
ARCHITECTURES = ("x86_64", "aarch64", "riscv64", "armv7")
BEFORE_DAYS = 3


class Looker:
    """A runner's dispatcher, and somebody who asks why a job waits."""

    def __init__(self, size: int) -> None:

        self._size = size
        self._dispatcher = Dispatcher()
        self._looks: dict[str, Callable[[], object]] = {
            "whole look, nothing free": lambda: self._dispatcher.dispatch(),
            f"whole look, {STARTS} are started": lambda: self._dispatcher.dispatch(),
            "whole look of a new runner": lambda: Dispatcher().dispatch(),
            "bell, nothing free": lambda: self._dispatcher.dispatch(explain=False),
            "bell, one is started": lambda: self._dispatcher.dispatch(explain=False),
            "why a job waits, played": self._explain,
            "why a job waits, kept": self._explain,
            "forecast of the whole queue": lambda: foresee(limit=MOST_LOOKED_AT),
        }

    def fill(self) -> str:
        """Fill the database; the names of the looks, with tabs between."""

        call_command("migrate", verbosity=0)
        _add_one_that_finished()
        if self._size > 1:
            add_history(up_to=self._size, before_days=BEFORE_DAYS)
        _add_fleet()
        _add_queue()
        self._dispatcher.dispatch()
        predictions.refresh()
        return "\t".join(self._looks)

    def look(self, name: str) -> str:
        """How many seconds one look takes."""
        self._prepare(name)
        begin = time.perf_counter()
        self._looks[name]()
        taken = time.perf_counter() - begin
        _undo()
        return str(taken)

    def queries(self, name: str) -> str:
        """How many queries one look has."""
        self._prepare(name)
        with CaptureQueriesContext(connection) as captured:
            self._looks[name]()
        _undo()
        return str(len(captured))

    def _prepare(self, name: str) -> None:
        age = timedelta(hours=0 if name.endswith("kept") else 1)
        KeptForecast.objects.update(next_at=timezone.now() - age)
        free = STARTS if name.endswith("are started") else int("one is started" in name)
        some = list(
            Slot.objects.filter(server__enabled=True)
            .order_by("number", "server__name")
            .values_list("pk", flat=True)[:free]
        )
        Slot.objects.filter(pk__in=some).update(holder=None)

    def _explain(self) -> None:
        explain_job(BuildJob.objects.queued()[QUEUED // 2])


def _add_one_that_finished() -> None:
    """What the history is copies of: a job with its attempt and an event."""
    server, now = make_server("old", enabled=False, max_concurrent_builds=1), timezone.now()
    server.slots.update(holder=uuid.uuid4())
    times = {"started_at": now - timedelta(seconds=60), "completed_at": now}
    job = make_job(JobStatus.COMPLETED, server=server, server_name=server.name, **times)
    make_attempt(job, AttemptStatus.COMPLETED, server=server, server_name=server.name, **times)
    record_event("job", subject_id=job.pk, kind="completed")


def _add_fleet() -> None:
    """Servers in service, all their slots taken by builds that are none of ours."""

    servers = BuildServer.objects.bulk_create(
        BuildServer(
            name=f"server-{number:03}",
            transport="local",
            machine_id="none",
            status="online",
            architectures=[ARCHITECTURES[number % 4]],
            group=f"group-{number // 4 % GROUPS}",
            labels={"disk": "nvme"},
            total_cpu_cores=16,
            total_memory_mb=65_536,
            total_storage_gb=1000,
            cpu_percent=20.0 + number % 60,
            memory_percent=20.0 + number % 50,
            storage_percent=30.0,
            max_concurrent_builds=SLOTS,
        )
        for number in range(SERVERS)
    )
    until = timezone.now() + timedelta(days=1)
    ServerLease.objects.filter(server__in=servers).delete()
    ServerLease.objects.bulk_create(ServerLease(server=one, runner="bench", until=until) for one in servers)
    Slot.objects.bulk_create(
        Slot(server=one, number=number, holder=uuid.uuid4(), taken_at=timezone.now())
        for one in servers
        for number in range(1, SLOTS + 1)
    )


def _add_queue() -> None:

    people = [User.objects.create_user(f"person-{number}", role="submitter") for number in range(PEOPLE)]
    now = timezone.now()
    jobs = [
        BuildJob(
            source_repository=f"https://git.example/project-{number % 30}.git",
            target_architecture=ARCHITECTURES[number % 4],
            group=f"group-{number // 4 % GROUPS}",
            priority=Priority.values[number % 7 % 4],
            created_by=people[number % PEOPLE],
            created_at=now - timedelta(seconds=number),
            spec=_spec(number),
        )
        for number in range(QUEUED)
    ]
    for job in jobs:
        job.needs_key = key_of(needs_of(job))
    BuildJob.objects.bulk_create(jobs, batch_size=500)


def _spec(number: int) -> dict[str, Any]:
    return {"server_id": "auto", "min_memory_mb": 1024, "build_command": f"make -j4 NUMBER={number}"}


def _undo() -> None:
    """Nothing was started, and all slots are taken."""

    started = list(Attempt.objects.active().values_list("job_id", flat=True))
    Attempt.objects.filter(job_id__in=started).delete()
    BuildJob.objects.filter(pk__in=started).update(status="queued", server=None, server_name="", attempts=0)
    for slot_id in Slot.objects.filter(holder=None).values_list("pk", flat=True):
        Slot.objects.filter(pk=slot_id).update(holder=uuid.uuid4())


if __name__ == "__main__":
    answer(Looker(int(sys.argv[1])))
