"""Ties a child process to its supervisor: when that one is gone the child ends too, however it went.

It runs inside the children. It is not in charge of an orderly stop (board.py).
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from buildboard.core.machine import is_same_process, process_identity

SUPERVISOR_VARIABLE = "BUILDBOARD_SUPERVISOR"
LOOK_SECONDS = 1.0
GRACE_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


def describe_supervisor() -> str:
    """The value of SUPERVISOR_VARIABLE for children of this process."""
    return f"{os.getpid()}:{process_identity(os.getpid())}"


def has_supervisor() -> bool:
    """Whether the supervisor that started this process still lives; always, for one started by hand."""
    pid, _, identity = os.environ.get(SUPERVISOR_VARIABLE, "").partition(":")
    return not pid or is_same_process(int(pid), identity)


def tie_leader() -> None:
    """In the first process of a child: get SIGTERM when the supervisor dies; end if it is dead already."""
    if sys.platform == "linux" and SUPERVISOR_VARIABLE in os.environ:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if not has_supervisor():
        sys.exit("buildboard: the supervisor is gone")


def watch_supervisor(*, on_loss: Callable[[], None]) -> None:
    """Start a thread that ends this process's whole group a grace after the supervisor was lost.

    `on_loss` is called first, in that thread, for what can be done in order. Call it after the last fork.
    """
    if SUPERVISOR_VARIABLE in os.environ:
        threading.Thread(target=_watch, args=(on_loss,), name="supervisor-watch", daemon=True).start()


def _watch(on_loss: Callable[[], None]) -> None:
    while has_supervisor():
        time.sleep(LOOK_SECONDS)
    on_loss()
    time.sleep(GRACE_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)
