"""SSH key pairs: made, read from all that people bring, and refused with a sentence that has no key in it."""

import base64
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from buildboard.core.crypto import generate_ssh_key_pair, load_ssh_private_key
from tests.requirements import require

TYPES = {
    "ed25519": ["ed25519"],
    "ecdsa": ["ecdsa"],
    "p521": ["ecdsa", "-b", "521"],
    "rsa": ["rsa", "-b", "2048"],
}


@pytest.fixture(autouse=True)
def _needs() -> None:
    require("ssh-keygen")


def make(path: Path, *options: str, passphrase: str = "") -> tuple[str, str]:
    """Private text and public line, as ssh-keygen writes them."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", *options, "-N", passphrase, "-C", "", "-f", str(path)], check=True
    )
    return path.read_text(), path.with_name(f"{path.name}.pub").read_text().strip()


def public_line(path: Path, private: str) -> str:
    """What ssh-keygen says the public half is; it refuses what OpenSSH cannot read."""
    path.write_text(private)
    path.chmod(0o600)
    done = subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", str(path)], capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_a_made_pair_is_what_openssh_reads(tmp_path: Path) -> None:
    private, public = generate_ssh_key_pair("buildboard at x")

    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert public.startswith("ssh-ed25519 AAAA")
    assert public.endswith(" buildboard-at-x")
    assert public_line(tmp_path / "key", private).split()[:2] == public.split()[:2]
    assert generate_ssh_key_pair("")[0] != private


def test_a_comment_cannot_add_a_line() -> None:
    public = generate_ssh_key_pair('x\nssh-ed25519 AAAA evil,command="sh"')[1]

    assert public.split()[2:] == ["x-ssh-ed25519-AAAA-evil-command-sh"]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("passphrase", ["", "pässphrase 'x'"])
def test_keys_of_every_accepted_type_are_read(tmp_path: Path, kind: str, passphrase: str) -> None:
    given, public = make(tmp_path / "given", *TYPES[kind], passphrase=passphrase)

    text, line = load_ssh_private_key(given, passphrase=passphrase or None)

    assert line == public
    assert public_line(tmp_path / "read", text).split()[:2] == public.split()[:2]


@pytest.mark.parametrize("form", ["PEM", "PKCS8"])
def test_older_forms_are_read(tmp_path: Path, form: str) -> None:
    given, public = make(tmp_path / "given", "rsa", "-b", "2048", "-m", form)

    assert load_ssh_private_key(given)[1] == public


def test_an_encrypted_pem_key_is_read_with_its_passphrase(tmp_path: Path) -> None:
    given, public = make(tmp_path / "given", "rsa", "-b", "2048", "-m", "PEM", passphrase="right one")

    assert load_ssh_private_key(given, passphrase="right one")[1] == public
    with pytest.raises(ValueError, match="passphrase is wrong"):
        load_ssh_private_key(given, passphrase="wrong")


def test_line_ends_spaces_and_a_needless_passphrase_do_no_harm(tmp_path: Path) -> None:
    given, public = make(tmp_path / "given", "ed25519")

    assert (
        load_ssh_private_key("\r\n  " + given.replace("\n", "\r\n") + " ", passphrase="needless")[1] == public
    )


def test_a_passphrase_is_asked_for_and_checked(tmp_path: Path) -> None:
    given, _ = make(tmp_path / "given", "ed25519", passphrase="right one")

    with pytest.raises(ValueError, match="has a passphrase"):
        load_ssh_private_key(given)
    for wrong in ("wrong", "\ud800"):
        with pytest.raises(ValueError, match="passphrase is wrong"):
            load_ssh_private_key(given, passphrase=wrong)


def test_a_key_that_asks_for_endless_work_is_refused_at_once(tmp_path: Path) -> None:
    given, _ = make(tmp_path / "given", "ed25519", passphrase="right one")
    raw = base64.b64decode("".join(given.splitlines()[1:-1]))
    rounds = raw.index(b"bcrypt") + 6 + 4 + 4 + 16
    assert raw[rounds : rounds + 4] == struct.pack(">I", 16)
    slow = base64.b64encode(raw[:rounds] + struct.pack(">I", 2**31) + raw[rounds + 4 :]).decode()

    with pytest.raises(ValueError, match="rounds of work"):
        load_ssh_private_key(
            f"-----BEGIN OPENSSH PRIVATE KEY-----\n{slow}\n-----END OPENSSH PRIVATE KEY-----\n",
            passphrase="right one",
        )


def test_what_is_no_private_key_is_said_to_be_what_it_is(tmp_path: Path) -> None:
    given, public = make(tmp_path / "given", "ed25519")
    lines = given.splitlines()
    refused = {
        "": "not a private key",
        "hello": "not a private key",
        public: "is a public key",
        "PuTTY-User-Key-File-3: ssh-ed25519": "PuTTY",
        "\n".join([lines[0], *lines[2:]]): "damaged",
        "\n".join(lines[:-1]): "damaged",
        "\n".join([lines[0], "!" + lines[1], *lines[2:]]): "damaged",
        "\n".join([lines[0], lines[-1]]): "damaged",
        "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----": "damaged",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----": "ssh-keygen -p",
        "x" * 70_000: "too long",
    }

    for text, reason in refused.items():
        with pytest.raises(ValueError, match=reason) as failed:
            load_ssh_private_key(text)
        assert not any(line in str(failed.value) for line in lines[1:-1])
        assert failed.value.__cause__ is None


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["genrsa", "-traditional", "1024"], "2048"),
        (["ecparam", "-genkey", "-noout", "-name", "secp256k1"], "P-256"),
        (["genpkey", "-algorithm", "ed448"], "type"),
    ],
)
def test_weak_and_strange_keys_are_refused(command: list[str], reason: str) -> None:
    require("openssl")
    given = subprocess.run(["openssl", *command], capture_output=True, text=True, check=True).stdout

    with pytest.raises(ValueError, match=reason):
        load_ssh_private_key(given)


def test_dsa_is_refused() -> None:
    require("openssl")
    openssl = shutil.which("openssl") or ""
    parameters = subprocess.run([openssl, "dsaparam", "1024"], capture_output=True, check=True).stdout
    given = subprocess.run(
        [openssl, "gendsa", "/dev/stdin"], input=parameters, capture_output=True, check=True
    ).stdout

    with pytest.raises(ValueError, match=r"DSA|kind"):
        load_ssh_private_key(given.decode())
