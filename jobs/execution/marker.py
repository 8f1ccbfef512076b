"""Remembers, on this machine's disk, which attempt a follower is handling right now.

An exception in handling is caught; a crash of the whole process is not. Whoever follows the server next reads
what is left here, and counts it against that job alone. Writing costs microseconds: no sync is needed, since
what a killed process wrote stays. It is not in charge of what three crashes mean (guard.py).
"""

import os
from pathlib import Path
from uuid import UUID

from django.conf import settings

_LENGTH = 36
_NOBODY = b"-" * _LENGTH


class CrashMarker:
    """One file a server. A disk that cannot be written leaves it without effect."""

    def __init__(self, server_id: UUID) -> None:
        folder = Path(settings.DATA_DIR) / "following"
        self._descriptor: int | None = None
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._descriptor = os.open(folder / str(server_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return

    def left_by_last(self) -> UUID | None:
        """The attempt that the last follower of this server was handling when it died."""
        if self._descriptor is None:
            return None
        try:
            return UUID(os.pread(self._descriptor, _LENGTH, 0).decode())
        except (OSError, ValueError):
            return None

    def begin(self, attempt_id: UUID) -> None:
        """From here on a crash counts against this attempt."""
        self._write(str(attempt_id).encode())

    def end(self) -> None:
        """Nothing is being handled."""
        self._write(_NOBODY)

    def close(self) -> None:
        """Give the file back; what it says stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, text: bytes) -> None:
        if self._descriptor is None:
            return
        try:
            os.pwrite(self._descriptor, text, 0)
        except OSError:
            self.close()
