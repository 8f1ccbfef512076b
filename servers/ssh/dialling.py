"""Reaches a host: the bytes' way to its sshd, directly or through a jump host. It is not in charge of what follows."""

import contextlib
import re
import socket
import struct
import time

import paramiko

from buildboard.core.crypto import UNSOUND
from servers.ssh.target import SshTarget
from servers.transport import Unreachable

# A peer that acknowledges nothing for so long is dead. Keep-alives alone detect nothing: they only see to it
# that there is something to acknowledge.
DEAD_PEER_SECONDS = 20
KEEPALIVE_SECONDS = 15
# What a host, or a way there, can make the library raise: its parsers stumble in every manner over what is no SSH.
LIBRARY_ERRORS = (
    paramiko.SSHException,
    EOFError,
    OSError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
    *UNSOUND,
)
_FORWARD_WINDOW_BYTES = 32 << 20
_PROHIBITED = 1  # the reason code of a channel that a server's settings forbid


class _PromptSocket(socket.socket):
    """Acknowledges at once: a host waits for that before it sends on what is small, 40 ms a time."""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        if hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # it lasts for a few packets only
        return super().recv(bufsize, flags)


def dial(hop: SshTarget, *, until: float) -> socket.socket:
    """A socket connected to the host. Raises Unreachable. Names are looked up in the system's own time."""
    try:
        dialled = socket.create_connection((hop.hostname, hop.port), timeout=left_until(until))
    except TimeoutError:
        raise Unreachable(f"{hop.name} does not answer.", nothing_sent=True) from None
    except ConnectionRefusedError:
        raise Unreachable(
            f"{hop.name} refuses connections: see that sshd runs there.", nothing_sent=True
        ) from None
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{hop.name} cannot be reached: {told(error)}.", nothing_sent=True) from None
    options = [
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", KEEPALIVE_SECONDS),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", DEAD_PEER_SECONDS * 1000),
    ]
    for level, name, value in options:
        with contextlib.suppress(OSError, AttributeError):  # not all systems have all
            dialled.setsockopt(level, getattr(socket, name), value)
    timeout = dialled.gettimeout()
    prompt = _PromptSocket(fileno=dialled.detach())
    prompt.settimeout(timeout)
    return prompt


def dial_through(below: paramiko.Transport, hop: SshTarget, *, until: float) -> paramiko.Channel:
    """A channel of a jump host that leads to the host. Raises Unreachable."""
    try:
        return below.open_channel(
            "direct-tcpip",
            (hop.hostname, hop.port),
            ("127.0.0.1", 0),
            window_size=_FORWARD_WINDOW_BYTES,
            timeout=left_until(until),
        )
    except LIBRARY_ERRORS as error:
        forbidden = isinstance(error, paramiko.ChannelException) and error.code == _PROHIBITED
        why = "does not let connections through (AllowTcpForwarding)" if forbidden else "does not reach it"
        raise Unreachable(f"{hop.name} cannot be reached: its jump host {why}.", nothing_sent=True) from None


def left_until(until: float) -> float:
    """Seconds until then by the monotonic clock. Raises Unreachable when there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise Unreachable("There was no time left to connect.", nothing_sent=True)
    return left


def told(error: BaseException) -> str:
    """What a host or a library said, fit for a sentence: one printable line of ASCII."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    plain = re.sub(r"[^ -~]+", " ", text or type(error).__name__).strip()
    return plain[:200].rstrip(".") or type(error).__name__
