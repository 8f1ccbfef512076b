"""Runs the helper on this machine without SSH, and keeps everything of the board's out of a build's reach.

It is not in charge of what the helper is asked (runs.py), nor of which runner may use it (leases.py).
"""

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from servers.transport import (
    HELPER_NAME,
    HELPER_TEXT,
    MOST_REPLY_BYTES,
    BadReply,
    Chunks,
    Completed,
    TransportError,
    TransportTimeout,
    Unreachable,
    check_words,
)

_KEPT = ("HOME", "LANG", "LOGNAME", "SHELL", "TMPDIR", "USER")
_PLAIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CHUNK_BYTES = 1 << 16


class LocalTransport:
    """The helper of one work dir of this machine, a process a call; fulfils `Transport`.

    `shell` is what interprets it. `environment` is added to what a build starts with, which otherwise is the
    account's own: a build sees no setting, key or virtual environment of the board.
    """

    def __init__(
        self, work_dir: Path, *, shell: Sequence[str] = ("sh",), environment: Mapping[str, str] | None = None
    ) -> None:
        self._root = work_dir.absolute()
        self._helper = self._root / "lib" / HELPER_NAME
        self._shell = tuple(shell)
        self._environment = {
            **clean_environment(),
            **(environment or {}),
            "BUILDBOARD_HOME": str(self._root),
        }
        if self._shell != ("sh",):
            self._environment["BUILDBOARD_SH"] = " ".join(self._shell)

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float) -> Completed:
        """Run the helper with these words. On a timeout it is killed; a build that it started is not."""
        process = self._start(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        with _ended(process):
            try:
                until = time.monotonic() + timeout_seconds
                stdout, stderr = _exchange(process, stdin, until=until)
                process.wait(max(0.0, until - time.monotonic()))
            except (TimeoutError, subprocess.TimeoutExpired) as error:
                raise TransportTimeout(f"no answer within {timeout_seconds:g} s") from error
        return Completed(exit_code=process.returncode, stdout=stdout, stderr=stderr)

    def stream(self, words: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float) -> Chunks:
        """Run the helper and yield its output as it comes."""
        with tempfile.TemporaryFile() as source:
            source.write(stdin)
            source.seek(0)
            process = self._start(words, stdin=source, stderr=subprocess.DEVNULL)
        with _ended(process), selectors.DefaultSelector() as selector:
            assert process.stdout is not None  # noqa: S101  # given to Popen by _start
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(timeout_seconds):
                    raise TransportTimeout(f"nothing for {timeout_seconds:g} s")
                chunk = os.read(process.stdout.fileno(), _CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    def install(self) -> None:
        """Put the helper into the work dir: whole or not at all, and over nothing that runs."""
        part = self._helper.with_name(f".{HELPER_NAME}.{os.getpid()}-{secrets.token_hex(4)}.part")
        try:
            for folder in (self._root, self._helper.parent, self._root / "jobs"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as target:
                target.write(HELPER_TEXT)
                target.flush()
                os.fsync(target.fileno())
            part.replace(self._helper)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise TransportError(f"cannot install the helper: {error}", nothing_sent=True) from error

    def close(self) -> None:
        """Nothing is kept open."""

    def _start(self, words: Sequence[str], *, stdin: int | IO[bytes], stderr: int) -> subprocess.Popen[bytes]:
        check_words(words)
        try:
            return subprocess.Popen(
                [*self._shell, str(self._helper), *words],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=self._environment,
                cwd="/",
                start_new_session=True,  # to be killed whole; no signal to the board reaches it
            )
        except OSError as error:
            raise Unreachable(f"cannot start {self._shell[0]}: {error}", nothing_sent=True) from error


def clean_environment() -> dict[str, str]:
    """What of this process's environment a build may see: the account's, not the board's."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}
    own = {str(Path(sys.prefix) / "bin")} if sys.prefix != sys.base_prefix else set()
    own |= {str(Path(os.environ["VIRTUAL_ENV"]) / "bin")} if os.environ.get("VIRTUAL_ENV") else set()
    folders = [folder for folder in os.environ.get("PATH", "").split(":") if folder and folder not in own]
    return kept | {"PATH": ":".join(folders) or _PLAIN_PATH}


def _exchange(process: subprocess.Popen[bytes], payload: bytes, *, until: float) -> tuple[bytes, bytes]:
    """Write all of the input and read all of both outputs, as `communicate` does, but never more than is allowed.

    Raises TimeoutError at `until`, of the monotonic clock, and BadReply for too many bytes.
    """
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    assert stdin is not None and stdout is not None and stderr is not None  # noqa: S101  # given by run
    printed, complained = bytearray(), bytearray()
    left = memoryview(payload)
    with selectors.DefaultSelector() as selector:
        os.set_blocking(stdin.fileno(), False)
        selector.register(stdin, selectors.EVENT_WRITE)
        selector.register(stdout, selectors.EVENT_READ, data=printed)
        selector.register(stderr, selectors.EVENT_READ, data=complained)
        while selector.get_map():
            ready = selector.select(max(0.0, until - time.monotonic()))
            if not ready and time.monotonic() >= until:
                raise TimeoutError
            for key, _ in ready:
                if key.data is None:
                    left = _write_some(key.fd, left)
                    if not left:
                        selector.unregister(key.fileobj)
                        stdin.close()
                    continue
                chunk = os.read(key.fd, _CHUNK_BYTES)
                if not chunk:
                    selector.unregister(key.fileobj)
                key.data.extend(chunk)
                if len(key.data) > MOST_REPLY_BYTES:
                    raise BadReply(f"more than {MOST_REPLY_BYTES >> 20} MiB were answered")
    return bytes(printed), bytes(complained)


def _write_some(descriptor: int, left: memoryview) -> memoryview:
    """What is still to be written; nothing once nobody reads."""
    try:
        return left[os.write(descriptor, left[:_CHUNK_BYTES]) :] if left else left
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[:0]


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """At the end, however it comes, the helper process is gone and reaped and its pipes are closed."""
    try:
        yield
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()
