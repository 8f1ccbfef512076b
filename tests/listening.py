"""A TCP port of loopback and whoever connects to it. What they are told is not its business."""

import contextlib
import socket
from collections.abc import Iterator


class Listener:
    """It listens from the start, at `port`, until it is closed."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])

    def clients(self) -> Iterator[socket.socket]:
        """One after the other, until it is closed, by another thread too."""
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            yield client

    def close(self) -> None:
        """Take nobody any more; who is there already stays."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
