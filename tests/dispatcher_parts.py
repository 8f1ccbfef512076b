"""The parts of a board without web for tests of many runners: `python -m tests.dispatcher_parts PART`.

`fill` reads servers and a repository as JSON and submits jobs, `run` is one runner, `report` waits until no job is
unfinished and prints every attempt as JSON. `queue` puts many jobs and servers of the fake provider there at once,
`dispatch` is a dispatcher that plays what it claims until nothing is left, and prints when it began and ended each.
The environment says which database. It asserts nothing.
"""

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from types import FrameType
from typing import Any

import django
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "buildboard.settings")
django.setup()

from buildboard.core.audit import Actor  # noqa: E402  # after django.setup(), as all that follow
from buildboard.core.crypto import encrypt  # noqa: E402  # likewise
from buildboard.core.models import User  # noqa: E402  # likewise
from jobs.execution.dispatch import Dispatcher  # noqa: E402  # likewise
from jobs.execution.runner import Runner  # noqa: E402  # likewise
from jobs.execution.start import change_of  # noqa: E402  # likewise
from jobs.lifecycle import finish_attempt, start_attempt, submit_job  # noqa: E402  # likewise
from jobs.models import Attempt, BuildJob  # noqa: E402  # likewise
from jobs.needs import key_of, needs_of  # noqa: E402  # likewise
from jobs.outcomes import Outcome  # noqa: E402  # likewise
from jobs.providers.base import BuildStatus, Metadata  # noqa: E402  # likewise
from jobs.providers.fake import FakeProvider  # noqa: E402  # likewise
from jobs.states import AttemptStatus, Priority  # noqa: E402  # likewise
from jobs.submission import fields_of, read_submission  # noqa: E402  # likewise
from servers.models import BuildServer, ServerLease, Slot  # noqa: E402  # likewise
from servers.slots import fit_slots  # noqa: E402  # likewise
from tests.waiting import wait_for  # noqa: E402  # likewise

RUN_SECONDS = 600.0
REPORT_SECONDS = 500.0
WHOLE_EVERY = 100  # looks: by time a busy machine would do little else
PAUSE_SECONDS = 0.01


def fill(given: dict[str, Any]) -> None:
    """Migrate, add the servers (to be reached and probed by whoever follows them), submit the jobs."""

    call_command("migrate", verbosity=0)
    for row in given["servers"]:
        private_key = encrypt(row.pop("private_key"))
        fit_slots(BuildServer.objects.create(**row, private_key=private_key))
    for number in range(given["jobs"]):
        fields = {**given["submission"], "environment": {"NUMBER": str(number)}}
        submit_job(fields_of(read_submission(fields)), actor=Actor("ann", "api"), user=None)


def queue(given: dict[str, Any]) -> None:
    """Migrate; jobs of three submitters, in two classes of need, for servers of which each second builds both."""

    call_command("migrate", verbosity=0)
    until = timezone.now() + timedelta(hours=1)
    for number in range(given["servers"]):
        server = BuildServer.objects.create(
            name=f"server-{number}",
            transport="local",
            machine_id="none",
            status="online",
            architectures=["x86_64", "aarch64"][: 1 + number % 2],
            max_concurrent_builds=given["slots"],
        )
        fit_slots(server)
        ServerLease.objects.update_or_create(server=server, defaults={"runner": "all", "until": until})
    people = [User.objects.create_user(f"user-{number}", role="submitter") for number in range(3)]
    jobs = [
        BuildJob(
            source_repository="https://git.example/demo.git",
            target_architecture="x86_64" if number % 3 else "aarch64",
            priority=Priority.values[number % 4],
            provider="fake",
            labels={"fake": f"seconds={given['seconds']}"},
            spec={"environment": {"NUMBER": str(number)}},
            created_by=people[number % 7 % 3],
        )
        for number in range(given["jobs"])
    ]
    for job in jobs:
        job.needs_key = key_of(needs_of(job))
    BuildJob.objects.bulk_create(jobs, batch_size=200)


def dispatch() -> list[dict[str, Any]]:
    """One dispatcher that looks as at a bell all the time, and at the whole queue now and then, as a runner does."""

    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(
                "PRAGMA synchronous = OFF"
            )  # no power is lost here, and thousands of commits wait for it
    dispatcher, provider = Dispatcher(), FakeProvider()
    playing: dict[str, Attempt] = {}
    spans: dict[str, dict[str, Any]] = {}
    for look in itertools.count():
        claimed = dispatcher.dispatch(explain=look % WHOLE_EVERY == 0)
        for attempt in claimed:
            job = attempt.job
            number = int(job.spec["environment"]["NUMBER"])
            metadata = Metadata(attempt_id=str(attempt.pk), labels=job.labels)
            build_id, _ = provider.trigger(change_of(job), metadata)
            playing[build_id] = attempt
            spans[build_id] = {"number": number, "server": attempt.server_name, "from": time.time()}
        ended = [one for one in playing if provider.status(one) is BuildStatus.SUCCEEDED]
        for build_id in ended:
            spans[build_id]["to"] = time.time()
        if ended:
            end_all([playing.pop(build_id) for build_id in ended])
        if not claimed and not ended:
            if not BuildJob.objects.unfinished().exists():
                break
            time.sleep(PAUSE_SECONDS)
    return list(spans.values())


def end_all(attempts: Sequence[Attempt]) -> None:
    """All at once: on SQLite eight writers spend most of their time on waiting for each other."""

    with transaction.atomic():
        for attempt in attempts:
            start_attempt(attempt)
            finish_attempt(attempt, outcome=Outcome(AttemptStatus.COMPLETED, exit_code=0))


def run() -> None:
    """One runner until SIGTERM."""

    runner = Runner()

    def stop(number: int, frame: FrameType | None) -> None:
        runner.stop()

    signal.signal(signal.SIGTERM, stop)
    runner.run(seconds=RUN_SECONDS)


def report() -> dict[str, Any]:
    """What came of it, once every job is finished."""

    def nothing_left() -> bool:
        return not BuildJob.objects.unfinished().exists()

    def counts() -> str:
        rows = Attempt.objects.values_list("status", "phase", "server_name", "error_message")
        return f"{BuildJob.objects.unfinished().count()} jobs are unfinished; {list(rows)[-20:]}"

    wait_for(nothing_left, what=counts, seconds=REPORT_SECONDS)
    attempts = Attempt.objects.values_list("server_name", "status", "created_at", "completed_at", "job__spec")
    return {
        "jobs": [list(row) for row in BuildJob.objects.values_list("status", "attempts")],
        "attempts": [
            {
                "server": server,
                "status": status,
                "from": begun.timestamp(),
                "to": ended.timestamp() if ended else None,
                "number": int(spec["environment"]["NUMBER"]),
            }
            for server, status, begun, ended, spec in attempts
        ],
        "held": Slot.objects.filter(holder__isnull=False).count(),
    }


def main(part: str) -> None:
    """Do one part."""
    if part == "fill":
        fill(json.load(sys.stdin))
    elif part == "queue":
        queue(json.load(sys.stdin))
    elif part == "dispatch":
        sys.stdout.write(json.dumps(dispatch()))
    elif part == "run":
        run()
    else:
        sys.stdout.write(json.dumps(report()))


if __name__ == "__main__":
    main(sys.argv[1])
