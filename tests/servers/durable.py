"""A work dir with a real helper and real builds, for tests of the durable run; it asserts nothing itself."""

import contextlib
import os
import secrets
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from servers.frames import PollEntry, RunLimits, RunState
from servers.local import LocalTransport
from servers.runs import RunClient
from tests.waiting import wait_for

SHELLS: dict[str, tuple[str, ...]] = {
    "dash": ("dash",),
    "busybox": ("busybox", "ash"),
    "bash": ("bash", "--posix"),
    "mksh": ("mksh",),
    "yash": ("yash",),
}


class Durable:
    """One server of this machine: its folder, its client, and a look at what runs."""

    def __init__(
        self, root: Path, *, shell: Sequence[str] = ("sh",), environment: Mapping[str, str] | None = None
    ) -> None:
        self.root = root
        self.shell = tuple(shell)
        self.transport = LocalTransport(root, shell=shell, environment=environment)
        self.client = RunClient(self.transport)

    def start(
        self,
        script: str | bytes,
        *,
        environment: Mapping[str, str] | None = None,
        limits: RunLimits | None = None,
    ) -> str:
        """Submit a new attempt; its id."""
        attempt = str(uuid4())
        text = script.encode() if isinstance(script, str) else script
        outcome = self.client.submit(
            attempt, script=text, environment=environment or {}, limits=limits or RunLimits(grace_seconds=1)
        )
        assert not outcome.already
        return attempt

    def look(self, attempt: str, *, offset: int = 0) -> PollEntry:
        """The attempt now."""
        return self.client.poll([(attempt, offset)])[0]

    def finish(self, attempt: str, *, seconds: float = 30) -> PollEntry:
        """The attempt once it is done, with its first MiB of log."""

        def done() -> PollEntry | None:
            entry = self.look(attempt)
            return entry if entry.state == RunState.DONE else None

        entry = wait_for(done, seconds=seconds)
        assert entry is not None
        return entry

    def read(self, attempt: str, *, seconds: float = 60) -> bytes:
        """The whole log, followed to its end as a controller does."""
        log = b""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            entry = self.look(attempt, offset=len(log))
            log += entry.data
            if entry.state == RunState.DONE and len(log) == entry.size:
                return log
        raise AssertionError("the log never ended")

    def job(self, attempt: str) -> Path:
        """The attempt's folder."""
        return self.root / "jobs" / attempt

    def pid(self, attempt: str, record: str) -> int:
        """The process that a record names."""
        path = self.job(attempt) / record
        wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
        return int(path.read_text().split()[0])

    def wait_settled(self, attempt: str) -> None:
        """Until all processes of a start are there and the build has begun to talk."""
        wait_for(lambda: self.look(attempt).data)
        for record in ("runner", "build", "logger", "watch"):
            self.pid(attempt, record)

    def starts(self, attempt: str) -> int:
        """How often it really started."""
        return len((self.job(attempt) / "starts").read_text().splitlines())

    def ask(self, operation: str, *words: str, stdin: bytes = b"") -> tuple[str, int]:
        """The body and status of an operation that the client has no method for."""
        nonce = secrets.token_hex(4)
        done = self.transport.run([operation, nonce, *words], stdin=stdin, timeout_seconds=30)
        head, tail = f"BB1 {nonce}\n", f"BBEND {nonce} {done.exit_code}\n"
        text = done.stdout.decode()
        assert text.startswith(head), (done, text)
        assert text.endswith(tail), (done, text)
        return text[len(head) : -len(tail)], done.exit_code

    def processes(self) -> list[int]:
        """Every living process that was started by way of this folder."""
        needle = str(self.root).encode()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                told = (path / "environ").read_bytes() + (path / "cmdline").read_bytes()
                if needle in told and state not in "ZX":
                    found.append(int(path.name))
        return sorted(found)

    def wait_empty(self) -> None:
        """Until nothing of this folder runs."""
        wait_for(lambda: not self.processes())

    def clear(self) -> None:
        """Kill what a failed test left, and delete the folder."""
        for _ in range(20):
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not self.processes():
                break
            time.sleep(0.05)
        shutil.rmtree(self.root, ignore_errors=True)


def kill(*pids: int) -> None:
    """kill -9, as far as they still live."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"
