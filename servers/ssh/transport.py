"""The helper of one server over SSH: fulfils `Transport` on a connection that is kept warm.

It is not in charge of what the helper is asked (../runs.py), nor of which servers there are (../connections.py).
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from servers.ssh.commands import helper_line, install_line
from servers.ssh.dialling import LIBRARY_ERRORS
from servers.ssh.executions import Execution, process_key
from servers.ssh.keeper import LinkKeeper
from servers.ssh.links import Link
from servers.ssh.target import SshTarget
from servers.transport import (
    HELPER_TEXT,
    MOST_REPLY_BYTES,
    BadReply,
    Chunks,
    Completed,
    TransportError,
    TransportTimeout,
    Unreachable,
    said,
)

CONNECT_SECONDS = 10.0
INSTALL_SECONDS = 60.0
# More than what surely fits into the buffers on the way: sending it can hang as long as the host does.
_GUARDED_BYTES = 64 << 10


class SshTransport:
    """One connection a process, at most four channels on it; safe to share between threads and over forks.

    A lost connection is made anew by the next call; while that fails, calls fail at once, more and more seldom
    trying again. `close` it in the end: until then its connection stays.
    """

    def __init__(self, target: SshTarget, *, connect_seconds: float = CONNECT_SECONDS) -> None:
        self._target = target
        self._connect_seconds = connect_seconds
        self._keepers: dict[tuple[int, int], LinkKeeper] = {}

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float) -> Completed:
        """Run the helper with these words. A reply of more than MOST_REPLY_BYTES is a BadReply.

        On a timeout the command may go on; its connection takes nothing new and ends with its last user.
        """
        line = helper_line(words, work_dir=self._target.work_dir, has_input=bool(stdin))
        return self._complete(line, stdin=stdin, until=time.monotonic() + timeout_seconds)

    def stream(self, words: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float) -> Chunks:
        """Run the helper and yield its output as it comes.

        Closing the iterator early frees the channel at once; the helper ends with its next write (SIGPIPE).
        """
        line = helper_line(words, work_dir=self._target.work_dir, has_input=bool(stdin))
        until = time.monotonic() + timeout_seconds
        with self._execution(line, stdin=stdin, stream=True, until=until) as execution:
            while piece := execution.read(until=time.monotonic() + timeout_seconds):
                yield piece
            execution.exit_code(until=time.monotonic() + timeout_seconds)

    def install(self) -> None:
        """Put the helper where `run` looks for it: whole or not at all. All its errors have `nothing_sent`."""
        line = install_line(work_dir=self._target.work_dir)
        try:
            done = self._complete(line, stdin=HELPER_TEXT, until=time.monotonic() + INSTALL_SECONDS)
        except TransportError as error:
            error.nothing_sent = True  # nothing that a caller asks for begins with this
            raise
        if done.exit_code:
            heard = said(done.stderr or done.stdout)
            raise TransportError(
                f"The helper cannot be installed on {self._target.name} (exit code {done.exit_code}): {heard}",
                nothing_sent=True,
            )

    def close(self) -> None:
        """End the connection and everything on it. Later calls raise Unreachable."""
        self._keeper().retire(at_once=True)

    def retire(self) -> None:
        """Begin nothing any more; calls of other threads end as they would have. Later calls raise Unreachable."""
        self._keeper().retire(at_once=False)

    def _keeper(self) -> LinkKeeper:
        """That of this process. A parent's is left alone for ever: what it holds is the parent's."""
        key = process_key()
        keeper = self._keepers.get(key)
        if keeper is None:
            keeper = LinkKeeper(self._target, connect_seconds=self._connect_seconds)
            keeper = self._keepers.setdefault(key, keeper)  # of two threads one wins
        return keeper

    def _complete(self, line: str, *, stdin: bytes, until: float) -> Completed:
        pieces: list[bytes] = []
        with self._execution(line, stdin=stdin, stream=False, until=until) as execution:
            while piece := execution.read(until=until):
                pieces.append(piece)
                if execution.received_bytes > MOST_REPLY_BYTES:
                    raise BadReply(f"{self._target.name} answers more than {MOST_REPLY_BYTES >> 20} MiB")
            code = execution.exit_code(until=until)
        return Completed(exit_code=code, stdout=b"".join(pieces), stderr=bytes(execution.stderr))

    @contextmanager
    def _execution(self, line: str, *, stdin: bytes, stream: bool, until: float) -> Iterator[Execution]:
        """A started command; after an error of the connection nothing new is begun on that one."""
        keeper = self._keeper()
        with (
            keeper.channel(stream=stream, until=until) as (link, channel),
            _cut_at(until, link, size=len(stdin)),
        ):
            execution = Execution(channel, stdin=stdin)
            try:
                execution.start(line)
                yield execution
                keeper.succeed(link)
            except LIBRARY_ERRORS as error:
                keeper.give_up(link)
                if time.monotonic() >= until and not stream:
                    raise TransportTimeout(f"{self._target.name} took no more input in time.") from None
                raise Unreachable(f"{self._target.name} was lost: {type(error).__name__}.") from None
            except (TransportTimeout, Unreachable):
                keeper.give_up(link)
                raise
            finally:
                execution.close()
                link.received_bytes += execution.received_bytes


@contextmanager
def _cut_at(until: float, link: Link, *, size: int) -> Iterator[None]:
    """End the connection when it is time and much input is still being sent: nothing else wakes that up."""
    if size <= _GUARDED_BYTES:
        yield
        return
    timer = threading.Timer(max(0.0, until - time.monotonic()), link.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError):
            timer.cancel()
