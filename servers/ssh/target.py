"""Whom to connect to over SSH, as plain values. It is not in charge of where they are stored (connections.py)."""

import re
from dataclasses import dataclass, field

from servers.host_keys import HostKey

# It becomes a part of a command line of any login shell, as it stands.
_WORK_DIR = re.compile(r"/[A-Za-z0-9._/-]*[A-Za-z0-9._-]")
_PORTS = range(1, 65_536)


@dataclass(frozen=True)
class SshTarget:
    """An account on a host, what proves who we are, and what proves who the host is.

    private_key: OpenSSH text without a passphrase. host_keys: the pinned ones; without any nobody logs in.
    jump: the host to go through. work_dir: "" is `.buildboard` in the account's home.
    server_id: the row that this comes from, named by errors about host keys.
    """

    hostname: str
    port: int
    username: str
    private_key: str = field(repr=False)
    host_keys: tuple[HostKey, ...]
    jump: "SshTarget | None" = None
    work_dir: str = ""
    server_id: str = ""

    def __post_init__(self) -> None:
        if self.port not in _PORTS:
            raise ValueError("a port is a number from 1 to 65535")
        check_work_dir(self.work_dir)

    @property
    def name(self) -> str:
        """`host:port`, for sentences."""
        return f"{self.hostname}:{self.port}"

    @property
    def hops(self) -> tuple["SshTarget", ...]:
        """All hosts to connect to, one through the other, this one last."""
        return (*(self.jump.hops if self.jump else ()), self)


def check_work_dir(work_dir: str) -> None:
    """Raise ValueError, with a sentence for people, unless it is empty or can stand in a command line."""
    if work_dir and (not _WORK_DIR.fullmatch(work_dir) or ".." in work_dir.split("/")):
        raise ValueError(
            "A work folder is an absolute path of letters, digits, dots, dashes and underscores, without `..`."
        )
