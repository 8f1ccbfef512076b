"""A TCP proxy on loopback that misbehaves on demand: falls silent, goes away, cuts or damages what a server says.

It asserts nothing.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Self

from tests.listening import Listener

_CHUNK_BYTES = 1 << 16


class TcpProxy:
    """`with TcpProxy(port) as proxy:` passes connections to `proxy.port` on to `port` of this machine."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = Listener()
        self.port = self._listener.port
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._silenced: set[socket.socket] = set()
        self._cut_after: int | None = None
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self._is_away = False
        self.damages = False  # one bit of each piece from the server

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def silence(self) -> None:
        """Pass nothing on any more for the connections of now, both ways, and end none: they are half open."""
        with self._lock:
            self._silenced.update(self._sockets)

    def cut(self) -> None:
        """End the connections of now."""
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """End the connections of now, and meanwhile new ones at once."""
        self._is_away = True
        self.cut()
        try:
            yield
        finally:
            self._is_away = False

    def cut_after(self, count: int) -> None:
        """End each connection, those of now too, after so many more bytes from the server."""
        self._cut_after = count

    def _accept(self) -> None:
        for client in self._listener.clients():
            self.connections += 1
            if self._is_away:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target_port), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._sockets += [client, server]
            self._begin(self._pass_on, client, server, False)
            self._begin(self._pass_on, server, client, True)

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(_CHUNK_BYTES):
                if source in self._silenced:
                    continue
                if counted and self._cut_after is not None:
                    piece = piece[: self._cut_after - passed]
                    passed += len(piece)
                if counted and self.damages:
                    piece = piece[:-1] + bytes([piece[-1] ^ 1])
                sink.sendall(piece)
                if counted and self._cut_after is not None and passed >= self._cut_after:
                    break
        with self._lock:
            silenced = source in self._silenced
            self._sockets = [one for one in self._sockets if one is not source]
        for one in () if silenced else (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()
