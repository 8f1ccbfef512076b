"""A web process with an application of its own: `python -m tests.web_program DESCRIPTOR [HEADER BODY]`.

HEADER and BODY are time limits in seconds. It shows what reaches an application and how much it could send.
"""

from buildboard.web.server import BoardServer  # isort: skip  # chooses Twisted's event loop

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from buildboard.web import requests

FRAME = b"x" * 60_000
STALLED_SECONDS = 2.0
state = {"requests": 0, "sent": 0, "stalled": 0}


def _status() -> bytes:
    resident = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line)
    return json.dumps({**state, "resident_kib": int(resident.split()[1])}).encode()


async def _answer_http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["path"] == "/state":
        await _respond(send, _status())
        return
    state["requests"] += 1
    size = 0
    while True:
        message = await receive()
        size += len(message["body"])
        if not message["more_body"]:
            break
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2000):
            await send({"type": "http.response.body", "body": FRAME, "more_body": True})
            state["sent"] += len(FRAME)
        await send({"type": "http.response.body", "body": b""})
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    await _respond(send, str(size).encode())


async def _respond(send: Any, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def _answer_socket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/flood":
        flow = scope["buildboard.flow"]
        for _ in range(2000):
            try:
                await flow.ready(stalled_seconds=STALLED_SECONDS)
            except TimeoutError:
                state["stalled"] += 1
                await send({"type": "websocket.close", "code": 4408})
                return
            await send({"type": "websocket.send", "bytes": FRAME})
            state["sent"] += len(FRAME)
        await send({"type": "websocket.close"})
    if scope["path"] == "/sleep":
        await asyncio.sleep(3600)
    while (await receive())["type"] != "websocket.disconnect":
        continue


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await (_answer_http if scope["type"] == "http" else _answer_socket)(scope, receive, send)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        requests.HEADER_SECONDS, requests.BODY_SECONDS = float(sys.argv[2]), float(sys.argv[3])
    BoardServer(application).serve(int(sys.argv[1]))
