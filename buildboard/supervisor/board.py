"""The supervisor's loop: keeps the groups of one machine running, and ends them in order.

It is not in charge of what the database tells (watch.py) or of single processes (group.py). It lives through
an outage of the database: nothing here asks it.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from django.conf import settings

from buildboard.core.doorbell import ring
from buildboard.core.machine import MACHINE_VARIABLE, machine_id
from buildboard.supervisor import tie
from buildboard.supervisor.busy import FOLDER_VARIABLE, forget_all
from buildboard.supervisor.group import Group, Spec, collect_orphans
from buildboard.supervisor.loss import lost_member
from buildboard.supervisor.watch import RUN_BUILDS, ClusterEar, DatabaseWatch

logger = logging.getLogger(__name__)

TURN_SECONDS = 0.2
RUNNER_SECONDS = 2.5
CLUSTER_SECONDS = 3.0
WEB_SECONDS = 3.0
CLUSTERS = ("buildboard", "runner")


def _common_environment() -> dict[str, str]:
    paths = [str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")]
    return {
        "BUILDBOARD_DATA_DIR": str(settings.DATA_DIR),
        "BUILDBOARD_ADMIN_PASSWORD": "",  # only the first start needs it
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        MACHINE_VARIABLE: machine_id(),
        tie.SUPERVISOR_VARIABLE: tie.describe_supervisor(),
    }


def _busy_folder(cluster: str) -> Path:
    return Path(settings.DATA_DIR, "busy", cluster)


def web_group(descriptor: int, *, number: int) -> Group:
    """One web process on the listening socket that all of them share."""
    return Group(
        Spec(
            name=f"web {number}",
            command=[sys.executable, "-m", "buildboard.web", str(descriptor)],
            environment={**_common_environment(), "BUILDBOARD_PROCESS": "web"},
            pass_fds=[descriptor],
        )
    )


def cluster_group(cluster: str, *, workers: int) -> Group:
    """One django-q2 cluster; `workers` counts for the one of short tasks, the runner's has one."""
    folder = _busy_folder(cluster)
    forget_all(folder)
    environment = {
        **_common_environment(),
        FOLDER_VARIABLE: str(folder),
        "BUILDBOARD_PROCESS": "worker",
        "BUILDBOARD_WORKERS": str(workers),
    }
    command = [sys.executable, "-m", "buildboard.supervisor.cluster", cluster]
    return Group(Spec(name=cluster, command=command, environment=environment))


class Board:
    """All processes of this machine: any number of web ones, and the clusters by name."""

    def __init__(self, *, web: Sequence[Group], clusters: Sequence[Group]) -> None:
        self._web = list(web)
        self._clusters = {group.spec.name: group for group in clusters}
        self._ears = {name: ClusterEar(name, busy_folder=_busy_folder(name)) for name in self._clusters}
        self._watch = DatabaseWatch(list(self._ears.values()))
        self._signals = 0

    def run(self) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP, then end everything; a second signal skips the graces."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # under nohup it stays
                signal.signal(number, self._on_signal)
        try:
            self._start_due()  # from this thread: the kernel tells children of its end, not the process's
            if self._clusters:
                self._watch.start()
            while not self._signals:
                self._turn()
                time.sleep(TURN_SECONDS)
        finally:
            self.stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    @property
    def _groups(self) -> list[Group]:
        return [*self._web, *self._clusters.values()]

    def _turn(self) -> None:
        for group in self._groups:
            if group.has_ended():
                status = group.clean_up()
                self._note_restart(group)
                logger.error("%s ended (%s) and is started again", group.spec.name, _describe(status))
        for name, ear in self._ears.items():
            if ear.is_deaf and not ear.was_restarted:
                logger.error("The cluster %s takes no tasks any more and is replaced", name)
                self._clusters[name].replace()
                self._note_restart(self._clusters[name])
            elif member := lost_member(_busy_folder(name)):
                self._replace_after_loss(name, member=member)
        collect_orphans({group.pid for group in self._groups})
        self._start_due()

    def _replace_after_loss(self, name: str, *, member: str) -> None:
        """What the new member waits for may never come (loss.py); the runner's task hands over first."""
        logger.error("The cluster %s lost its %s and is replaced; builds go on", name, member)
        if name == "runner":
            self._stop_runner(signals=1)
        self._clusters[name].clean_up()
        self._note_restart(self._clusters[name])

    def _note_restart(self, group: Group) -> None:
        ear = self._ears.get(group.spec.name)
        if ear is not None:
            forget_all(_busy_folder(ear.cluster))
            ear.was_restarted = True

    def _start_due(self) -> None:
        for group in self._groups:
            if group.start_when_due() and group.starts == 1:
                logger.debug("%s is process %s", group.spec.name, group.pid)

    # ---- the stop ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """The runner hands over, then the workers end, then the web, so that last lines still arrive."""
        self._watch.stop()
        short_tasks = [group for name, group in self._clusters.items() if name != "runner"]
        for group in short_tasks:
            group.ask_to_stop()
        self._stop_runner()
        self._end(list(self._clusters.values()), within_seconds=CLUSTER_SECONDS)
        self._end(self._web, within_seconds=WEB_SECONDS)

    def _stop_runner(self, *, signals: int = 2) -> None:
        """Tell the runner itself: its cluster would wait minutes for the task to end.

        At so many `signals` to the supervisor the wait for it is cut short.
        """
        ear = self._ears.get("runner")
        if ear is None:
            return
        # In a thread: ringing may wait for a database that is away.
        threading.Thread(target=ring, args=(f"stop:{machine_id()}",), daemon=True).start()
        runners = [worker for worker in ear.open_tasks() if worker.path == RUN_BUILDS]
        for worker in runners:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)
        self._wait(lambda: not ear.open_tasks(), within_seconds=RUNNER_SECONDS, signals=signals)

    def _end(self, groups: Sequence[Group], *, within_seconds: float) -> None:
        for group in groups:
            group.ask_to_stop()
        self._wait(
            lambda: all(group.has_ended() or not group.pid for group in groups), within_seconds=within_seconds
        )
        for group in groups:
            group.kill()

    def _wait(self, is_done: Callable[[], bool], *, within_seconds: float, signals: int = 2) -> None:
        until = time.monotonic() + within_seconds
        while not is_done() and time.monotonic() < until and self._signals < signals:
            time.sleep(0.05)


def _describe(status: int) -> str:
    if status < 0:
        with suppress(ValueError):
            return signal.Signals(-status).name
    return f"exit status {status}"
