"""The door of the live log: `/ws/jobs/<id>/log` (contract section 4). It reads, and writes nothing.

The log itself is jobs/logs' matter, who asks is buildboard.core.auth's; when the transport can take more says
`scope["buildboard.flow"]`, which the web process puts there.
"""

import asyncio
import logging
import re
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError

from buildboard.core.auth import Principal, principal_of_scope, still_allowed
from buildboard.core.permissions import Right
from jobs.logs import store, tail
from jobs.logs.frames import Framer, encode
from jobs.logs.store import LogGap, Piece
from jobs.models import Attempt, BuildJob
from jobs.states import JOB_TERMINAL, AttemptStatus

logger = logging.getLogger(__name__)

CHECK_SECONDS = 4.0
ATTEMPT_LOOK_SECONDS = 1.0
STALLED_SECONDS = 60.0
READ_BYTES = 256 * 1024
MESSAGE_BYTES = 16 * 1024
MESSAGES_PER_SECOND = 20


class Closed(Exception):
    """The socket ends here, with a code of the contract and a reason for a person."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the query asks for: an attempt's number (None: the latest) and the byte to begin at."""

    number: int | None
    offset: int


def parse_query(query: bytes) -> Wanted:
    """Read `attempt=K&offset=BYTE`. Raises Closed 4400, naming the parameter."""
    values: dict[str, int] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in ("attempt", "offset") or name in values:
            raise Closed(4400, f"{name[:40]!r} is unknown or given twice; there are attempt and offset.")
        if not re.fullmatch("[0-9]{1,15}", value):
            raise Closed(4400, f"{name} must be a whole number.")
        values[name] = int(value)
    return Wanted(values.get("attempt"), values.get("offset", 0))


class LogConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """One socket on the log of one job."""

    required_right = Right.READ

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._serving: asyncio.Task[None] | None = None
        self._refusals: asyncio.Queue[Closed] = asyncio.Queue()
        self._heard: deque[float] = deque(maxlen=MESSAGES_PER_SECOND)
        self._told: tuple[str, str | None] = ("", None)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run until the socket is gone; nothing of it is left behind, however it ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._stop()

    async def connect(self) -> None:
        """Accept first: a close code reaches a browser only then."""
        await self.accept()
        self._serving = asyncio.create_task(self._serve())

    async def disconnect(self, code: int) -> None:
        """The client went."""
        await self._stop()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing that a client says matters, `ack` included; too much of it ends the socket."""
        now = asyncio.get_running_loop().time()
        flooded = len(self._heard) == MESSAGES_PER_SECOND and now - self._heard[0] < 1
        self._heard.append(now)
        if not self._refusals.empty():
            return
        if len((text_data or "").encode()) + len(bytes_data or b"") > MESSAGE_BYTES:
            self._refusals.put_nowait(Closed(4413, "A message may have at most 16 KiB."))
        elif flooded:
            self._refusals.put_nowait(Closed(4429, "There may be at most 20 messages a second."))

    async def _stop(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)

    async def _serve(self) -> None:
        try:
            await self._until_closed()
        except Closed as closed:
            await self.close(code=closed.code, reason=closed.reason)
        except DatabaseError:
            await self.close(code=4503, reason="The database is away. Connect again with the last offset.")
        except LogGap:
            await self.close(
                code=4500, reason="Bytes of this log are missing: ask an operator to restore them."
            )
        except Exception:  # the outermost loop of a socket
            logger.exception("A live log broke off.", extra={"action": "log.socket"})
            await self.close(code=4500, reason="The board failed. Connect again with the last offset.")

    async def _until_closed(self) -> None:
        principal, job_id = await database_sync_to_async(admit)(self.scope)
        wanted = parse_query(self.scope.get("query_string", b""))
        tasks = [
            asyncio.create_task(self._guard(principal, job_id)),
            asyncio.create_task(self._stream(job_id, wanted)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _guard(self, principal: Principal, job_id: uuid.UUID) -> None:
        """End the socket when the client may no longer read, or says too much."""
        while True:
            with suppress(TimeoutError):
                raise await asyncio.wait_for(self._refusals.get(), CHECK_SECONDS)
            await database_sync_to_async(check)(principal, job_id)

    async def _stream(self, job_id: uuid.UUID, wanted: Wanted) -> None:
        """Send the log of the attempt to its end. One that was released had begun nothing: go to the next."""
        while True:
            attempt, line = await self._find_attempt(job_id, wanted)
            framer = Framer(offset=wanted.offset, line=line + 1)
            changed = asyncio.Event()
            with tail.watch(attempt.pk, notify=_setter(changed)) as live:
                status = await self._follow(attempt, framer, live, changed)
            if status != AttemptStatus.RELEASED or wanted.number is not None:
                await self._end(framer.end, status)

    async def _find_attempt(self, job_id: uuid.UUID, wanted: Wanted) -> tuple[Attempt, int]:
        """The wanted attempt, once there is one, and the line (from 0) that the wanted byte is in."""
        while True:
            status, attempt = await database_sync_to_async(find_attempt)(job_id, wanted.number)
            if attempt is not None:
                if wanted.offset > attempt.log_size:
                    raise Closed(4400, f"offset is past the end: the log has {attempt.log_size} bytes.")
                return attempt, await database_sync_to_async(store.line_at)(attempt, wanted.offset)
            if wanted.number is not None:
                raise Closed(4404, f"This build job has no attempt {wanted.number}.")
            if status in JOB_TERMINAL:
                await self._end(0, status)
            await self._tell(status, None)
            await asyncio.sleep(ATTEMPT_LOOK_SECONDS)

    async def _follow(self, attempt: Attempt, framer: Framer, live: tail.Tail, changed: asyncio.Event) -> str:
        """Send what there is and what comes, until the attempt ends; its last status."""
        while True:
            changed.clear()
            standing = live.standing
            if standing is not None:
                if not standing.ended:
                    await self._tell(standing.status, standing.phase)
                while framer.end < standing.size:
                    pieces = live.take(framer.end, max_bytes=READ_BYTES)
                    if pieces is None:
                        pieces = await database_sync_to_async(read)(attempt, framer.end, standing.size)
                    for piece in pieces:
                        framer.feed(piece)
                    await self._send_frames(framer, final=False)
                if standing.ended:
                    await self._send_frames(framer, final=True)
                    return standing.status
            await changed.wait()

    async def _send_frames(self, framer: Framer, *, final: bool) -> None:
        while (frame := framer.take(final=final)) is not None:
            await self._put(frame.as_json())

    async def _tell(self, status: str, phase: str | None) -> None:
        if self._told != (status, phase):
            self._told = (status, phase)
            await self._put(encode({"type": "status", "status": status, "phase": phase}))

    async def _end(self, size: int, status: str) -> NoReturn:
        await self._tell(status, None)
        await self._put(encode({"type": "end", "size": size, "status": status}))
        raise Closed(1000)

    async def _put(self, text: str) -> None:
        """Send when the transport has room; a client that takes nothing for a minute is let go."""
        flow = self.scope.get("buildboard.flow")
        if flow is not None:
            try:
                await flow.ready(stalled_seconds=STALLED_SECONDS)
            except TimeoutError:
                raise Closed(4408, "Nothing was taken for 60 seconds.") from None
        await self.send(text_data=text)
        await asyncio.sleep(0)  # a long log must not keep the other sockets waiting


def _setter(event: asyncio.Event) -> Callable[[], None]:
    """Set an event of this loop from another thread; once the loop is closed, nothing."""
    loop = asyncio.get_running_loop()

    def notify() -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(event.set)

    return notify


# ---- what reads the database, in the thread of the sockets ----------------------------------------------


def admit(scope: dict[str, Any]) -> tuple[Principal, uuid.UUID]:
    """Who asks for which job. Raises Closed 4403 without the right to read, 4404 for an unknown job."""
    principal = principal_of_scope(scope)
    if not principal.may(LogConsumer.required_right):
        raise Closed(4403, "You may not read logs. Sign in or send a token.")
    try:
        job_id = uuid.UUID(scope["url_route"]["kwargs"]["job_id"])
    except ValueError:
        raise Closed(4404, "There is no such build job.") from None
    _check_job(principal, job_id)
    return principal, job_id


def check(principal: Principal, job_id: uuid.UUID) -> None:
    """What `admit` checked, again for an open socket. Raises Closed."""
    if not still_allowed(principal):
        raise Closed(4403, "You may not read logs any more.")
    _check_job(principal, job_id)


def _check_job(principal: Principal, job_id: uuid.UUID) -> None:
    if not BuildJob.objects.visible_to(principal.user).filter(pk=job_id).exists():
        raise Closed(4404, "There is no such build job.")


def find_attempt(job_id: uuid.UUID, number: int | None) -> tuple[str, Attempt | None]:
    """The job's status, and the attempt of that number or the latest that was not released."""
    # The status first: a job that had ended then has no attempt that the second look could miss.
    status = BuildJob.objects.values_list("status", flat=True).filter(pk=job_id).first()
    if status is None:
        raise Closed(4404, "There is no such build job.")
    attempts = Attempt.objects.filter(job=job_id).order_by("number")
    if number is not None:
        return status, attempts.filter(number=number).first()
    return status, attempts.exclude(status=AttemptStatus.RELEASED).last()


def read(attempt: Attempt, start: int, size: int) -> list[Piece]:
    """The next kept bytes, a bounded part of them, from the store."""
    return list(store.read_pieces(attempt, start=start, end=min(size, start + READ_BYTES)))
