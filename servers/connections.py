"""Opens the way to a server's helper by its transport: one warm SSH connection a process and server.

It is not in charge of what is asked (runs.py), nor of how a connection is made and kept (ssh/).
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from buildboard.core.crypto import DecryptionError, decrypt
from servers.host_keys import HostKey, parse_host_keys
from servers.local import LocalTransport
from servers.models import BuildServer
from servers.runs import RunClient
from servers.ssh import SshTarget, SshTransport, check_work_dir, process_key, read_host_key
from servers.states import TransportKind
from servers.transport import LoginRefused, Transport, Unreachable

MOST_JUMPS = 8


@dataclass(frozen=True)
class _Kept:
    """A connection, with the settings that it was made for."""

    settings: tuple[object, ...]
    transport: SshTransport
    client: RunClient


class _Pool:
    """The connections of one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kept: dict[UUID, _Kept] = {}


# By process: a fork begins without any, and leaves alone those of its parent.
_pools: dict[tuple[int, int], _Pool] = {}


def work_dir_of(server: BuildServer) -> Path:
    """Where a local server's runs and caches lie: its own folder, or `.buildboard` in the account's home."""
    return Path(server.work_dir) if server.work_dir else Path.home() / ".buildboard"


def open_client(server: BuildServer) -> RunClient:
    """A client for the runs of this server: over SSH the process's own, which lasts until its row changes.

    Connects with the first call. Raises LoginRefused and Unreachable for rows that nobody can connect to.
    """
    if server.transport == TransportKind.LOCAL:
        return RunClient(LocalTransport(work_dir_of(server)))
    return _keep(server).client


def open_fresh_transport(server: BuildServer) -> Transport:
    """One that shares nothing and has seen no failure yet; the caller closes it."""
    if server.transport == TransportKind.LOCAL:
        return LocalTransport(work_dir_of(server))
    return SshTransport(target_of(server))


def read_shown_host_key(server: BuildServer, *, timeout_seconds: float) -> HostKey:
    """The host key that this server shows now. No login is tried on it, and its own key is not needed."""
    target = _target(hops_of(server), own_key=False)
    return read_host_key(target, timeout_seconds=timeout_seconds)


def way_to(server: BuildServer) -> tuple[object, ...]:
    """All of the rows that a connection depends on: when it differs from before, connect anew."""
    try:
        return _settings_of(hops_of(server))
    except Unreachable as error:
        return (server.pk, str(error))


def forget_failures(server_id: UUID) -> None:
    """Somebody was let in just now: that it failed before is no reason to wait. Calls under way end as they would."""
    pool = _pool()
    with pool.lock:
        kept = pool.kept.pop(server_id, None)
    if kept is not None:
        kept.transport.retire()


def forget_connections(server_id: UUID | None = None) -> None:
    """End the connections of this process to one server, or to all. Builds go on; the next call connects anew."""
    pool = _pool()
    with pool.lock:
        gone = [pool.kept.pop(id) for id in list(pool.kept) if server_id in {None, id}]
    for kept in gone:
        kept.transport.close()


def target_of(server: BuildServer) -> SshTarget:
    """Whom to connect to, jump hosts included. Raises LoginRefused and Unreachable as `open_client` does."""
    return _target(hops_of(server), own_key=True)


def hops_of(server: BuildServer) -> list[BuildServer]:
    """The servers to go through, this one last. Raises Unreachable for jump hosts in a circle.

    One query at most, however many there are; none when all are read already.
    """
    hops = [server]
    while (jump := _jump_host_of(hops)) is not None:
        if jump.pk in {hop.pk for hop in hops}:
            raise Unreachable(
                f"The jump hosts of {server.name} lead in a circle. Change one.", nothing_sent=True
            )
        if jump.transport != TransportKind.SSH:
            raise Unreachable(f"{jump.name} is not reached over SSH: it is no jump host.", nothing_sent=True)
        if len(hops) > MOST_JUMPS:
            raise Unreachable(
                f"{server.name} is behind more than {MOST_JUMPS} jump hosts.", nothing_sent=True
            )
        hops.insert(0, jump)
    return hops


def _jump_host_of(hops: list[BuildServer]) -> BuildServer | None:
    """The next one; the first that was not read yet brings all that are jump hosts of any server."""
    first, relation = hops[0], BuildServer._meta.get_field("jump_host")
    if first.jump_host_id is not None and not relation.is_cached(first):
        used = BuildServer.objects.filter(jump_host__isnull=False).values("jump_host")
        rows = {row.pk: row for row in BuildServer.objects.filter(pk__in=used)}
        for row in (first, *rows.values()):
            if row.jump_host_id in rows:
                row.jump_host = rows[row.jump_host_id]
    return first.jump_host


def _keep(server: BuildServer) -> _Kept:
    """The kept connection if it is for this row as it is now; otherwise a new one in its place."""
    hops = hops_of(server)
    settings = _settings_of(hops)
    pool = _pool()
    with pool.lock:
        kept = pool.kept.get(server.pk)
        if kept is not None and kept.settings == settings:
            return kept
        transport = SshTransport(_target(hops, own_key=True))
        fresh = pool.kept[server.pk] = _Kept(settings, transport, RunClient(transport))
    if kept is not None:
        kept.transport.retire()
    return fresh


def _settings_of(hops: list[BuildServer]) -> tuple[object, ...]:
    return tuple(
        (hop.pk, hop.hostname, hop.ssh_port, hop.ssh_username, hop.private_key, hop.host_key, hop.work_dir)
        for hop in hops
    )


def _target(hops: list[BuildServer], *, own_key: bool) -> SshTarget:
    target: SshTarget | None = None
    for hop in hops:
        with_key = own_key or hop is not hops[-1]
        target = SshTarget(
            hostname=hop.hostname,
            port=hop.ssh_port,
            username=hop.ssh_username,
            private_key=_private_key(hop) if with_key else "",
            host_keys=_host_keys(hop),
            jump=target,
            work_dir=_work_dir(hop) if hop is hops[-1] else "",
            server_id=str(hop.pk),
        )
    assert target is not None  # noqa: S101  # there is always the server itself
    return target


def _private_key(server: BuildServer) -> str:
    if not server.private_key:
        return ""  # said at the login: before it, its host key may be read
    try:
        return decrypt(server.private_key, record=f"The private key of {server.name}")
    except DecryptionError as error:
        raise LoginRefused(f"{error}.") from None


def _host_keys(server: BuildServer) -> tuple[HostKey, ...]:
    try:
        return parse_host_keys(server.host_key)
    except ValueError as error:
        raise Unreachable(f"The accepted host key of {server.name}: {error}", nothing_sent=True) from None


def _work_dir(server: BuildServer) -> str:
    try:
        check_work_dir(server.work_dir)
    except ValueError as error:
        raise Unreachable(f"The work folder of {server.name}: {error}", nothing_sent=True) from None
    return server.work_dir


def _pool() -> _Pool:
    return _pools.get(process_key()) or _pools.setdefault(process_key(), _Pool())
