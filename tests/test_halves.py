"""`web` and `worker` apart, as on several machines that share PostgreSQL."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.boards import RECOVER_SECONDS, RunningBoard
from tests.requirements import require
from tests.services import fresh_database
from tests.waiting import wait_for

# The boards here have a database of their own.
pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.sqlite_only]


def test_halves_find_each_other_through_the_database_and_outlive_one_machine() -> None:
    require("postgres")
    with (
        fresh_database(f"halves_{os.getpid()}") as url,
        tempfile.TemporaryDirectory(prefix="bb-halves-") as folder,
    ):
        shared = {"DATABASE_URL": url, "BUILDBOARD_SECRET_KEY": "shared" * 10}

        def start(name: str, verb: str) -> RunningBoard:
            board = RunningBoard(Path(folder, name), verb=verb, extra={**shared, "BUILDBOARD_MACHINE": name})
            boards.append(board)
            board.launch()
            return board

        boards: list[RunningBoard] = []
        try:
            first, second, web = start("first", "worker"), start("second", "worker"), start("third", "web")
            web.wait_ready()
            machines = (
                "from buildboard.core.models import Heartbeat\n"
                "rows = Heartbeat.objects.filter(name='runner').order_by('machine')\n"
                "print(*rows.values_list('machine', flat=True))"
            )
            wait_for(
                lambda: web.run(machines).split() == ["first", "second"],
                what=lambda: f"two runners\n{first.output}\n{second.output}",
                seconds=RECOVER_SECONDS,
            )

            first.kill()
            row = web.enqueue("time.sleep", 0)
            is_queued = f"from buildboard.core.enqueue import is_queued; print(is_queued({row}))"
            second.wait_for(
                lambda: web.run(is_queued).strip() == "False", what="a task", seconds=RECOVER_SECONDS
            )
            assert web.status("/readyz") == 200
            assert second.stop() == 0
            web.wait_for(lambda: web.status("/readyz") == 503, what="not ready", seconds=RECOVER_SECONDS)
            assert web.stop() == 0
            assert web.lines[-1] == "Stopped."
        finally:
            for board in boards:
                board.end()
