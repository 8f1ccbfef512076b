"""A member of a cluster that was killed: noted by the cluster's sentinel, read by the supervisor.

django-q2 starts another member, but a killed one takes along what it had: an idle worker or a monitor the lock
of its queue, so that the next one waits for ever, and a pusher the row in its hand. The file is in the folder
of busy.py, which is emptied when the cluster is replaced. This is not in charge of the replacement (board.py).
"""

import os
from pathlib import Path
from typing import Any

from buildboard.supervisor import tie
from buildboard.supervisor.busy import FOLDER_VARIABLE

_NAME = "lost"
_IDLE = -1


def note_losses(sentinel_class: Any) -> None:
    """In a cluster's first process: have django-q2's sentinel note each killed member before it starts another."""
    start_another = sentinel_class.reincarnate

    def reincarnate(sentinel: Any, process: Any) -> None:
        member = _lost(sentinel, process)
        if member:
            _note(member)
        start_another(sentinel, process)

    sentinel_class.reincarnate = reincarnate


def _lost(sentinel: Any, process: Any) -> str:
    """What the process was, if it was killed; empty if it ended by itself, or in a task that is run again."""
    if process.exitcode is None or process.exitcode >= 0:
        return ""
    if process is sentinel.monitor:
        return "monitor"
    if process is sentinel.pusher:
        return "pusher"
    return "idle worker" if process.timer.value == _IDLE else ""


def _note(member: str) -> None:
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return
    supervisor = os.environ.get(tie.SUPERVISOR_VARIABLE, "")
    try:
        Path(folder, _NAME).write_text(f"{supervisor} {member}")
    except OSError:  # on a full disk the pings still tell
        return


def lost_member(folder: Path) -> str:
    """What the cluster of this folder has lost since it was started: `monitor`, ...; empty if nothing.

    What an earlier supervisor left behind may still write there, and counts for nothing.
    """
    try:
        supervisor, _, member = (folder / _NAME).read_text().partition(" ")
    except OSError:
        return ""
    return member if supervisor == tie.describe_supervisor() else ""
