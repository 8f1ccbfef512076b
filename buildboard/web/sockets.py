"""WebSocket connections with limits and backpressure. What is said over them is the consumers' matter."""

import socket
from typing import Any

from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

from buildboard.web.flow import Flow

MAX_MESSAGE_BYTES = 64 << 10
MAX_WAITING_MESSAGES = 256
# With Twisted's own buffer of 64 KiB and one frame: what a socket may hold unsent stays under 1 MiB.
KERNEL_BUFFER_BYTES = 256 << 10
PING_SECONDS = 20
# Long: a pong comes only after all before the ping was read. A reader that stops is noticed by its flow.
PONG_SECONDS = 300
# How long a client may take to read what was sent before a close: then the connection is reset.
CLOSE_SECONDS = 30
SERVICE_RESTART = 1012
POLICY_VIOLATION = 1008


class FlowingProtocol(WebSocketProtocol):  # type: ignore[misc]  # the library has no types
    """A WebSocket that tells its consumer when it may write."""

    def onConnect(self, request: Any) -> Any:  # noqa: N802  # autobahn's name
        """Take over the transport's pauses from the HTTP connection that this one was."""
        self.flow = Flow(self.transport)
        self.transport.unregisterProducer()
        self.transport.registerProducer(self.flow, True)
        handle = self.transport.getHandle()
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)
        return super().onConnect(request)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803  # autobahn's names
        """Pass on a message; a client that sends faster than it is listened to is closed."""
        if self.application_queue.qsize() >= MAX_WAITING_MESSAGES:
            self.end(POLICY_VIOLATION)
            return
        super().onMessage(payload, isBinary)

    def check_timeouts(self) -> None:
        """Ping, but not into a full buffer: that would only grow it."""
        if self.flow.paused_since is None:
            super().check_timeouts()

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802  # daphne's name
        """Close as the consumer asks. A slow client gets the time to take the rest, and with it the code."""
        self.closeHandshakeTimeout = CLOSE_SECONDS
        super().serverClose(code)

    def end(self, code: int) -> None:
        """Close with one of the protocol's codes; abort when the client does not answer within a second."""
        self.muted = True
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=code, isReply=False)
            self.application_queue.put_nowait({"type": "websocket.disconnect", "code": code})
        elif self.state == self.STATE_CONNECTING:
            self.dropConnection(abort=True)


class FlowingFactory(WebSocketFactory):  # type: ignore[misc]  # the library has no types
    """Makes flowing WebSockets."""

    protocol = FlowingProtocol
