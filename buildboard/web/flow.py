"""How an application learns that its client is slow: it asks before it writes more.

Twisted buffers without limit whatever is written, so nobody may write while the connection's buffer is full.
"""

import asyncio
import fcntl
import sys
import termios
import time
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


@implementer(IPushProducer)
class Flow:
    """Whether one connection takes data now. The transport calls it, writers ask it.

    A consumer finds it in its scope as `scope["buildboard.flow"]`.
    """

    def __init__(self, transport: Any = None) -> None:
        self._transport = transport
        self.paused_since: float | None = None
        """Since when (monotonic seconds) nothing more may be written; None while the client keeps up."""
        self._open = asyncio.Event()
        self._open.set()

    async def ready(self, *, stalled_seconds: float | None = None) -> None:
        """Wait until more may be written; also returns when the connection is gone.

        Raises TimeoutError when the client has taken nothing at all for `stalled_seconds`; one that reads,
        however slowly, is waited for.
        """
        if stalled_seconds is None:
            await self._open.wait()
            return
        pending, taken_at = self._pending(), time.monotonic()
        while not self._open.is_set():
            try:
                async with asyncio.timeout(min(1.0, stalled_seconds / 4)):
                    await self._open.wait()
            except TimeoutError:
                left = self._pending()
                if left < pending:
                    taken_at = time.monotonic()
                elif time.monotonic() - taken_at >= stalled_seconds:
                    raise
                pending = left

    def _pending(self) -> int:
        """Bytes that the client has not confirmed: in Twisted's buffer and in the kernel's."""
        transport = self._transport
        if transport is None or not transport.connected:
            return 0
        buffered = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        if sys.platform != "linux":
            return int(buffered)
        answer = fcntl.ioctl(transport.getHandle(), termios.TIOCOUTQ, bytes(4))
        return int(buffered) + int.from_bytes(answer, sys.byteorder)

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's name
        """The buffer is full."""
        if self.paused_since is None:
            self.paused_since = time.monotonic()
            self._open.clear()

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's name
        """The buffer is empty again."""
        self.paused_since = None
        self._open.set()

    def stopProducing(self) -> None:  # noqa: N802  # Twisted's name
        """The connection is gone: nobody need wait for it."""
        self.resumeProducing()
