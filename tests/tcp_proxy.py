"""A TCP proxy on loopback that misbehaves on demand: falls silent, or cuts what a server says. It asserts nothing."""

import contextlib
import socket
import threading
from typing import Self

_CHUNK_BYTES = 1 << 16


class TcpProxy:
    """`with TcpProxy(port) as proxy:` passes connections to `proxy.port` on to `port` of this machine."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._silenced: set[socket.socket] = set()
        self._cut_after: int | None = None
        self.connections = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

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

    def cut_after(self, count: int) -> None:
        """End each connection, those of now too, after so many more bytes from the server."""
        self._cut_after = count

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._target_port), 5)
            server.settimeout(None)
            with self._lock:
                self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(
                    target=self._pass_on, args=(source, sink, source is server), daemon=True
                ).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(_CHUNK_BYTES):
                if source in self._silenced:
                    continue
                if counted and self._cut_after is not None:
                    piece = piece[: self._cut_after - passed]
                    passed += len(piece)
                sink.sendall(piece)
                if counted and self._cut_after is not None and passed >= self._cut_after:
                    break
        if source not in self._silenced:
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            with self._lock:
                self._sockets = [one for one in self._sockets if one not in {source, sink}]
            source.close()
