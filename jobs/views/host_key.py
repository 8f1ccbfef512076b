"""Host keys in words: the pinned one, the one that was seen, and how a person compares it on the server itself."""

from dataclasses import dataclass

from servers.host_keys import parse_host_key
from servers.models import BuildServer
from servers.states import TransportKind

# As sshd's own packages name them.
_FILES = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa", "ecdsa": "ecdsa"}
_KINDS = {"ssh-ed25519": "Ed25519", "ssh-rsa": "RSA", "ecdsa": "ECDSA"}


@dataclass(frozen=True)
class KeyShown:
    """A key as people compare it."""

    kind: str
    fingerprint: str
    line: str
    compare_with: str


@dataclass(frozen=True)
class HostKeyPart:
    """The pinned key and the one that waits to be accepted; either may be missing."""

    pinned: KeyShown | None
    seen: KeyShown | None

    @property
    def is_changed(self) -> bool:
        """Whether the server shows another key than the pinned one."""
        return self.pinned is not None and self.seen is not None


def host_key_part(server: BuildServer) -> HostKeyPart | None:
    """What to show of a server's host keys; None when it is reached without SSH."""
    if server.transport != TransportKind.SSH:
        return None
    return HostKeyPart(_key_shown(server.host_key), _key_shown(server.seen_host_key))


def _key_shown(line: str) -> KeyShown | None:
    try:
        key = parse_host_key(line)
    except ValueError:
        return None
    family = "ecdsa" if key.kind.startswith("ecdsa-") else key.kind
    path = f"/etc/ssh/ssh_host_{_FILES[family]}_key.pub"
    return KeyShown(_KINDS[family], key.fingerprint, key.line, f"ssh-keygen -lf {path}")
