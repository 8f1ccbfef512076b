"""Which workers are in a task now: one small file a worker, in a folder of its cluster.

Workers write them, the supervisor reads them, so it can tell a cluster that works from one that is deaf, and
knows at once, without the database, which process the runner is and what a killed worker held.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from buildboard.core.machine import is_same_process, process_identity

FOLDER_VARIABLE = "BUILDBOARD_BUSY_FOLDER"


@dataclass(frozen=True)
class BusyWorker:
    """A worker in a task: the task's row and function, and since when (by the clock all processes share)."""

    pid: int
    identity: str
    row: int
    path: str
    since: float

    @property
    def is_alive(self) -> bool:
        """Whether the worker still lives; else its task died with it."""
        return is_same_process(self.pid, self.identity)

    @property
    def age_seconds(self) -> float:
        """How long it has been in this task."""
        return time.monotonic() - self.since


def note_task(*, row: int, path: str) -> None:
    """In a worker: a task begins."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return
    pid = os.getpid()
    worker = BusyWorker(pid=pid, identity=process_identity(pid), row=row, path=path, since=time.monotonic())
    draft = Path(folder, f".{pid}")
    try:
        draft.write_text(json.dumps(asdict(worker)))
        draft.rename(Path(folder, str(pid)))
    except OSError:  # a full disk must not keep tasks from running
        return


def has_task() -> bool:
    """In a worker: whether it is in a task, as far as it could be noted."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return bool(folder) and Path(str(folder), str(os.getpid())).exists()


def note_end() -> None:
    """In a worker: its task is over."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder:
        Path(folder, str(os.getpid())).unlink(missing_ok=True)


def busy_workers(folder: Path) -> list[BusyWorker]:
    """All workers of a cluster that began a task and did not end it, dead ones included."""
    found = []
    for path in sorted(folder.glob("[0-9]*")):
        try:
            found.append(BusyWorker(**json.loads(path.read_text())))
        except (OSError, ValueError, TypeError):  # just gone
            continue
    return found


def forget_worker(folder: Path, worker: BusyWorker) -> None:
    """Drop the note of a dead worker."""
    Path(folder, str(worker.pid)).unlink(missing_ok=True)


def forget_all(folder: Path) -> None:
    """Make the folder (0700, its parent too) if need be, and empty it: its cluster is dead."""
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.iterdir():
        path.unlink(missing_ok=True)
