"""Host keys: read from what people paste, shown as ssh-keygen shows them, refused with a sentence."""

import base64
import struct
import subprocess
from pathlib import Path

import pytest

from servers.host_keys import KINDS, fingerprint_of, key_of_blob, parse_host_key, parse_host_keys
from tests.requirements import require
from tests.ssh_servers import make_key


def wire(*fields: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(field)) + field for field in fields)


def line(kind: str, *fields: bytes, inside: str = "") -> str:
    return f"{kind} {base64.b64encode(wire((inside or kind).encode(), *fields)).decode()}"


ED25519 = line("ssh-ed25519", bytes(32))
ECDSA = line("ecdsa-sha2-nistp256", b"nistp256", b"\4" + bytes(64))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_fingerprint_is_the_one_that_ssh_keygen_shows(tmp_path: Path, kind: str) -> None:
    require("ssh-keygen")
    public = make_key(tmp_path / "key", kind=kind)
    shown = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, check=True)

    key = parse_host_key(public)

    assert key.kind in KINDS
    assert key.fingerprint == shown.stdout.decode().split()[1]
    assert key.line == " ".join(public.split()[:2])
    assert key_of_blob(key.blob) == key
    assert fingerprint_of(public) == key.fingerprint


@pytest.mark.parametrize(
    "text",
    [
        ED25519,
        f"  {ED25519} root@host  \n",
        f"host.example,10.0.0.1 {ED25519}",
        f"[127.0.0.1]:2222 {ED25519} a comment",
        f"|1|c2FsdA==|aGFzaA== {ED25519}",
        f"# host:22 SSH-2.0-OpenSSH_9.2\nhost {ED25519}\n\n",
        f"{ED25519}\n{ED25519}\n",
    ],
)
def test_lines_of_every_form_are_read(text: str) -> None:
    assert parse_host_key(text).line == ED25519


def test_several_keys_are_read_where_several_may_be() -> None:
    assert [key.line for key in parse_host_keys(f"{ED25519}\n{ECDSA}\n")] == [ED25519, ECDSA]
    assert parse_host_keys("") == ()
    with pytest.raises(ValueError, match="several"):
        parse_host_key(f"{ED25519}\n{ECDSA}\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no host key"),
        ("# comment", "no host key"),
        ("hello world", "no host key"),
        ("ssh-ed25519", "cut off"),
        (f"@cert-authority * {ED25519}", "Certificate"),
        ("ssh-dss AAAAB3NzaC1kc3M=", "ssh-dss are not accepted"),
        ("host sk-ssh-ed25519@openssh.com AAAA", "not accepted"),
        ("ssh-ed25519 A?AA", "base64"),
        (ED25519[:-8], "cut off|base64"),
        (line("ssh-ed25519", bytes(31)), "cut off"),
        (line("ssh-ed25519", bytes(32), b"more"), "cut off"),
        (line("ssh-ed25519", bytes(32), inside="ssh-rsa"), "its type"),
        (line("ecdsa-sha2-nistp256", b"nistp384", b"\4" + bytes(64)), "cut off"),
        (line("ssh-rsa", b"\1\0\1", b"\x7f" + bytes(100)), "2048 bits"),
        ("ssh-ed25519 " + base64.b64encode(b"\xff\xff\xff\xff").decode(), "cut off"),
        ("x" * 20_000, "too long"),
    ],
)
def test_what_is_no_key_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_host_key(text)
    assert fingerprint_of(text) is None


@pytest.mark.parametrize("blob", [b"", b"\0", wire(b"ssh-dss", b"x"), wire(b"\xff"), wire(b"ssh-rsa")])
def test_a_shown_key_of_no_accepted_type_is_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match="key"):
        key_of_blob(blob)
