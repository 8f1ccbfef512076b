"""Real boards for tests: each with its own data dir, home and port, found and killed process by process.

It is not in charge of their API (whole_board.py) or of what the tests assert.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self, TypeVar

import psutil

from tests.migrated import give_tables
from tests.waiting import wait_for

T = TypeVar("T")
ROOT = Path(__file__).parent.parent
QUICK_TOOLS = ROOT / "tests" / "quick_tools"
START_SECONDS = 60.0
RECOVER_SECONDS = 60.0
STOP_SECONDS = 30.0
_SHOWN = 3000


def living_processes(variable: str, is_wanted: Callable[[str], bool]) -> list[psutil.Process]:
    """Every process, zombies left out, with a wanted value in this variable of its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if is_wanted(process.environ().get(variable, "")) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def processes_of_builds(home: Path) -> list[psutil.Process]:
    """What still runs of any build of the board with this home: its runner, watchdog and logger too."""
    return living_processes("BUILDBOARD_HOME", lambda value: Path(value).is_relative_to(home))


class RunningBoard:
    """One `manage.py up` (or `web`, `worker`) with all that it starts; its data dir and home are in `folder`.

    On SQLite and without Redis unless `extra` says otherwise. It may be killed and started again. Its tables are there
    from the beginning, unless it is `bare`.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        verb: str = "up",
        port: int = 0,
        extra: dict[str, str] | None = None,
        bare: bool = False,
    ) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self._print = folder / "printed"
        self._print.touch()
        self._begin = 0
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        where = [] if verb == "worker" else ["--port", str(port)]
        self._command = [sys.executable, "manage.py", verb, *where, *arguments]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BUILDBOARD_")},
            "BUILDBOARD_DATA_DIR": str(self.data_dir),
            "DATABASE_URL": "",
            "DJANGO_SETTINGS_MODULE": "buildboard.settings",
            "HOME": str(self.home),
            "PATH": f"{QUICK_TOOLS}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": "",
            **(extra or {}),
        }
        self._is_bare = bare or bool(self.environment["DATABASE_URL"])

    def launch(self) -> None:
        """Start it and return at once."""
        if not self._is_bare:
            give_tables(self.data_dir)
        with self._print.open("ab") as output:
            self._begin = output.tell()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                cwd=ROOT,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        self.wait_ready()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """The board, ready; at the end it and its builds are killed."""
        try:
            self.start()
            yield self
        finally:
            self.end()

    def wait_ready(self) -> None:
        """Until it prints its address."""
        self.wait_for(self._ready_line, what="ready", seconds=START_SECONDS)

    def wait_for(self, look: Callable[[], T], *, what: str, seconds: float) -> T:
        """What `look` answers once that is true; fails with what the board printed, at once if it broke down."""

        def look_again() -> T:
            ended = self.process.poll()
            assert ended in {None, 0, -signal.SIGKILL}, f"it ended with {ended}\n{self.output[-_SHOWN:]}"
            return look()

        return wait_for(look_again, what=lambda: f"{what}\n{self.output[-_SHOWN:]}", seconds=seconds)

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The one that was started last: the supervisor."""
        assert self._process is not None, "it was not started yet"
        return self._process

    @property
    def output(self) -> str:
        """All that it printed since it was started last."""
        return self._print.read_bytes()[self._begin :].decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        """The same line by line."""
        return [line.rstrip() for line in self.output.splitlines()]

    def _ready_line(self) -> str:
        return next((line for line in self.lines if "Ready: " in line), "")

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port or int(self._ready_line().rstrip("/").rpartition(":")[2])

    def status(self, path: str) -> int:
        """The status of a GET; 0 when nobody answers."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=20)
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
        return living_processes("BUILDBOARD_DATA_DIR", lambda value: value == str(self.data_dir))

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

    def wait_until_replaced(self, word: str, leader: psutil.Process) -> None:
        """Until the web process or a cluster has another first process."""

        def is_another() -> bool:
            with suppress(psutil.NoSuchProcess, StopIteration):
                return self.leader(word) != leader
            return False

        self.wait_for(is_another, what=f"another {word}", seconds=RECOVER_SECONDS)

    # ---- database ---------------------------------------------------------------------------------------

    def query(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Rows of its SQLite file."""
        with closing(sqlite3.connect(self.data_dir / "buildboard.sqlite3", timeout=20)) as database:
            return database.execute(sql, values).fetchall()

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Its SQLite file goes by another name meanwhile; for a board without workers, which would hold it open."""
        file = self.data_dir / "buildboard.sqlite3"
        away = file.rename(file.with_suffix(".away"))
        try:
            yield
        finally:
            away.rename(file)

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

    def assert_nothing_left(self, *, within_seconds: float = 5.0) -> None:
        """No process of the board lives."""
        wait_for(
            lambda: not self.processes(),
            what=lambda: f"nothing left of {[process.cmdline() for process in self.processes()]}",
            seconds=within_seconds,
        )

    def kill(self) -> None:
        """End every process of it at once with -9, as a power cut would; builds go on."""
        if self._process is not None:
            wait_for(self._kill_what_lives, what="every process is gone", seconds=RECOVER_SECONDS)

    def end(self) -> None:
        """End it and its builds for good: nothing writes to its folder any more."""
        self.kill()
        wait_for(self._kill_builds, what="every build is gone", seconds=RECOVER_SECONDS)

    def _kill_builds(self) -> bool:
        """Whether none lived, at two looks: between being listed and looked at, one may fork and end."""
        living = [process for _ in range(2) for process in processes_of_builds(self.home)]
        for process in living:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return not living

    def _kill_what_lives(self) -> bool:
        living = self.processes()
        for process in living:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait()
        return not living


@contextmanager
def running_board(
    *arguments: str, extra: dict[str, str] | None = None, bare: bool = False
) -> Iterator[RunningBoard]:
    """A board that is ready; at the end it, its builds and its folder are gone."""
    with (
        tempfile.TemporaryDirectory(prefix="bb-up-") as folder,
        RunningBoard(Path(folder), *arguments, extra=extra, bare=bare).running() as board,
    ):
        yield board
