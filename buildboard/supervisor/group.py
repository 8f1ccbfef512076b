"""One child of the supervisor and everything that it forked: a process group in a session of its own.

It is not in charge of when to stop (board.py) or of what only the database tells (watch.py).
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 10.0
STABLE_SECONDS = 30.0
DYING_SECONDS = 2.0


@dataclass(frozen=True)
class Spec:
    """What to start: a name for people, the command, and what its environment has besides ours."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    pass_fds: Sequence[int] = ()


class Group:
    """Starts, restarts and ends one child with its descendants. All methods are for the main thread."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self._delay = FIRST_DELAY_SECONDS
        self._due_at = 0.0
        self._started_at = 0.0
        self._is_asked = False
        self.starts = 0

    @property
    def pid(self) -> int:
        """The first process, which is also the group's number; 0 when there is none."""
        return self._process.pid if self._process else 0

    def start_when_due(self) -> bool:
        """Start the child unless it runs or its back-off is not over; whether it was started."""
        if self._process is not None or time.monotonic() < self._due_at:
            return False
        try:
            self._process = subprocess.Popen(
                self.spec.command,
                env={**os.environ, **self.spec.environment},
                pass_fds=self.spec.pass_fds,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:  # out of memory or of processes: the others go on
            logger.error("%s cannot be started: %s", self.spec.name, error)
            self._plan_restart()
            return False
        self._started_at = time.monotonic()
        self.starts += 1
        return True

    def has_ended(self) -> bool:
        """Whether the first process has ended; it is left a zombie, so that the group's number stays ours."""
        if self._process is None:
            return False
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def clean_up(self) -> int:
        """Kill what is left of the group after its first process ended, and plan the restart; its status.

        Exit status 0 is no exception: django-q2's main process ends with it when its sentinel was killed.
        """
        status = self.kill()
        if time.monotonic() - self._started_at > STABLE_SECONDS:
            self._delay = FIRST_DELAY_SECONDS
        self._plan_restart()
        return status

    def _plan_restart(self) -> None:
        self._due_at = time.monotonic() + self._delay
        self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)

    def replace(self) -> None:
        """Kill the whole group; it is started again at once."""
        self.kill()
        self._due_at = 0.0

    def ask_to_stop(self) -> None:
        """SIGTERM to the first process alone: the rest of a cluster must not see it (it would hang)."""
        if self._process is not None and not self._is_asked and not self.has_ended():
            self._is_asked = True
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL to the group, and wait until none of it runs; the first process's exit status."""
        if self._process is None:
            return 0
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        status = self._process.wait()
        _wait_for_end(self.pid)
        self._process = None
        return status


def _wait_for_end(group: int) -> None:
    """Wait until a killed group is gone, or has only zombies that nobody collects."""
    until = time.monotonic() + DYING_SECONDS
    while time.monotonic() < until:
        with suppress(ChildProcessError):  # as process 1 of a container all orphans are ours to collect
            os.waitpid(-group, os.WNOHANG)
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.01)
    logger.debug("Zombies of group %s are left", group)


def collect_orphans(known: set[int]) -> None:
    """Collect ended processes that were handed to this one (it may be process 1 of a container)."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in known:
            return
        with suppress(ChildProcessError):
            os.waitpid(ended.si_pid, os.WNOHANG)
