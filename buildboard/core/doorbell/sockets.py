"""Bells over Unix datagram sockets, one a listener, in `<data dir>/bells`: for processes of one machine."""

import fcntl
import os
import secrets
import shutil
import socket
import stat
import tempfile
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

# The kernel takes 108 bytes, other systems 104.
MAX_PATH_BYTES = 100
NAME_BYTES = 24


class SocketCarrier:
    """Rings by a datagram to every socket in the folder; a socket that nobody reads is removed."""

    errors: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._socket: socket.socket | None = None
        self._path: Path | None = None

    def ring(self, bell: str) -> None:
        folder = find_folder(self._data_dir)
        if folder is None:
            return
        message = bell.encode()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            for path in folder.iterdir():
                try:
                    sender.sendto(message, os.fspath(path))
                except ConnectionRefusedError:
                    path.unlink(missing_ok=True)
                except OSError:  # full, or just gone
                    continue

    def open(self) -> None:
        folder = make_folder(self._data_dir)
        self._path = folder / f"{os.getpid()}.{secrets.token_hex(4)}.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(os.fspath(self._path))
        self._path.chmod(0o600)

    def receive(self, wake: socket.socket, *, timeout_seconds: float) -> list[str]:
        if self._socket is None or self._path is None:
            raise OSError("not open")
        ready = wait([self._socket, wake], timeout_seconds)
        if not ready and not self._path.exists():
            raise FileNotFoundError(f"{self._path} was removed")
        bells: list[str] = []
        with suppress(BlockingIOError):
            while True:
                bells.append(self._socket.recv(4096).decode(errors="replace"))
        return bells

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def find_folder(data_dir: Path) -> Path | None:
    """The folder of the sockets; None when no listener has made it yet, or when it is not safe to use."""
    link = data_dir / "bells"
    try:
        folder = link.readlink() if link.is_symlink() else link
        return folder if _is_private(folder) else None
    except OSError:
        return None


def make_folder(data_dir: Path) -> Path:
    """The folder of the sockets, made if need be (0700).

    When its paths would be too long for a socket it is a private temporary folder, which the symbolic link
    `<data dir>/bells` names for every process of this data dir.
    """
    folder = data_dir / "bells"
    if len(os.fsencode(folder)) + NAME_BYTES <= MAX_PATH_BYTES:
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder
    with (data_dir / "bells.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = find_folder(data_dir)
        if found is not None and found != folder:
            return found
        if folder.is_dir() and not folder.is_symlink():  # the data dir was moved to here
            shutil.rmtree(folder)
        folder.unlink(missing_ok=True)
        short = Path(tempfile.mkdtemp(prefix="bb-bells-", dir=_short_temporary_folder()))
        folder.symlink_to(short)
        return short


def _short_temporary_folder() -> str:
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) + 2 * NAME_BYTES <= MAX_PATH_BYTES else "/tmp"  # noqa: S108  # mkdtemp makes a private folder in it


def _is_private(folder: Path) -> bool:
    """Whether it is a folder of this account alone: a removed temporary one could be remade by a stranger."""
    facts = folder.lstat()
    is_ours = os.geteuid() in (facts.st_uid, 0)
    return is_ours and stat.S_ISDIR(facts.st_mode) and not facts.st_mode & 0o077
