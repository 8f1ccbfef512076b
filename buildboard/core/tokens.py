"""The text of tokens: `<prefix>_<32 hex digits of an id>_<secret>`; only the secret's SHA-256 is kept.

It knows no table: auth.py owns API tokens, the internal API those of orchestrators.
"""

import hashlib
import re
import secrets
from hmac import compare_digest
from uuid import UUID

API_PREFIX = "bb"
ORCHESTRATOR_PREFIX = "bbo"
_TEXT = re.compile(r"([a-z]{1,8})_([0-9a-f]{32})_([A-Za-z0-9_-]{43})\Z", re.ASCII)
_NO_SECRET = "0" * 64


def new_token(prefix: str, token_id: UUID) -> tuple[str, str]:
    """A new token's text, to be shown once, and the hash to be stored."""
    secret = secrets.token_urlsafe(32)
    return f"{prefix}_{token_id.hex}_{secret}", hash_secret(secret)


def parse_token(text: str, *, prefix: str) -> tuple[UUID, str] | None:
    """The id and the secret of a token of this class; None for anything else."""
    match = _TEXT.match(text)
    if match is None or match[1] != prefix:
        return None
    return UUID(hex=match[2]), match[3]


def hash_secret(secret: str) -> str:
    """What is stored of a secret. It has 256 random bits, so a plain SHA-256 cannot be searched."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_matches(secret: str, stored_hash: str | None) -> bool:
    """Compared in constant time; with no stored hash the same work is done and the answer is no."""
    return compare_digest(hash_secret(secret), stored_hash or _NO_SECRET)
