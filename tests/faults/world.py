"""A whole board with real sshd servers behind it, builds of numbered lines, and what must be true of each at the end.

It is not in charge of what breaks meanwhile: the tests are.
"""

import contextlib
import os
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psutil
import psycopg

from buildboard.supervisor.busy import busy_workers
from tests.repositories import make_repository
from tests.requirements import require
from tests.services import fresh_database
from tests.ssh_servers import SshServer
from tests.waiting import wait_for
from tests.whole_board import WholeBoard

ONLINE_SECONDS = 60.0
CLEAN_SECONDS = 90.0
LINE = " numbered line of the build"
# The server itself keeps count of what really began there.
SCRIPT = """
echo "$BUILDBOARD_JOB_ID $BUILDBOARD_ATTEMPT" >>"$HOME/starts"
i=0
while [ "$i" -lt "$ROUNDS" ]; do
    seq $((i * 1000 + 1)) $(((i + 1) * 1000)) | sed 's/$/ numbered line of the build/'
    i=$((i + 1))
    sleep "$PAUSE"
done
exit "$CODE"
"""


def numbered_lines(rounds: int) -> bytes:
    """All that a whole build prints."""
    return "".join(f"{number}{LINE}\n" for number in range(1, rounds * 1000 + 1)).encode()


def body_of(log: bytes) -> bytes:
    """What the build itself printed: neither the checkout before nor the board's line behind."""
    begin, end = log.find(f"1{LINE}\n".encode()), log.rfind(b"--- finished")
    return log[begin : end if end >= 0 else len(log)] if begin >= 0 else b""


@dataclass(frozen=True)
class Server:
    """A real sshd and its row."""

    sshd: SshServer
    id: str
    name: str
    root: Path

    @property
    def runs(self) -> list[str]:
        """The folders of attempts that are there."""
        jobs = self.root / "jobs"
        return sorted(path.name for path in jobs.iterdir()) if jobs.is_dir() else []

    @property
    def starts(self) -> list[tuple[str, str]]:
        """Job and attempt of everything that began here, in order; each build says so itself."""
        path = self.sshd.home / "starts"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines]

    def attempt_of(self, job_id: str) -> str:
        """The attempt of a job that began here."""
        return wait_for(lambda: dict(self.starts).get(job_id, ""), what="the build began", seconds=60)

    def folder_of(self, job_id: str) -> Path:
        """Where the attempt of a job lies that began here."""
        return self.root / "jobs" / self.attempt_of(job_id)


class World(ExitStack):
    """`with World(folder) as world:` is a board that is ready, with a repository and no servers yet.

    `settings` are environment variables of the board.
    """

    def __init__(self, folder: Path, *, settings: dict[str, str] | None = None) -> None:
        super().__init__()
        self.folder = folder
        self._settings = settings
        folder.mkdir(parents=True, exist_ok=True)
        self.repository = make_repository(folder / "demo", {"README": "x\n"})

    def __enter__(self) -> Self:
        super().__enter__()
        with contextlib.ExitStack() as undo:
            undo.push(self)
            self.database_url = self.enter_context(own_database())
            board = WholeBoard(
                self.folder, "--no-local-server", database_url=self.database_url, extra=self._settings
            )
            self.board = self.enter_context(board.running())
            undo.pop_all()
        return self

    # ---- servers ----------------------------------------------------------------------------------------

    def add_servers(self, count: int, **settings: str) -> list[Server]:
        """So many servers of eight slots, registered and online."""
        require("sshd")
        sshds = [self.enter_context(SshServer(settings=settings)) for _ in range(count)]
        servers = [self.register(sshd) for sshd in sshds]
        for server in servers:
            self.wait_online(server)
        return servers

    def register(self, sshd: SshServer, **fields: object) -> Server:
        """Tell the board of a server, its host key given; it need not be reached yet."""
        given: dict[str, Any] = {
            "name": f"server-{uuid.uuid4().hex[:8]}",
            "hostname": sshd.hostname,
            "ssh_port": sshd.port,
            "ssh_username": sshd.username,
            "private_key": sshd.private_key,
            "host_key": sshd.host_key_line,
            "max_concurrent_builds": 8,
            # The machine of the tests is busy, and its disk may be full enough.
            "utilization_limits": {"cpu_percent": 100, "memory_percent": 100, "storage_percent": 100},
            **fields,
        }
        row = self.board.call("POST", "/infrastructure/build-servers", given)
        root = Path(str(fields.get("work_dir") or sshd.home / ".buildboard"))
        return Server(sshd, row["id"], row["name"], root)

    def row(self, server: Server) -> Any:
        """The server as the API shows it."""
        return self.board.call("GET", f"/infrastructure/build-servers/{server.id}")

    def wait_status(self, server: Server, *statuses: str, seconds: float = ONLINE_SECONDS) -> Any:
        """The server, once it is one of these."""

        def look() -> Any:
            row = self.row(server)
            return row if row["status"] in statuses else None

        what = f"{server.name} is {statuses}"
        return self.board.wait_for(look, what=what, seconds=seconds)

    def wait_online(self, server: Server) -> None:
        """Until it takes builds."""
        self.wait_status(server, "online", "degraded")

    def probe(self, server: Server) -> None:
        """Have the board look now."""
        self.board.call("POST", f"/infrastructure/build-servers/{server.id}/probe")

    # ---- builds -----------------------------------------------------------------------------------------

    def submit(
        self,
        server: Server,
        *,
        rounds: int,
        pause: float = 0.2,
        code: int = 7,
        script: str = SCRIPT,
        **fields: object,
    ) -> str:
        """A build of `rounds` thousand numbered lines for this server; the job's id."""
        environment = {"ROUNDS": str(rounds), "PAUSE": str(pause), "CODE": str(code)}
        return self.board.submit(
            self.repository,
            server_id=server.name,
            build_command=script,
            environment=environment,
            timeout_seconds=fields.pop("timeout_seconds", 3600),
            max_attempts=1,
            **fields,
        )

    def wait_lines(self, job_id: str, *, more_than: int = 0, seconds: float = 60.0) -> int:
        """Until the board has stored more bytes of its log than these; how many it has."""

        def look() -> int:
            size = self.log_size(job_id)
            return size if size > more_than else 0

        return self.board.wait_for(look, what=f"more of the log of {job_id}", seconds=seconds)

    def wait_building(self, job_id: str) -> None:
        """Until the board has seen its own command begin."""
        sql = "SELECT phase, status FROM jobs_attempt WHERE job_id = %s"
        last: list[object] = []

        def look() -> bool:
            last[:] = self.query(sql, self.key(job_id))
            return last == [("building", "running")]

        wait_for(look, what=lambda: f"{job_id} builds, but {last}: {self.events(job_id)}", seconds=60)

    def log_size(self, job_id: str) -> int:
        """Bytes of its last attempt's log that are stored now."""
        rows = self.query(
            "SELECT log_size FROM jobs_attempt WHERE job_id = %s ORDER BY number DESC", self.key(job_id)
        )
        return int(rows[0][0]) if rows else 0

    def events(self, job_id: str) -> list[Any]:
        """The timeline of a job."""
        return list(self.board.call("GET", f"/infrastructure/build-jobs/{job_id}/events"))

    def server_events(self, server: Server) -> list[tuple[str, str]]:
        """Kind and reason of what happened to a server, in order."""
        sql = "SELECT kind, reason FROM core_event WHERE subject_type = 'server' AND subject_id = %s"
        return [
            (str(kind), str(reason)) for kind, reason in self.query(f"{sql} ORDER BY sequence", server.id)
        ]

    # ---- what must be true ------------------------------------------------------------------------------

    def assert_whole(self, job_id: str, server: Server, *, rounds: int, code: int = 7) -> Any:
        """It ran to its end, once, and not a byte of its log is lost or repeated."""
        job = self.board.wait_until_finished(job_id, seconds=240)
        ended = (job["status"], job["exit_code"], job["error_category"])
        wanted = ("completed", 0, None) if code == 0 else ("failed", code, "exit_code")
        assert ended == wanted, (job, self.events(job_id))
        assert body_of(self.board.log(job_id)) == numbered_lines(rounds)
        self.assert_one_start(job_id, server)
        return job

    def assert_one_start(self, job_id: str, server: Server) -> None:
        """The server itself saw it begin once, and the board knows of one attempt."""
        assert [job for job, _ in server.starts if job == job_id] == [job_id]
        assert self.board.job(job_id)["attempts"] == 1

    def assert_nothing_left(self, *servers: Server) -> None:
        """No process and no folder of a build is on these servers, and no slot of theirs is taken."""
        held = "SELECT COUNT(*) FROM servers_slot WHERE holder IS NOT NULL AND server_id = %s"
        for server in servers:
            self._wait_empty(server)
            assert self.row(server)["active_build_count"] == 0
            assert self.query(held, self.key(server.id))[0][0] == 0

    def _wait_empty(self, server: Server) -> None:
        self.board.wait_for(lambda: not server.runs, what="the folders go", seconds=CLEAN_SECONDS)
        # Between two questions of the board there is a moment without any process of the account.
        wait_for(
            lambda: not server.sshd.processes(), what=lambda: f"nothing runs: {told(server.sshd.processes())}"
        )

    # ---- processes of the board -------------------------------------------------------------------------

    def runner(self) -> psutil.Process:
        """The process that follows the builds now."""

        def look() -> psutil.Process | None:
            for worker in busy_workers(self.board.data_dir / "busy" / "runner"):
                with contextlib.suppress(psutil.NoSuchProcess):
                    return psutil.Process(worker.pid)
            return None

        found = self.board.wait_for(look, what="a runner", seconds=60)
        assert found is not None
        return found

    # ---- database ---------------------------------------------------------------------------------------

    @property
    def is_postgres(self) -> bool:
        """Which of the two databases it is on."""
        return bool(self.database_url)

    def key(self, identifier: str) -> object:
        """An id as its column holds it."""
        return uuid.UUID(identifier) if self.is_postgres else uuid.UUID(identifier).hex

    def query(self, sql: str, *values: object) -> Sequence[tuple[Any, ...]]:
        """Rows, by SQL with `%s`."""
        if self.is_postgres:
            with psycopg.connect(self.database_url) as postgres:
                return postgres.execute(sql.encode(), values).fetchall()
        path = self.board.data_dir / "buildboard.sqlite3"
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=20)) as database:
            return database.execute(sql.replace("%s", "?").replace("%%", "%"), values).fetchall()


@contextmanager
def own_database() -> Iterator[str]:
    """The address of a database that nobody else uses; empty for the data dir's own SQLite file."""
    is_postgres = os.environ.get("DATABASE_URL", "").startswith("postgres")
    with fresh_database(f"faults_{uuid.uuid4().hex}") if is_postgres else nullcontext("") as url:
        yield url


def told(pids: Sequence[int]) -> list[str]:
    """Their command lines, to be read by people."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(f"{pid} {' '.join(psutil.Process(pid).cmdline())}")
    return found


def run_tool(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """What a tool of this machine says; it must succeed."""
    return subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
