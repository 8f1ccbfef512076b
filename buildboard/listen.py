"""Opens the listening socket that all web processes of a machine share."""

import errno
import os
import socket

BACKLOG = 1024


class ListenError(Exception):
    """The address cannot be listened on; the message is a sentence that says why and what to do."""


def open_socket(host: str, port: int) -> socket.socket:
    """A listening TCP socket on `host` and `port` (0: any free one). Raises ListenError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(f"--host: {host} is not an address of this machine") from error
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ListenError(_explain(error, host=host, port=port)) from error
    return listening


def _explain(error: OSError, *, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; stop what listens there, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"this account may not listen on port {port}; choose one over 1023 with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host: {host} is not an address of this machine"
    return f"port {port} of {host} cannot be listened on ({os.strerror(error.errno or 0)})"


def url_of(listening: socket.socket) -> str:
    """The address for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # only compared
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
