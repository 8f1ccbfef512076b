"""Does the checks of servers that people asked for, each in a thread of its own, so that none delays a build.

Which check is whose is servers/checks.py's. A runner that dies leaves its checks to the next one.
"""

import logging
import threading
from functools import partial
from uuid import UUID

from django.db import connections

from servers.checks import open_checks, run_check

logger = logging.getLogger(__name__)

AT_ONCE = 8


class CheckDesk:
    """The checks of one runner; its main thread alone calls `look`."""

    def __init__(self, *, machine: str) -> None:
        self._machine = machine
        self._threads: dict[UUID, threading.Thread] = {}

    def look(self) -> None:
        """Begin what is open, as far as there is room."""
        self._threads = {check: thread for check, thread in self._threads.items() if thread.is_alive()}
        room = AT_ONCE - len(self._threads)
        for check_id in open_checks(machine=self._machine, limit=room) if room else ():
            if check_id not in self._threads:
                # A daemon: the process may end in the middle, and another runner begins anew.
                thread = threading.Thread(
                    target=partial(_run, check_id), name=f"check-{check_id}", daemon=True
                )
                self._threads[check_id] = thread
                thread.start()


def _run(check_id: UUID) -> None:
    """The outermost frame of one check's thread."""
    try:
        run_check(check_id)
    except Exception:  # another claim of it ends it, or finds the same
        logger.exception("A check failed", extra={"action": "check", "check": str(check_id)})
    finally:
        connections.close_all()
