"""The run of the tests on PostgreSQL leaves nothing behind, however it ends."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.boards import ROOT, living_processes
from tests.on_postgres import ENDINGS
from tests.requirements import require
from tests.waiting import WAIT_SECONDS, wait_for

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

WAITING_TEST = """
import os, pathlib, time, pytest

@pytest.fixture
def folder():
    folder = pathlib.Path(__file__).parent
    yield folder
    (folder / "cleaned").touch()

@pytest.mark.both_databases
def test_that_waits(folder):
    (folder / "begun").write_text(os.environ["DATABASE_URL"])
    time.sleep(120)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """For all temporary files of the run; the account of PostgreSQL may enter, which pytest's own folders forbid."""
    with tempfile.TemporaryDirectory(prefix="bb-run-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_interrupted_run_stops_its_tests_and_its_postgres(folder: Path, ending: signal.Signals) -> None:
    require("postgres")
    begun = folder / "begun"
    (folder / "test_waiting.py").write_text(WAITING_TEST)
    given = [str(folder / "test_waiting.py"), f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml")]
    environment = {**os.environ, "BUILDBOARD_TEST_POSTGRES_URL": "", "TMPDIR": str(folder)}
    environment["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.on_postgres", *given], cwd=ROOT, env=environment
    ) as run:
        try:
            wait_for(begun.exists, what=lambda: f"the test waits; the run ended with {run.poll()}")
            run.send_signal(ending)

            assert run.wait(WAIT_SECONDS) == 128 + ending
        finally:
            run.kill()

    assert (folder / "cleaned").exists()
    assert list(folder.glob("bb-*")) == []
    assert living_processes("TMPDIR", lambda value: value == str(folder)) == []
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(folder) in command] == []
