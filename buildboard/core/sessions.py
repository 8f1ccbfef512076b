"""Sessions in the database, for keys of the form that Django makes; any other cookie is nobody's.

Without this a NUL in the cookie reaches the database, and PostgreSQL refuses the whole query. Who is behind a
session is auth.py's matter.
"""

import re

from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore

_KEY = re.compile(r"[0-9a-z]{8,40}", re.ASCII)


class SessionStore(DatabaseSessionStore):
    """What `SESSION_ENGINE` names."""

    def _validate_session_key(self, key: str | None) -> bool:
        """Called by Django for every key that a client sends."""
        return bool(_KEY.fullmatch(key or ""))
