"""daphne's server on a socket that is open already, with our protocols and an orderly end.

daphne.server must be imported first of all that is Twisted's: it chooses the event loop.
"""

from daphne.server import Server  # isort: skip  # chooses Twisted's event loop

import asyncio
import logging
import signal
import socket
import time
from types import FrameType
from typing import Any

from twisted.internet import reactor
from twisted.logger import globalLogBeginner

from buildboard.web.requests import LimitedFactory
from buildboard.web.sockets import (
    MAX_MESSAGE_BYTES,
    PING_SECONDS,
    PONG_SECONDS,
    SERVICE_RESTART,
    FlowingFactory,
    FlowingProtocol,
)

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 2.0
HANDSHAKE_SECONDS = 10


class BoardServer(Server):  # type: ignore[misc]  # the library has no types
    """One web process. `serve` blocks until SIGTERM or SIGINT."""

    def __init__(self, application: Any) -> None:
        super().__init__(
            application,
            endpoints=["adopted"],
            signal_handlers=False,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            websocket_handshake_timeout=HANDSHAKE_SECONDS,
            websocket_max_message_size=MAX_MESSAGE_BYTES,
            websocket_max_frame_size=MAX_MESSAGE_BYTES,
            server_name="",
        )
        self.connections: dict[Any, dict[str, Any]] = {}
        self._port: Any = None
        self._drain_until = 0.0

    def serve(self, descriptor: int) -> None:
        """Serve the listening socket `descriptor` until told to stop."""
        self._make_factories()
        globalLogBeginner.beginLoggingTo([lambda _: None], redirectStandardIO=False, discardBuffer=True)
        with socket.socket(fileno=descriptor) as listening:
            family = listening.family
            listening.setblocking(False)
            self._port = reactor.adoptStreamPort(listening.fileno(), family, self.http_factory)
        asyncio.set_event_loop(reactor._asyncioEventloop)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        reactor.callLater(1, self.application_checker)
        reactor.callLater(2, self.timeout_checker)
        # A signal's handler runs with the next event, and there may be none for long.
        reactor.callLater(0.2, self._tick)
        reactor.addSystemEventTrigger("before", "shutdown", self.kill_all_applications)
        reactor.run(installSignalHandlers=False)

    def _make_factories(self) -> None:
        self.http_factory = LimitedFactory(self)
        self.ws_factory = FlowingFactory(self, server="")
        self.ws_factory.setProtocolOptions(
            autoPingTimeout=self.ping_timeout,
            openHandshakeTimeout=self.websocket_handshake_timeout,
            maxMessagePayloadSize=self.websocket_max_message_size,
            maxFramePayloadSize=self.websocket_max_frame_size,
            failByDrop=False,  # a close with its code, not an end without a word
        )

    # ---- backpressure -----------------------------------------------------------------------------------

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """Start the application for a request or a socket; a socket's consumer can ask for its flow."""
        if isinstance(protocol, FlowingProtocol):
            scope["buildboard.flow"] = protocol.flow
        return super().create_application(protocol, scope)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Write what the application sends; a long answer waits here for a slow client."""
        await super().handle_reply(protocol, message)
        channel = getattr(protocol, "channel", None)
        if channel is not None and message.get("more_body"):
            await channel.flow.ready()

    # ---- the end ----------------------------------------------------------------------------------------

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._drain_until:
            self._drain_until = time.monotonic() + DRAIN_SECONDS

    def _tick(self) -> None:
        """Look for a signal; then refuse new connections, end the sockets, and wait for running answers."""
        if self._drain_until and self._port is not None:
            self._port.stopListening()
            self._port = None
            for protocol in self._open_protocols():
                if isinstance(protocol, FlowingProtocol):
                    protocol.end(SERVICE_RESTART)
        if self._drain_until and (not self._open_protocols() or time.monotonic() > self._drain_until):
            reactor.stop()
            return
        reactor.callLater(0.05 if self._drain_until else 0.2, self._tick)

    def _open_protocols(self) -> list[Any]:
        return [
            protocol
            for protocol, details in self.connections.items()
            if "application_instance" in details and "disconnected" not in details
        ]

    def kill_all_applications(self) -> Any:
        """Cancel what still runs. (daphne's own fails on a request that is not whole yet.)"""
        for details in self.connections.values():
            running = details.get("application_instance")
            if running is not None and not running.done():
                running.cancel()
