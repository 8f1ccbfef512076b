"""HTTP connections with limits: sizes and times are checked before the application is called.

It is not in charge of a route's own smaller limit (core/http.py and the views).
"""

import json
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.internet.interfaces import IAddress
from twisted.web.http import HTTPChannel

from buildboard.web.flow import Flow

MAX_BODY_BYTES = 4 << 20
MAX_HEADERS = 100
HEADER_SECONDS = 30.0
BODY_SECONDS = 60.0
IDLE_SECONDS = 60.0
LINGER_SECONDS = 5.0
_TOO_LARGE = (413, "Content Too Large", "too_large", "A request may have at most 4 MiB.")
_LONG_HEADERS = (431, "Request Header Fields Too Large", "too_large", "Headers may have at most 16 KiB.")
_TOO_SLOW = (408, "Request Timeout", "too_slow", "The request did not arrive in time.")


class LimitedRequest(WebRequest):  # type: ignore[misc]  # the library has no types
    """A request whose body is counted while it arrives."""

    _received = 0

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Keep a piece of the body, unless that makes it too large."""
        self._received += len(data)
        if self._received > MAX_BODY_BYTES:
            self.channel.refuse(*_TOO_LARGE)
        elif not self.channel.is_refused:
            super().handleContentChunk(data)


class LimitedChannel(HTTPChannel):  # type: ignore[misc]  # the library's types end at zope's interfaces
    """One connection. Times are for a whole header and a whole body, not for the gaps in a trickle."""

    requestFactory = LimitedRequest  # noqa: N815  # Twisted's name
    maxHeaders = MAX_HEADERS  # noqa: N815  # Twisted's name
    is_refused = False
    _has_begun = False

    def __init__(self) -> None:
        super().__init__()
        self.flow = Flow()

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        """The clock of the first request starts with the connection."""
        super().connectionMade()
        self.setTimeout(HEADER_SECONDS)

    def resetTimeout(self) -> None:  # noqa: N802  # Twisted's name
        """A trickle of bytes buys no time."""

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Pass on what arrives; what a refused client still sends is dropped."""
        if self.is_refused:
            return
        if not self._has_begun and not self._handlingRequest:
            self._has_begun = True
            self.setTimeout(HEADER_SECONDS)
        super().dataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802  # Twisted's name
        """Say why, instead of closing without a word."""
        self.refuse(*_LONG_HEADERS)

    def allHeadersReceived(self) -> None:  # noqa: N802  # Twisted's name
        """Refuse a body that says it is too large before any of it is taken."""
        if self.length is not None and self.length > MAX_BODY_BYTES:
            self.refuse(*_TOO_LARGE)
            return
        self.setTimeout(BODY_SECONDS)
        super().allHeadersReceived()

    def allContentReceived(self) -> None:  # noqa: N802  # Twisted's name
        """The request is whole: call the application, unless it was refused meanwhile."""
        if not self.is_refused:
            super().allContentReceived()

    def requestDone(self, request: Any) -> None:  # noqa: N802  # Twisted's name
        """The answer is sent: the next request may begin, and may have begun already."""
        self._has_begun = False
        super().requestDone(request)
        if self.persistent and not self._handlingRequest and not self.is_refused:
            self.setTimeout(HEADER_SECONDS if self.requests else IDLE_SECONDS)

    def timeoutConnection(self) -> None:  # noqa: N802  # Twisted's name
        """Say why, where a request had begun, and close."""
        if self._has_begun and not self._handlingRequest and not self.is_refused:
            self.refuse(*_TOO_SLOW)
        else:
            super().timeoutConnection()

    def refuse(self, status: int, phrase: str, code: str, detail: str) -> None:
        """Answer without the application, and close once the client has had time to read that."""
        if self.is_refused:
            return
        self.is_refused = True
        body = json.dumps({"detail": detail, "code": code}).encode()
        head = (
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        # Only the sending half: closing both with unread data would destroy the answer on its way.
        self.transport.loseWriteConnection()
        self.setTimeout(LINGER_SECONDS)

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's name
        """The client reads too slowly."""
        self.flow.pauseProducing()
        super().pauseProducing()

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's name
        """The client has caught up."""
        self.flow.resumeProducing()
        super().resumeProducing()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802  # Twisted's name
        """The client is gone: let whoever waits for it go."""
        self.flow.stopProducing()
        super().connectionLost(reason)


class LimitedFactory(HTTPFactory):  # type: ignore[misc]  # the library has no types
    """Makes a limited channel a connection; HTTP/2, which is not limited here, is not offered."""

    def buildProtocol(self, addr: IAddress) -> Any:  # noqa: N802  # Twisted's name
        """The protocol of a new connection."""
        channel = LimitedChannel()
        channel.factory = self
        channel.timeOut = HEADER_SECONDS
        channel.callLater = self.reactor.callLater
        return channel

    def acceptableProtocols(self) -> list[bytes]:  # noqa: N802  # Twisted's name
        """What TLS may negotiate."""
        return [b"http/1.1"]
