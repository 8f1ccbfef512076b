"""`web` and `worker` apart, as on several machines that share PostgreSQL."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.boards import RECOVER_SECONDS, RunningBoard, wait_until
from tests.requirements import require
from tests.services import postgres_url

# The boards here have a database of their own.
pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.sqlite_only]


@contextmanager
def fresh_database(name: str) -> Iterator[str]:
    """The address of a database of its own in the tests' server."""
    require("postgres")
    server = postgres_url()
    identifier = sql.Identifier(name)
    with psycopg.connect(server, autocommit=True) as postgres:
        postgres.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        try:
            yield server.rpartition("/")[0] + f"/{name}"
        finally:
            postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def test_halves_find_each_other_through_the_database_and_outlive_one_machine() -> None:
    with (
        fresh_database(f"halves_{os.getpid()}") as url,
        tempfile.TemporaryDirectory(prefix="bb-halves-") as folder,
    ):
        shared = {"DATABASE_URL": url, "REDIS_URL": "", "BUILDBOARD_SECRET_KEY": "shared" * 10}

        def start(name: str, verb: str) -> RunningBoard:
            return RunningBoard(Path(folder, name), verb=verb, extra={**shared, "BUILDBOARD_MACHINE": name})

        boards = [start("first", "worker"), start("second", "worker"), start("third", "web")]
        first, second, web = boards
        try:
            web.wait_ready()
            machines = (
                "from buildboard.core.models import Heartbeat\n"
                "rows = Heartbeat.objects.filter(name='runner').order_by('machine')\n"
                "print(*rows.values_list('machine', flat=True))"
            )
            wait_until(
                lambda: web.run(machines).split() == ["first", "second"],
                within_seconds=RECOVER_SECONDS,
                what=f"two runners\n{first.output}\n{second.output}",
            )

            for process in first.processes():
                process.kill()
            row = web.enqueue("time.sleep", 0)
            is_queued = f"from buildboard.core.enqueue import is_queued; print(is_queued({row}))"
            wait_until(
                lambda: web.run(is_queued).strip() == "False",
                within_seconds=RECOVER_SECONDS,
                what=second.output,
            )
            assert web.status("/readyz") == 200
            assert second.stop() == 0
            wait_until(lambda: web.status("/readyz") == 503, within_seconds=RECOVER_SECONDS, what="not ready")
            assert web.stop() == 0
            assert web.lines[-1] == "Stopped."
        finally:
            for board in boards:
                board.kill_all()
