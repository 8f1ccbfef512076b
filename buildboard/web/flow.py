"""How an application learns that its client is slow: it asks before it writes more.

Twisted buffers without limit whatever is written, so nobody may write while the connection's buffer is full.
"""

import asyncio
import time

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


@implementer(IPushProducer)
class Flow:
    """Whether one connection takes data now. The transport calls it, writers ask it.

    A consumer finds it in its scope as `scope["buildboard.flow"]`.
    """

    def __init__(self) -> None:
        self.paused_since: float | None = None
        """Since when (monotonic seconds) nothing more may be written; None while the client keeps up."""
        self._open = asyncio.Event()
        self._open.set()

    async def ready(self) -> None:
        """Wait until more may be written; also returns when the connection is gone."""
        await self._open.wait()

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
