"""Keeps one warm connection to a server for many threads, and knows when not to try again yet.

It is not in charge of what is done on its channels (transport.py), nor of how a connection is made (links.py).
"""

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko

from servers.ssh.dialling import LIBRARY_ERRORS
from servers.ssh.executions import process_key
from servers.ssh.links import Link, connect
from servers.ssh.target import SshTarget
from servers.transport import HostKeyProblem, LoginRefused, TransportError, TransportTimeout, Unreachable

# Of the ten sessions a connection that sshd allows: one is freed only when its command has ended, which may be
# after we closed it.
MOST_CHANNELS = 4
MOST_STREAMS = MOST_CHANNELS - 1  # a poll never waits for long replies alone
WINDOW_BYTES = 8 << 20  # as much as one answer about one log brings: none of it waits for room
# What a host may make us hold of one stream: as much as is on its way at full speed. More makes sshd hold it
# instead, which costs it more than it brings; less is slow over long ways.
STREAM_WINDOW_BYTES = range(4 << 20, (32 << 20) + 1)
_STREAM_BYTES_A_SECOND = 400_000_000
# After 512 MiB paramiko asks for new keys, and hangs for 30 s when a command ends just then: a connection is
# replaced before, so that only a single longer stream gets there, and only at its end.
RENEW_BYTES = 256 << 20
_RETRY_SECONDS = 0.2
_RETRY_SELDOM_SECONDS = 2.0
_RETRY_DEAD_SECONDS = 30.0
_DEAD_AFTER_FAILURES = 10
_REFUSED_SECONDS = 0.02
_REFUSED_MOST_SECONDS = 0.5

# Kept so that a fork never collects one: a collected jump channel says good-bye on its parent's connection.
_open_links: set[Link] = set()


def _let_go_of_inherited() -> None:
    for link in list(_open_links):
        link.let_go()


os.register_at_fork(after_in_child=_let_go_of_inherited)


class LinkKeeper:
    """The connection of this process to one server: at most one in use for new calls, and MOST_CHANNELS on it."""

    def __init__(self, target: SshTarget, *, connect_seconds: float) -> None:
        self._target = target
        self._connect_seconds = connect_seconds
        self._process = process_key()
        self._channels = threading.BoundedSemaphore(MOST_CHANNELS)
        self._streams = threading.BoundedSemaphore(MOST_STREAMS)
        self._connecting = threading.Lock()
        self._lock = threading.Lock()  # of all below; nothing waits under it
        self._link: Link | None = None
        self._closed = False
        self._failures = 0
        self._failure: TransportError | None = None
        self._not_before = 0.0

    @contextmanager
    def channel(self, *, stream: bool, until: float) -> Iterator[tuple[Link, paramiko.Channel]]:
        """A new channel, by `until`. Raises TransportError with `nothing_sent`; what is done with it is the caller's.

        While it is known that the server cannot be reached, that is said at once.
        """
        with contextlib.ExitStack() as stack:
            for semaphore in [self._streams, self._channels] if stream else [self._channels]:
                self._take(semaphore, until=until)
                stack.callback(self._give_back, semaphore)
            link, channel = self._open(stream=stream, until=until)
            stack.callback(self._leave, link)
            yield link, channel

    def give_up(self, link: Link) -> None:
        """Use it for nothing new: what still runs on it may end there."""
        with self._lock:
            if link.given_up:
                return
            link.given_up = True
            if self._link is link:
                self._link = None
            if not link.worked and not link.is_alive:
                self._note_failure(
                    Unreachable(f"{self._target.name} ends connections at once.", nothing_sent=True)
                )
            close = link.users == 0
        if close:
            _end(link)

    def succeed(self, link: Link) -> None:
        """Something was done on it from beginning to end."""
        with self._lock:
            link.worked = True
            self._failures = 0

    def retire(self, *, at_once: bool) -> None:
        """Open nothing any more; what runs ends by itself, or `at_once`."""
        with self._lock:
            self._closed = True
            link = self._link
            if link is not None:
                link.worked = True  # it is not to blame
        if link is not None:
            self.give_up(link)
            if at_once:
                _end(link)

    def _take(self, semaphore: threading.BoundedSemaphore, *, until: float) -> None:
        if not semaphore.acquire(timeout=max(0.0, until - time.monotonic())):
            raise TransportTimeout(f"All channels to {self._target.name} were in use.", nothing_sent=True)

    def _give_back(self, semaphore: threading.BoundedSemaphore) -> None:
        if self._process == process_key():
            semaphore.release()

    def _open(self, *, stream: bool, until: float) -> tuple[Link, paramiko.Channel]:
        """A channel of the link, or of a new one if it was lost meanwhile: nothing has been asked on it so far."""
        pause = _REFUSED_SECONDS
        while True:
            link = self._enter(until=until)
            try:
                window_bytes = _stream_window(link) if stream else WINDOW_BYTES
                return link, link.open_channel(window_bytes=window_bytes, until=until)
            except LIBRARY_ERRORS as error:
                late = time.monotonic() + pause >= until
                refused = isinstance(error, paramiko.SSHException) and link.is_alive
                if late or not refused:
                    self.give_up(link)
                self._leave(link)
                if late:
                    raise _too_late(self._target, error) from None
            except BaseException:
                self._leave(link)
                raise
            if refused:
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # only to part the callers
                pause = min(pause * 2, _REFUSED_MOST_SECONDS)

    def _enter(self, *, until: float) -> Link:
        """The link with one user more, a new one if need be; one caller connects, the others wait for it."""
        if (link := self._usable_link()) is not None:
            return link
        if not self._connecting.acquire(timeout=max(0.0, until - time.monotonic())):
            raise TransportTimeout(f"{self._target.name} was not connected to in time.", nothing_sent=True)
        try:
            if (link := self._usable_link()) is not None:
                return link
            link = self._connect(until=until)
        finally:
            self._connecting.release()
        return link

    def _usable_link(self) -> Link | None:
        with self._lock:
            if self._closed:
                raise Unreachable(f"The connection to {self._target.name} was given up.", nothing_sent=True)
            link = self._link
            if link is not None and link.is_alive and link.received_bytes < RENEW_BYTES:
                link.users += 1
                return link
            if link is None and self._failure is not None and time.monotonic() < self._not_before:
                raise _again(self._failure)
        if link is not None:
            self.give_up(link)
        return None

    def _connect(self, *, until: float) -> Link:
        try:
            link = connect(self._target, until=min(until, time.monotonic() + self._connect_seconds))
        except TransportError as error:
            with self._lock:
                self._note_failure(error)
            raise
        _open_links.add(link)
        with self._lock:
            link.users = 1
            closed = self._closed
            if not closed:
                self._link = link
        if closed:
            _end(link)
            raise Unreachable(f"The connection to {self._target.name} was given up.", nothing_sent=True)
        return link

    def _leave(self, link: Link) -> None:
        if self._process != process_key():
            return  # it is the parent's
        with self._lock:
            link.users -= 1
            close = link.given_up and link.users == 0
        if close:
            _end(link)

    def _note_failure(self, error: TransportError) -> None:
        """When to try again: soon at first, seldom when it lasts, and not soon where only a person can help."""
        self._failures += 1
        self._failure = error
        dead = self._failures - _DEAD_AFTER_FAILURES
        if isinstance(error, LoginRefused | HostKeyProblem):
            pause = _RETRY_DEAD_SECONDS
        elif dead > 0:
            pause = min(_RETRY_SELDOM_SECONDS * 2.0 ** min(dead, 10), _RETRY_DEAD_SECONDS)
        else:
            pause = min(_RETRY_SECONDS * 2.0 ** (self._failures - 1), _RETRY_SELDOM_SECONDS)
        self._not_before = time.monotonic() + pause * random.uniform(0.5, 1)  # noqa: S311  # only to part boards


def _stream_window(link: Link) -> int:
    fitting = int((link.round_trip_seconds or 0.02) * _STREAM_BYTES_A_SECOND)
    return min(max(fitting, STREAM_WINDOW_BYTES[0]), STREAM_WINDOW_BYTES[-1])


def _end(link: Link) -> None:
    link.close()
    _open_links.discard(link)


def _again(error: TransportError) -> TransportError:
    """The same error once more, as its own object: other threads raise it too."""
    if isinstance(error, HostKeyProblem):
        return type(error)(str(error), seen=error.seen, server_id=error.server_id)
    if isinstance(error, LoginRefused):
        return LoginRefused(str(error))
    return Unreachable(str(error), nothing_sent=True)


def _too_late(target: SshTarget, error: Exception) -> TransportError:
    if isinstance(error, paramiko.ChannelException):
        return Unreachable(f"{target.name} allows no further session (MaxSessions).", nothing_sent=True)
    return TransportTimeout(f"{target.name} opened no channel in time.", nothing_sent=True)
