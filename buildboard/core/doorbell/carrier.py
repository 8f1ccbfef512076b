"""What carries bells: the contract that the three carriers keep."""

import socket
from typing import Protocol


class Carrier(Protocol):
    """One way to ring, and to listen. `ring` needs no `open`; the rest is called by one thread."""

    errors: tuple[type[Exception], ...]
    """What `open` and `receive` may raise when the carrier is out of reach; the listener tries again."""

    def ring(self, bell: str) -> None:
        """Send one bell to all listeners; may raise, may lose it, waits at most a second or so."""

    def open(self) -> None:
        """Begin to hear."""

    def receive(self, wake: socket.socket, *, timeout_seconds: float) -> list[str]:
        """The bells that came, none when the time is over or `wake` became readable."""

    def close(self) -> None:
        """Stop hearing; also when it was never open."""
