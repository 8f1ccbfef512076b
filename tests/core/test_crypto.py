"""Credentials at rest: read back, rotated, and refused by name when no key fits."""

import base64

import pytest
from django.conf import LazySettings

from buildboard.core.crypto import (
    DecryptionError,
    decrypt,
    encrypt,
    is_key,
    make_key,
    rotate,
    webhook_signing_secret,
)


def test_a_value_comes_back_and_is_not_in_what_is_stored() -> None:
    stored = encrypt("grün\nsecret")

    assert decrypt(stored, record="secret X") == "grün\nsecret"
    assert "secret" not in stored
    assert encrypt("same") != encrypt("same")


def test_a_newer_key_reads_and_rotates_what_an_older_one_wrote(settings: LazySettings) -> None:
    old, new = make_key(), make_key()
    settings.ENCRYPTION_KEYS = [old]
    stored = encrypt("value")

    settings.ENCRYPTION_KEYS = [new, old]
    rotated = rotate(stored, record="secret X")
    settings.ENCRYPTION_KEYS = [new]

    assert decrypt(rotated, record="secret X") == "value"
    with pytest.raises(DecryptionError):
        decrypt(stored, record="secret X")


@pytest.mark.parametrize("stored", ["", "nonsense", "gAAAAAB"])
def test_what_no_key_fits_is_named_and_not_shown(stored: str) -> None:
    for read in (decrypt, rotate):
        with pytest.raises(DecryptionError, match=r"^secret X cannot be decrypted") as caught:
            read(stored, record="secret X")
        assert stored not in str(caught.value) or not stored


@pytest.mark.parametrize(
    ("text", "good"),
    [
        pytest.param(make_key(), True, id="made"),
        ("", False),
        ("x", False),
        ("é" * 44, False),
        ("A" * 43, False),
    ],
)
def test_a_key_is_told_from_other_text(text: str, good: bool) -> None:
    assert is_key(text) is good


def test_the_webhook_secret_follows_the_secret_key(settings: LazySettings) -> None:
    first = webhook_signing_secret()
    settings.SECRET_KEY = "another"

    second = webhook_signing_secret()

    assert first != second
    assert {len(base64.b64decode(secret.removeprefix("whsec_"))) for secret in (first, second)} == {32}
