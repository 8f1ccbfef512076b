"""A whole board for tests: the real `up` with a data dir, a home and a port of its own, and its processes to kill."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.services import free_port

ROOT = Path(__file__).parent.parent
READY_SECONDS = 60.0
_TOKEN = re.compile(r"bb_[0-9a-f]{32}_[A-Za-z0-9_-]+")


class WholeBoard:
    """One board in `folder`. `start` waits until it is ready; `kill` and `stop` leave nothing of it."""

    def __init__(self, folder: Path, *, database_url: str = "", arguments: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.token = ""
        self._arguments = arguments
        self._up: subprocess.Popen[bytes] | None = None
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BUILDBOARD_")},
            "BUILDBOARD_DATA_DIR": str(self.data_dir),
            "BUILDBOARD_LOCAL_REPOSITORIES": str(folder),
            "HOME": str(self.home),
        }
        self._environment.pop("DATABASE_URL", None)
        if database_url:
            self._environment["DATABASE_URL"] = database_url

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """What `up` printed, over all starts."""
        return (self.folder / "up.log").read_text()

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        with (self.folder / "up.log").open("ab") as output:
            printed = output.tell()
            self._up = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "up", "--port", str(self.port), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=ROOT,
                start_new_session=True,
            )
        self.wait_for(
            lambda: "Ready:" in self.output[printed:], what="the board is ready", seconds=READY_SECONDS
        )
        found = _TOKEN.search(self.output)
        if found and not self.token:
            self.token = found.group()

    def processes(self) -> list[psutil.Process]:
        """Every process of this board, builds not among them: those see nothing of its environment."""
        wanted = str(self.data_dir)
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("BUILDBOARD_DATA_DIR") == wanted and process.status() != "zombie":
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def kill(self) -> None:
        """End every process of it at once with -9, as a power cut would; builds go on."""
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if self._up is not None:
            self._up.wait(10)
        self.wait_for(lambda: not self.processes(), what="every process is gone", seconds=10)

    def stop(self, number: int = signal.SIGTERM, *, seconds: float = 15.0) -> int:
        """Stop it as an administrator does; the exit code of `up`."""
        assert self._up is not None
        self._up.send_signal(number)
        return self._up.wait(seconds)

    def manage(self, *words: str) -> str:
        """Run one management command of this board; what it printed."""
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        done = subprocess.run(
            command, env=self._environment, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One call of the JSON API with the first token. Raises HTTPError."""
        request = urllib.request.Request(  # noqa: S310  # loopback
            f"{self.url}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  # loopback
            content = answer.read()
            return json.loads(content) if "json" in answer.headers["Content-Type"] else content

    def submit(self, repository: Path, **fields: object) -> str:
        """Submit a build for this machine; the job's id."""
        given = {"source_repository": str(repository), "target_architecture": os.uname().machine, **fields}
        return str(self.call("POST", "/infrastructure/build-jobs", given)["id"])

    def job(self, job_id: str) -> Any:
        """The job as the API shows it."""
        return self.call("GET", f"/infrastructure/build-jobs/{job_id}")

    def log(self, job_id: str) -> bytes:
        """The exact bytes of the log of the last attempt."""
        return bytes(self.call("GET", f"/infrastructure/build-jobs/{job_id}/logs/raw"))

    def wait_until_finished(self, job_id: str, *, seconds: float = 120.0) -> Any:
        """The finished job; the board may be away meanwhile."""

        def is_finished() -> bool:
            try:
                return self.job(job_id)["status"] in {"completed", "failed", "cancelled"}
            except (OSError, urllib.error.HTTPError):
                return False

        self.wait_for(is_finished, what=f"job {job_id} finished", seconds=seconds)
        return self.job(job_id)

    def wait_for(self, condition: Callable[[], object], *, what: str, seconds: float) -> None:
        """Look until it holds; fails with what the board printed."""
        deadline = time.monotonic() + seconds
        while not condition():
            ended = self._up is not None and self._up.poll() not in {None, 0, -9}
            assert not ended, f"up ended with {self._up and self._up.returncode}:\n{self.output[-3000:]}"
            assert time.monotonic() < deadline, f"timed out: {what}\n{self.output[-3000:]}"
            time.sleep(0.05)


def processes_of_builds(home: Path) -> list[str]:
    """Command lines of what still runs of any build whose work dir is in `home`."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get("BUILDBOARD_HOME", "").startswith(str(home))
                and process.status() != "zombie"
            ):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
