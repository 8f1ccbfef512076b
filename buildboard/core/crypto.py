"""Credentials at rest: encryption with the Fernet keys of BUILDBOARD_ENCRYPTION_KEYS, newest first.

It owns the library `cryptography`; nobody else imports it.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet  # noqa: TID251  # the owner
from django.conf import settings
from django.utils.crypto import salted_hmac


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


def rotate(token: str, *, record: str) -> str:
    """The same value under the newest key. Raises DecryptionError as `decrypt` does."""
    try:
        return _fernet().rotate(token.encode()).decode()
    except InvalidToken as error:
        raise DecryptionError(f"{record} cannot be decrypted with any key") from error
