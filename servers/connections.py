"""Opens the way to a server's helper by its transport. It is not in charge of what is asked (runs.py)."""

from pathlib import Path

from servers.local import LocalTransport
from servers.models import BuildServer
from servers.runs import RunClient
from servers.states import TransportKind
from servers.transport import Unreachable


def work_dir_of(server: BuildServer) -> Path:
    """Where a local server's runs and caches lie: its own folder, or `.buildboard` in the account's home."""
    return Path(server.work_dir) if server.work_dir else Path.home() / ".buildboard"


def open_client(server: BuildServer) -> RunClient:
    """A client for the runs of this server. Raises Unreachable for a transport that this release lacks."""
    if server.transport != TransportKind.LOCAL:
        raise Unreachable("This release reaches servers over the local transport only.", nothing_sent=True)
    return RunClient(LocalTransport(work_dir_of(server)))
