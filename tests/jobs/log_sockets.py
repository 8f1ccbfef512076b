"""A client of the live log's socket, in the test's own process: what it was sent, frame by frame."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing.websocket import WebsocketCommunicator
from django.db import connections

from jobs.models import Attempt
from jobs.routing import websocket_urlpatterns

WAIT_SECONDS = 20.0
application = URLRouter(websocket_urlpatterns)


@dataclass
class Reader:
    """A client and what it was sent."""

    communicator: WebsocketCommunicator
    frames: list[dict[str, Any]] = field(default_factory=list)
    close_code: int = 0

    async def next(self) -> dict[str, Any]:
        """The next frame; fails when the socket is closed instead."""
        message = await self.communicator.receive_output(WAIT_SECONDS)
        assert message["type"] == "websocket.send", message
        self.frames.append(json.loads(message["text"]))
        return self.frames[-1]

    async def rest(self) -> list[dict[str, Any]]:
        """Everything up to the close."""
        while True:
            message = await self.communicator.receive_output(WAIT_SECONDS)
            if message["type"] == "websocket.close":
                self.close_code = message.get("code", 1000)
                return self.frames
            self.frames.append(json.loads(message["text"]))

    @property
    def text(self) -> str:
        return "".join(frame["text"] for frame in self.frames if frame["type"] == "log")


Open = Callable[..., Awaitable[Reader]]


def run(scenario: Callable[[Open], Awaitable[None]]) -> None:
    """Run a scenario in a loop of its own; every socket it opened is closed at the end."""
    opened: list[Reader] = []

    async def open_socket(path: str, token: str = "", **scope: Any) -> Reader:
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        communicator = WebsocketCommunicator(application, path, headers=headers)
        communicator.scope.update(scope)
        reader = Reader(communicator)
        opened.append(reader)
        connected, _ = await communicator.connect(WAIT_SECONDS)
        assert connected
        return reader

    async def main() -> None:
        try:
            await scenario(open_socket)
        finally:
            for reader in opened:
                await reader.communicator.disconnect(timeout=WAIT_SECONDS)
            await sync_to_async(connections.close_all)()

    asyncio.run(main())


def address(attempt: Attempt, query: str = "") -> str:
    """Where the log of its job is read."""
    return f"/ws/jobs/{attempt.job_id}/log{query}"
