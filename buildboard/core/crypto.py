"""Credentials: encryption at rest with the Fernet keys of BUILDBOARD_ENCRYPTION_KEYS, newest first; SSH key pairs.

It owns the library `cryptography`; nobody else imports it. No text of a key is in any of its errors.
"""

import base64
import binascii
import re
import struct

from cryptography.exceptions import (  # noqa: TID251  # the owner
    InternalError,
    InvalidSignature,
    InvalidTag,
    UnsupportedAlgorithm,
)
from cryptography.fernet import Fernet, InvalidToken, MultiFernet  # noqa: TID251  # the owner
from cryptography.hazmat.primitives import serialization  # noqa: TID251  # the owner
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa  # noqa: TID251  # the owner
from django.conf import settings
from django.utils.crypto import salted_hmac

# What the library raises for bytes of others that are not sound; for those who use it through another library.
UNSOUND = (InternalError, InvalidSignature, InvalidTag, UnsupportedAlgorithm)
_MOST_KEY_CHARACTERS = 65_536
_RSA_BITS = range(2048, 16_385)
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
# Work that a key's own text asks for before its passphrase can be tried; ssh-keygen writes 16 of itself.
_MOST_ROUNDS = 400
_CONVERT = "Rewrite it with `ssh-keygen -p -f KEY` and try again."
_DAMAGED_KEY = "The key is damaged or cut off. Paste the whole file, first and last line too."
_DOES_NOT_OPEN = "The passphrase is wrong, or the key is damaged."
_MAGIC = b"openssh-key-v1\0"
_OPENSSH = re.compile(r"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END OPENSSH PRIVATE KEY-----", re.DOTALL)
_SshKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class DecryptionError(Exception):
    """A stored credential could not be decrypted with any of the keys; names the record, never the value."""


def make_key() -> str:
    """A new Fernet key (32 random bytes, URL-safe base64)."""
    return Fernet.generate_key().decode()


def is_key(text: str) -> bool:
    """Whether a text can be used as an encryption key."""
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


def webhook_signing_secret() -> str:
    """The board's own secret for `callback_url` notifications, in the form of Standard Webhooks.

    Derived from BUILDBOARD_SECRET_KEY: every machine has the same one, and a new key makes a new one.
    """
    digest = salted_hmac("buildboard.webhooks", "signing secret", algorithm="sha256").digest()
    return "whsec_" + base64.b64encode(digest).decode()


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


def encrypt(value: str) -> str:
    """The value as a Fernet token under the newest key."""
    return _fernet().encrypt(value.encode()).decode()


def decrypt(token: str, *, record: str) -> str:
    """The value of a token made by `encrypt`.

    Raises DecryptionError naming `record` when no key fits.
    """
    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise DecryptionError(
            f"{record} cannot be decrypted: BUILDBOARD_ENCRYPTION_KEYS lacks the key it was stored with"
        ) from error


def is_current(token: str) -> bool:
    """Whether a token was made with the newest key."""
    try:
        Fernet(settings.ENCRYPTION_KEYS[0]).decrypt(token.encode())
    except InvalidToken:
        return False
    return True


def rotate(token: str, *, record: str) -> str:
    """The same value under the newest key. Raises DecryptionError as `decrypt` does."""
    try:
        return _fernet().rotate(token.encode()).decode()
    except InvalidToken as error:
        raise DecryptionError(f"{record} cannot be decrypted with any key") from error


# ---- SSH key pairs --------------------------------------------------------------------------------------
def generate_ssh_key_pair(comment: str) -> tuple[str, str]:
    """A new ed25519 pair: the private key as OpenSSH text without a passphrase, and the public line."""
    return _texts(ed25519.Ed25519PrivateKey.generate(), comment=comment)


def load_ssh_private_key(text: str, *, passphrase: str | None = None, comment: str = "") -> tuple[str, str]:
    """A given key as OpenSSH text without its passphrase, and its public line.

    Raises ValueError with a sentence for people: no private key, a passphrase is missing or wrong, a type or
    size that is not accepted.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip() + "\n"
    _refuse_by_looks(text)
    match = _OPENSSH.search(text)
    encrypted = _is_encrypted(match[1]) if match else "Proc-Type: 4,ENCRYPTED" in text
    if encrypted and not passphrase:
        raise ValueError(
            "This key has a passphrase. Give it too; the board keeps the key under its own keys."
        )
    load = serialization.load_ssh_private_key if match else serialization.load_pem_private_key
    try:
        password = passphrase.encode() if encrypted and passphrase else None
        key = load(text.encode(), password)
    except UnsupportedAlgorithm:
        raise ValueError(f"This key is of a kind that cannot be read here. {_CONVERT}") from None
    except (ValueError, TypeError):
        raise ValueError(_DOES_NOT_OPEN if encrypted else _DAMAGED_KEY) from None
    return _texts(_accepted(key), comment=comment)


def _refuse_by_looks(text: str) -> None:
    if len(text) > _MOST_KEY_CHARACTERS:
        raise ValueError("This is too long to be a private key.")
    if text.startswith("PuTTY-User-Key-File"):
        raise ValueError("This is a PuTTY key. Convert it with `puttygen KEY -O private-openssh`.")
    if text.startswith(("ssh-", "ecdsa-", "sk-")):
        raise ValueError("This is a public key. The private one is in the file without `.pub`.")
    if "-----BEGIN ENCRYPTED PRIVATE KEY-----" in text:
        raise ValueError(f"This form of encrypted key is not read here. {_CONVERT}")
    if "PRIVATE KEY-----" not in text:
        raise ValueError("This is not a private key. One begins with `-----BEGIN OPENSSH PRIVATE KEY-----`.")


def _is_encrypted(body: str) -> bool:
    """Whether it has a passphrase; more rounds of its key derivation than anybody uses are refused."""
    try:
        raw = base64.b64decode("".join(body.split()), validate=True)
        cipher, at = _field(raw, at=len(_MAGIC))
        derivation, at = _field(raw, at=at)
        options, _ = _field(raw, at=at)
        rounds = 0
        if derivation == b"bcrypt":
            _, at = _field(options, at=0)
            (rounds,) = struct.unpack_from(">I", options, at)
    except (binascii.Error, struct.error):
        raise ValueError(_DAMAGED_KEY) from None
    if not raw.startswith(_MAGIC):
        raise ValueError(_DAMAGED_KEY)
    if rounds > _MOST_ROUNDS:
        raise ValueError(f"This key asks for more than {_MOST_ROUNDS} rounds of work. {_CONVERT}")
    return cipher != b"none"


def _field(raw: bytes, *, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">I", raw, at)
    return raw[at + 4 : at + 4 + length], at + 4 + length


def _accepted(key: object) -> _SshKey:
    if isinstance(key, dsa.DSAPrivateKey):
        raise ValueError("DSA keys are accepted by no server of today. Use an ed25519 key.")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size not in _RSA_BITS:
        raise ValueError("RSA keys must have 2048 to 16384 bits. Use such a one, or an ed25519 key.")
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in _CURVES:
        raise ValueError("ECDSA keys must be on the curves P-256, P-384 or P-521. Use an ed25519 key.")
    if not isinstance(key, _SshKey):
        raise ValueError("Keys of this type cannot log in over SSH. Use an ed25519, ECDSA or RSA key.")
    return key


def _texts(key: _SshKey, *, comment: str) -> tuple[str, str]:
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    words = re.sub(r"[^A-Za-z0-9@._:-]+", "-", comment).strip("-")
    return secret.decode(), f"{public.decode()} {words}".strip()
