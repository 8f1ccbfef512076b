"""Host keys as values: what a pin is, how one is read from what people paste, and its fingerprint.

It is not in charge of comparing keys with those of a connection (ssh/), nor of who accepts one.
"""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

_CURVE_BYTES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}  # of an uncompressed point
_ED25519_BYTES = 32
_RSA_BITS = range(2048, 16_385)
_MOST_CHARACTERS = 16_384
KINDS = ("ssh-ed25519", *(f"ecdsa-sha2-{curve}" for curve in _CURVE_BYTES), "ssh-rsa")


@dataclass(frozen=True)
class HostKey:
    """The public key by which a server proves who it is; `blob` is what goes over the wire."""

    kind: str
    blob: bytes

    @property
    def line(self) -> str:
        """`TYPE BASE64`, as in a known_hosts file without the host."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """`SHA256:...`, as `ssh-keygen -l` shows it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return f"SHA256:{digest.rstrip('=')}"

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"


def parse_host_key(text: str) -> HostKey:
    """The one key in a `.pub` file, a line of known_hosts or what ssh-keyscan printed.

    Raises ValueError with a sentence for people: none, several, no key, or of a type that is not accepted.
    """
    keys = parse_host_keys(text)
    if not keys:
        raise ValueError("There is no host key in it. Paste a line such as `ssh-ed25519 AAAA...`.")
    if len(keys) > 1:
        raise ValueError("There are several host keys in it. Paste one of them, best the ssh-ed25519 one.")
    return keys[0]


def parse_host_keys(text: str) -> tuple[HostKey, ...]:
    """All keys of a text, a line each; empty lines and comments are passed over. ValueError as above."""
    if len(text) > _MOST_CHARACTERS:
        raise ValueError("This is too long to be a host key.")
    lines = (line.strip() for line in text.splitlines())
    return tuple(dict.fromkeys(_parse_line(line) for line in lines if line and not line.startswith("#")))


def _parse_line(line: str) -> HostKey:
    words = line.split()
    if words[0].startswith("@"):
        raise ValueError(
            "Certificate authorities and revoked keys cannot be pinned. Paste the host's own key."
        )
    found = next((at for at, word in enumerate(words[:2]) if word in KINDS), None)
    if found is None:
        kind = next((word for word in words[:2] if word.startswith(("ssh-", "ecdsa-", "sk-"))), "")
        known = "Accepted are ssh-ed25519, ecdsa-sha2-nistp256/384/521 and ssh-rsa."
        raise ValueError(
            f"Host keys of type {kind[:40]} are not accepted. {known}"
            if kind
            else f"There is no host key in this line. {known}"
        )
    if len(words) <= found + 1:
        raise ValueError("The key is cut off: after its type there is nothing.")
    try:
        blob = base64.b64decode(words[found + 1], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("The key is damaged: it is not base64. Copy the whole line once more.") from None
    _check_blob(blob, kind=words[found])
    return HostKey(kind=words[found], blob=blob)


def fingerprint_of(text: str) -> str | None:
    """The fingerprint of the first key of a text; None when there is no key in it."""
    try:
        return parse_host_keys(text)[0].fingerprint
    except (ValueError, IndexError):
        return None


def key_of_blob(blob: bytes) -> HostKey:
    """The key that a server showed. Raises ValueError when it is of a type that is not accepted."""
    kind = _fields(blob)[0].decode("ascii", errors="replace")
    if kind not in KINDS:
        raise ValueError(f"Host keys of type {kind[:40]} are not accepted.")
    _check_blob(blob, kind=kind)
    return HostKey(kind=kind, blob=blob)


def _check_blob(blob: bytes, *, kind: str) -> None:
    name, *parts = _fields(blob)
    if name.decode("ascii", errors="replace") != kind:
        raise ValueError("The key is damaged: its type is not the one that it says inside.")
    if kind == "ssh-ed25519":
        sound = [len(part) for part in parts] == [_ED25519_BYTES]
    elif kind == "ssh-rsa":
        sound = len(parts) == 2
        if sound and int.from_bytes(parts[1]).bit_length() not in _RSA_BITS:
            raise ValueError("RSA host keys must have 2048 bits or more. Make an ed25519 one on the server.")
    else:
        curve = kind.rpartition("-")[2]
        sound = len(parts) == 2 and parts[0] == curve.encode() and len(parts[1]) == _CURVE_BYTES[curve]
    if not sound:
        raise ValueError("The key is damaged or cut off. Copy the whole line once more.")


def _fields(blob: bytes) -> list[bytes]:
    """The length-prefixed strings that a key is made of."""
    fields = []
    at = 0
    while at < len(blob):
        if len(blob) - at < 4:
            raise ValueError("The key is damaged or cut off. Copy the whole line once more.")
        (length,) = struct.unpack_from(">I", blob, at)
        at += 4
        if length > len(blob) - at:
            raise ValueError("The key is damaged or cut off. Copy the whole line once more.")
        fields.append(blob[at : at + length])
        at += length
    if not fields:
        raise ValueError("The key is empty.")
    return fields
