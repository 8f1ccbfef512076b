"""From the POST of a submission to the first instruction of its build, checkout included."""

import sqlite3
import subprocess
import time
from pathlib import Path

from bench.measure import Figure, Setting, ended_at, repeat, show, wait_for_file
from tests.repositories import make_repository
from tests.whole_board import WholeBoard

JOBS = 100
STAMP = 'date +%s.%N >"$STAMP.part"; mv "$STAMP.part" "$STAMP"'


def run(setting: Setting) -> None:
    """Print p50 and p95 over 100 jobs, one after the other, on a warm board."""
    folder = setting.folder
    with WholeBoard(folder, database_url=setting.database_url).running() as board:
        repository = make_repository(folder / "demo", {"README": "x\n"})
        one_build(board, repository, folder / "warm")
        seconds = [
            one_build(board, repository, folder / f"stamp-{number}") for number in range(setting.times(JOBS))
        ]
    print("submit to the first instruction of the build (git checkout in between)")
    show(
        Figure("through the board", seconds),
        beside=[
            repeat("a bare child process: sh -c true", _bare_child, times=JOBS),
            repeat("git clone --shared of the same repository", lambda: _clone(repository, folder), times=20),
            _commits(folder),
        ],
    )


def one_build(board: WholeBoard, repository: Path, stamp: Path) -> float:
    """Submit a build and wait for its end; the seconds until its first instruction, which makes the file `stamp`."""
    begin = time.time()
    job_id = board.submit(repository, build_command=STAMP, environment={"STAMP": str(stamp)})
    wait_for_file(stamp)
    ended_at(board, job_id)
    return float(stamp.read_text()) - begin


def _bare_child() -> None:
    subprocess.run(["sh", "-c", "true"], check=True)


def _clone(repository: Path, folder: Path) -> None:
    place = folder / "clone"
    subprocess.run(["git", "clone", "-q", "--shared", str(repository), str(place)], check=True)
    subprocess.run(["rm", "-rf", str(place)], check=True)


def _commits(folder: Path) -> Figure:
    database = sqlite3.connect(folder / "commits.sqlite3", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE rows (value TEXT)")
    figure = repeat("one SQLite commit (WAL, synchronous=FULL)", lambda: _insert(database), times=JOBS)
    database.close()
    return figure


def _insert(database: sqlite3.Connection) -> None:
    database.execute("INSERT INTO rows VALUES (?)", ("x" * 500,))
