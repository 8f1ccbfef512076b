"""What only the database tells the supervisor: a cluster that is deaf, a runner that is gone.

It looks in a thread of its own, so a database that hangs never holds up the supervisor. It is not in charge
of starting and ending processes (board.py), but for the one runner that hangs.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from django.db import DatabaseError, InterfaceError, connections

from buildboard.core.enqueue import (
    drop_addressed,
    enqueue,
    free_row,
    free_rows,
    is_queued,
    task_timeout_seconds,
)
from buildboard.core.heartbeat import Beat, last_beat
from buildboard.core.machine import machine_id
from buildboard.supervisor.busy import BusyWorker, busy_workers, forget_worker
from servers.leases import release_leases

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
PING_SECONDS = 5.0
DEAF_SECONDS = 20.0
RUNNER_DEAD_SECONDS = 10.0
RUNNER_START_SECONDS = 10.0
# A task whose worker was killed starts again after this: a deadly one must not spin.
REDELIVER_SECONDS = 5.0
PING = "buildboard.core.tasks.ping"
RUN_BUILDS = "jobs.tasks.run_builds"


class ClusterEar:
    """Whether one cluster of this machine still takes tasks: its pings come back.

    A ping counts as back when its row is gone, so each of pusher, worker and monitor had to do its part.
    """

    def __init__(self, cluster: str, *, busy_folder: Path) -> None:
        self.cluster = cluster
        self.is_deaf = False
        self.was_restarted = True
        self._busy_folder = busy_folder
        self._timeout_seconds = task_timeout_seconds(cluster)
        self._row = 0
        self._asked_at = 0.0
        self.began_at = self.answered_at = time.monotonic()

    def open_tasks(self) -> list[BusyWorker]:
        """Workers that are in a task and within its time."""
        return [
            worker
            for worker in busy_workers(self._busy_folder)
            if worker.is_alive and worker.age_seconds < self._timeout_seconds
        ]

    def look(self) -> None:
        """Send the next ping, and see whether the last one came back. Raises DatabaseError."""
        now = time.monotonic()
        if self.was_restarted:
            self._begin_again(now)
        self._free_tasks_of_the_dead()
        if self._row and not is_queued(self._row):
            self._row = 0
            self.answered_at = now
        if self.open_tasks():
            self.answered_at = now
        if not self._row and now - self._asked_at >= PING_SECONDS:
            self._row = enqueue(PING, self.cluster, cluster=self.cluster, machine=machine_id())
            self._asked_at = now
        self.is_deaf = bool(self._row) and now - self.answered_at > DEAF_SECONDS

    def _begin_again(self, now: float) -> None:
        """Its processes are new: free what the old ones held."""
        self.is_deaf = False
        self.was_restarted = False  # before the rest: it may be restarted again meanwhile
        try:
            for path in (PING, RUN_BUILDS):
                drop_addressed(self.cluster, machine=machine_id(), path=path)
            free_rows(self.cluster, machine=machine_id())
        except (DatabaseError, InterfaceError):
            self.was_restarted = True
            raise
        self._row = 0
        self._asked_at = 0.0
        self.began_at = self.answered_at = now

    def _free_tasks_of_the_dead(self) -> None:
        for worker in busy_workers(self._busy_folder):
            if not worker.is_alive:
                free_row(worker.row, delay_seconds=REDELIVER_SECONDS)
                forget_worker(self._busy_folder, worker)


class RunnerWatch:
    """Sees to it that this machine has one live runner."""

    def __init__(self, ear: ClusterEar) -> None:
        self._ear = ear
        self._asked_at = -RUNNER_START_SECONDS

    def look(self, *, seen_for_seconds: float) -> None:
        """Enqueue a runner when there is none, after taking the leases of one that is gone.

        A heartbeat counts as old only when the database was in reach for that long: a runner that could not
        write is not dead. Raises DatabaseError.
        """
        found = last_beat("runner", machine=machine_id())
        if found is not None and found.has_process:
            old_seconds = min(found.age_seconds, seen_for_seconds)
            if old_seconds <= RUNNER_DEAD_SECONDS:
                self._asked_at = -RUNNER_START_SECONDS
                return
        was_asked = self._asked_at > self._ear.began_at  # an earlier cluster's call was dropped with it
        if was_asked and time.monotonic() - self._asked_at < RUNNER_START_SECONDS:
            return
        if found is not None:
            self._end(found)
        drop_addressed("runner", machine=machine_id(), path=RUN_BUILDS)
        enqueue(RUN_BUILDS, cluster="runner", machine=machine_id())
        self._asked_at = time.monotonic()

    def _end(self, found: Beat) -> None:
        """Kill a runner that hangs, and free the servers that it followed."""
        hung = [worker.pid for worker in self._ear.open_tasks() if worker.path == RUN_BUILDS]
        if found.has_process and found.pid in hung:
            logger.error("The runner (process %s) hangs and is killed; builds go on", found.pid)
            with suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGKILL)
        released = release_leases(str(found.data.get("runner", "")))
        logger.info("The runner is gone; %s servers are free for the next one", released)


class DatabaseWatch(threading.Thread):
    """Looks every second, through every outage."""

    def __init__(self, ears: Sequence[ClusterEar]) -> None:
        super().__init__(name="database-watch", daemon=True)
        self._ears = ears
        self._runner = next((RunnerWatch(ear) for ear in ears if ear.cluster == "runner"), None)
        self._stopping = threading.Event()
        self._seen_since = time.monotonic()
        self._looked_at = time.monotonic()
        self._away = False

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def run(self) -> None:
        """The thread's loop."""
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self._look()
            except (DatabaseError, InterfaceError) as error:
                self._note_outage(error)
            except Exception:  # the outermost loop of this thread
                logger.exception("The supervisor's look at the database failed")
        connections.close_all()

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at > 5 * LOOK_SECONDS:  # the machine slept, or the last look hung
            self._begin_again(now)
        for ear in self._ears:
            ear.look()
        if self._runner is not None:
            self._runner.look(seen_for_seconds=now - self._seen_since)
        self._looked_at = time.monotonic()
        if self._away:
            self._away = False
            logger.warning("The database answers again")

    def _begin_again(self, now: float) -> None:
        self._seen_since = self._looked_at = now
        for ear in self._ears:
            ear.answered_at = now

    def _note_outage(self, error: Exception) -> None:
        connections.close_all()
        if not self._away:
            self._away = True
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            logger.warning(
                "The database is away (%s); builds go on, and so does the board when it is back", reason
            )
        now = time.monotonic()
        self._begin_again(now)
