"""The parts of a board without web for a test of many runners: `python -m tests.dispatcher_parts PART`.

`fill` reads servers and a repository as JSON and submits jobs, `run` is one runner, `report` waits until no job is
unfinished and prints every attempt as JSON. The environment says which database. It asserts nothing.
"""

import json
import os
import signal
import sys
from types import FrameType
from typing import Any

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "buildboard.settings")
django.setup()

from buildboard.core.audit import Actor  # noqa: E402  # after django.setup(), as all that follow
from buildboard.core.crypto import encrypt  # noqa: E402  # likewise
from jobs.execution.runner import Runner  # noqa: E402  # likewise
from jobs.lifecycle import submit_job  # noqa: E402  # likewise
from jobs.models import Attempt, BuildJob  # noqa: E402  # likewise
from jobs.submission import fields_of, read_submission  # noqa: E402  # likewise
from servers.models import BuildServer, Slot  # noqa: E402  # likewise
from servers.slots import fit_slots  # noqa: E402  # likewise
from tests.waiting import wait_for  # noqa: E402  # likewise

RUN_SECONDS = 600.0
REPORT_SECONDS = 500.0


def fill(given: dict[str, Any]) -> None:
    """Migrate, add the servers (to be reached and probed by whoever follows them), submit the jobs."""

    call_command("migrate", verbosity=0)
    for row in given["servers"]:
        private_key = encrypt(row.pop("private_key"))
        fit_slots(BuildServer.objects.create(**row, private_key=private_key))
    for number in range(given["jobs"]):
        fields = {**given["submission"], "environment": {"NUMBER": str(number)}}
        submit_job(fields_of(read_submission(fields)), actor=Actor("ann", "api"), user=None)


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
    elif part == "run":
        run()
    else:
        sys.stdout.write(json.dumps(report()))


if __name__ == "__main__":
    main(sys.argv[1])
