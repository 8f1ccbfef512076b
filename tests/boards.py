"""Real boards for tests: each with its own data dir and port, found and killed process by process.

It is not in charge of what the tests assert.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
RECOVER_SECONDS = 30.0
STOP_SECONDS = 10.0


def wait_until(is_so: Callable[[], object], *, within_seconds: float, what: str) -> None:
    """Poll until something is so; an AssertionError that says what was not, once the time is over."""
    until = time.monotonic() + within_seconds
    while not is_so():
        assert time.monotonic() < until, f"not within {within_seconds} s: {what}"
        time.sleep(0.1)


class RunningBoard:
    """One `manage.py up` (or `web`, `worker`), and everything that it started."""

    def __init__(
        self, data_dir: Path, *arguments: str, verb: str = "up", extra: dict[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir
        self.environment = {
            **os.environ,
            "BUILDBOARD_DATA_DIR": str(data_dir),
            "DJANGO_SETTINGS_MODULE": "buildboard.settings",
            "PYTHONPATH": str(ROOT),
            **(extra or {}),
        }
        port = [] if verb == "worker" else ["--port", "0"]
        command = [sys.executable, "manage.py", verb, *port, *arguments]
        self.process = subprocess.Popen(
            command,
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def output(self) -> str:
        """All that it printed so far."""
        return "\n".join(self.lines)

    def wait_ready(self) -> None:
        """Until it prints its address."""
        wait_until(
            lambda: self._ready_line() or self.process.poll() is not None,
            within_seconds=START_SECONDS,
            what=f"ready\n{self.output}",
        )
        assert self._ready_line(), self.output

    def _ready_line(self) -> str:
        return next((line for line in self.lines if "Ready: " in line), "")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._ready_line().rstrip("/").rpartition(":")[2])

    def status(self, path: str) -> int:
        """The status of a GET; 0 when nobody answers."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            client.request("GET", path)
            return client.getresponse().status
        except (OSError, HTTPException):
            return 0
        finally:
            client.close()

    # ---- processes --------------------------------------------------------------------------------------

    def processes(self) -> list[psutil.Process]:
        """Every process of this data dir that is not a zombie, wherever it hangs in the tree."""
        found = []
        for process in psutil.process_iter():
            try:
                is_ours = process.environ().get("BUILDBOARD_DATA_DIR") == str(self.data_dir)
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def leader(self, word: str) -> psutil.Process:
        """The first process of `web`, or of the cluster `buildboard` or `runner`."""
        children = psutil.Process(self.process.pid).children()
        wanted = ["buildboard.web"] if word == "web" else ["buildboard.supervisor.cluster", word]
        return next(child for child in children if all(part in child.cmdline() for part in wanted))

    def sentinel(self, cluster: str) -> psutil.Process:
        """The process that guards a cluster."""
        return self.leader(cluster).children()[0]

    def members(self, cluster: str) -> list[psutil.Process]:
        """Workers, monitor and pusher of a fresh cluster, in the order in which they were started."""
        return sorted(
            self.sentinel(cluster).children(), key=lambda process: (process.create_time(), process.pid)
        )

    # ---- database ---------------------------------------------------------------------------------------

    def query(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Rows of its SQLite file."""
        with closing(sqlite3.connect(self.data_dir / "buildboard.sqlite3", timeout=20)) as database:
            return database.execute(sql, values).fetchall()

    def beats_after(self, name: str, moment: str) -> bool:
        """Whether `name` gave a sign of life after a moment that `now` gave."""
        sql = "SELECT 1 FROM core_heartbeat WHERE name = ? AND beat_at > ?"
        return bool(self.query(sql, name, moment))

    def now(self) -> str:
        """The database's clock."""
        return str(self.query("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")[0][0])

    def run(self, program: str) -> str:
        """What a program prints within this board's Django."""
        return subprocess.run(
            [sys.executable, "-c", f"import django; django.setup()\n{program}"],
            env=self.environment,
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def enqueue(self, path: str, *values: object) -> int:
        """Have the short tasks' cluster run a function; the row's id."""
        call = f"from buildboard.core.enqueue import enqueue\nprint(enqueue({path!r}, *{values!r}))"
        return int(self.run(call))

    def is_queued(self, row: int) -> bool:
        """Whether a row of the queue is still there."""
        return bool(self.query("SELECT 1 FROM django_q_ormq WHERE id = ?", row))

    # ---- the end ----------------------------------------------------------------------------------------

    def stop(self, *signals: signal.Signals) -> int:
        """Signal the supervisor and wait for its end; its exit status."""
        for number in signals or [signal.SIGTERM]:
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def assert_nothing_left(self, *, within_seconds: float = 0.5) -> None:
        """No process of the board lives."""
        wait_until(
            lambda: not self.processes(),
            within_seconds=within_seconds,
            what=f"nothing left of {[process.cmdline() for process in self.processes()]}",
        )

    def kill_all(self) -> None:
        """Whatever a failed test left."""
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def running_board(*arguments: str, extra: dict[str, str] | None = None) -> Iterator[RunningBoard]:
    """A board that is ready, on SQLite unless `extra` says otherwise; killed at the end."""
    with running_boards([arguments], extra=extra) as boards:
        yield boards[0]


@contextmanager
def running_boards(
    starts: Sequence[Sequence[str]], *, extra: dict[str, str] | None = None
) -> Iterator[list[RunningBoard]]:
    """Several boards at once, one for each list of arguments."""
    with tempfile.TemporaryDirectory(prefix="bb-up-") as folder:
        values = {"DATABASE_URL": "", "REDIS_URL": "", **(extra or {})}
        boards = [
            RunningBoard(Path(folder, str(number)), *arguments, extra=values)
            for number, arguments in enumerate(starts)
        ]
        try:
            for board in boards:
                board.wait_ready()
            yield boards
        finally:
            for board in boards:
                board.kill_all()
