"""One SSH connection: dialled, the host's key compared with the pins, and only then logged in.

It is not in charge of keeping it, of who uses it, or of trying again (transport.py).
"""

import contextlib
import io
import socket
import time
from collections.abc import Sequence

import paramiko

from servers.host_keys import KINDS, HostKey, key_of_blob
from servers.ssh.dialling import KEEPALIVE_SECONDS, LIBRARY_ERRORS, dial, dial_through, left_until, told
from servers.ssh.target import SshTarget
from servers.transport import HostKeyMismatch, HostKeyUnknown, LoginRefused, Unreachable

_LATE_SECONDS = 0.2  # the library looks at its clock every 0.1 s
_CIPHERS = (
    "aes128-gcm@openssh.com",  # first: half as fast again as the default
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_DIGESTS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_KEY_CLASSES: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


class Link:
    """An authenticated connection, with those to jump hosts below it. `users` are counted by its keeper."""

    def __init__(self, transports: Sequence[paramiko.Transport]) -> None:
        self.transports = tuple(transports)
        self.users = 0
        self.round_trip_seconds: float | None = None  # the shortest that a channel took to open
        self.received_bytes = 0
        self.worked = False
        self.given_up = False

    @property
    def is_alive(self) -> bool:
        """Whether nothing has been heard of its end yet."""
        return all(transport.is_active() for transport in self.transports)

    def open_channel(self, *, window_bytes: int, until: float) -> paramiko.Channel:
        """A session on it. Raises what paramiko does; the caller turns it into ours."""
        began = time.monotonic()
        channel = self.transports[-1].open_session(window_size=window_bytes, timeout=left_until(until))
        taken = time.monotonic() - began
        self.round_trip_seconds = min(taken, self.round_trip_seconds or taken)
        return channel

    def close(self) -> None:
        """End it now, with everything on it."""
        _close(self.transports)

    def let_go(self) -> None:
        """In a fork: have no part in the parent's connection, which goes on."""
        for transport in self.transports:
            if isinstance(transport.sock, socket.socket):
                transport.sock.close()


def connect(target: SshTarget, *, until: float) -> Link:
    """A connection to the target's account, through its jump hosts, by `until` of the monotonic clock.

    Raises Unreachable, LoginRefused, HostKeyUnknown or HostKeyMismatch, all with `nothing_sent`.
    """
    transports: list[paramiko.Transport] = []
    try:
        for hop in target.hops:
            transports.append(_greet(transports, hop, kinds=_pinned_kinds(hop), until=until))
            _compare(hop, _key_of(transports[-1], hop))
            _log_in(transports[-1], hop, until=until)
    except BaseException:
        _close(transports)
        raise
    return Link(transports)


def read_host_key(target: SshTarget, *, timeout_seconds: float) -> HostKey:
    """The key that the host shows, best type first; it is not compared, and no login is tried there.

    Jump hosts are logged in to, each with its own pin. Raises as `connect` does.
    """
    until = time.monotonic() + timeout_seconds
    below = connect(target.jump, until=until) if target.jump else Link([])
    try:
        return _shown_key(below.transports, target, until=until)
    finally:
        below.close()


def _shown_key(below: Sequence[paramiko.Transport], hop: SshTarget, *, until: float) -> HostKey:
    transport = _greet(below, hop, kinds=KINDS, until=until)
    try:
        return _key_of(transport, hop)
    finally:
        _close([transport])


def _key_of(transport: paramiko.Transport, hop: SshTarget) -> HostKey:
    try:
        return key_of_blob(transport.get_remote_server_key().asbytes())
    except ValueError as error:
        raise Unreachable(
            f"{hop.name} shows a host key that cannot be used: {error}", nothing_sent=True
        ) from None


def _pinned_kinds(hop: SshTarget) -> Sequence[str]:
    """Only types that are pinned are asked for, or the host might show another of its keys."""
    return tuple(dict.fromkeys(key.kind for key in hop.host_keys)) or KINDS


def _compare(hop: SshTarget, seen: HostKey) -> None:
    if not hop.host_keys:
        raise HostKeyUnknown(
            f"The host key of {hop.name} is not accepted yet. It shows {seen}; compare it and accept it.",
            seen=seen,
            server_id=hop.server_id,
            asked=(hop.hostname, hop.port, hop.host_keys),
        )
    if seen not in hop.host_keys:
        raise HostKeyMismatch(
            f"{hop.name} shows another host key than the accepted one: {seen}. Was the machine set up anew?",
            seen=seen,
            server_id=hop.server_id,
            asked=(hop.hostname, hop.port, hop.host_keys),
        )


def _greet(
    below: Sequence[paramiko.Transport], hop: SshTarget, *, kinds: Sequence[str], until: float
) -> paramiko.Transport:
    """Up to the point where the host has proved that it owns the key it shows."""
    transport = paramiko.Transport(
        dial_through(below[-1], hop, until=until) if below else dial(hop, until=until)
    )
    try:
        _limit(transport, kinds=kinds, until=until)
        transport.start_client(timeout=left_until(until))
        transport.get_remote_server_key()  # raises when the exchange is not over yet
    except paramiko.ssh_exception.IncompatiblePeer as error:
        _close([transport])
        if "host key" not in str(error) or set(kinds) == set(KINDS):
            raise Unreachable(
                f"{hop.name} has no SSH algorithm in common with the board: {told(error)}.",
                nothing_sent=True,
            ) from None
        _compare(hop, _shown_key(below, hop, until=until))
        raise Unreachable(f"{hop.name} changes its host keys.", nothing_sent=True) from None
    except LIBRARY_ERRORS as error:
        _close([transport])
        late = time.monotonic() >= until - _LATE_SECONDS
        how = "does not answer as an SSH server in time" if late else f"ends the SSH greeting: {told(error)}"
        raise Unreachable(f"{hop.name} {how}.", nothing_sent=True) from None
    except BaseException:
        _close([transport])
        raise
    return transport


def _limit(transport: paramiko.Transport, *, kinds: Sequence[str], until: float) -> None:
    left = left_until(until)
    transport.banner_timeout = left
    transport.handshake_timeout = left
    transport.channel_timeout = left
    options = transport.get_security_options()
    options.key_types = [name for kind in kinds for name in (_RSA if kind == "ssh-rsa" else (kind,))]
    options.ciphers = _CIPHERS
    options.digests = _DIGESTS


def _log_in(transport: paramiko.Transport, hop: SshTarget, *, until: float) -> None:
    key = _private_key(hop)
    transport.auth_timeout = left_until(until)
    try:
        more = transport.auth_publickey(hop.username, key)
    except paramiko.AuthenticationException as error:
        if not transport.is_active() or time.monotonic() >= until - _LATE_SECONDS:
            raise Unreachable(
                f"{hop.name} was lost during the login: {told(error)}.", nothing_sent=True
            ) from None
        raise LoginRefused(
            f"{hop.name} does not let `{hop.username}` in with this key. "
            "Is the public key in the account's authorized_keys?"
        ) from None
    except LIBRARY_ERRORS as error:
        raise Unreachable(
            f"{hop.name} was lost during the login: {told(error)}.", nothing_sent=True
        ) from None
    if more or not transport.is_authenticated():
        raise LoginRefused(
            f"{hop.name} asks `{hop.username}` for more than a key, which a board cannot give."
        )
    transport.set_keepalive(KEEPALIVE_SECONDS)


def _private_key(hop: SshTarget) -> paramiko.PKey:
    if not hop.private_key:
        raise LoginRefused(
            f"There is no private key for {hop.name} yet. Give the server one, or let one be made."
        )
    for kind in _KEY_CLASSES:
        with contextlib.suppress(paramiko.SSHException, ValueError, IndexError, TypeError):
            return kind.from_private_key(io.StringIO(hop.private_key))
    raise LoginRefused(f"The private key for {hop.name} cannot be read. Give the server its key again.")


def _close(transports: Sequence[paramiko.Transport]) -> None:
    """The last one first. One that never started has only its socket, and a fork may have that, too."""
    for transport in reversed(transports):
        if isinstance(transport.sock, socket.socket):
            with contextlib.suppress(OSError):
                transport.sock.shutdown(socket.SHUT_RDWR)
        transport.close()
        with contextlib.suppress(OSError, EOFError):
            transport.sock.close()
