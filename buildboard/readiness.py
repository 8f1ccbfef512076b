"""Asks a board that starts whether it is ready, as a probe from outside would."""

import json
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from django.conf import settings

POLL_SECONDS = 0.2
SLOW_SECONDS = 60.0


def watch_readiness(url: str, *, on_ready: Callable[[], None], on_slow: Callable[[str], None]) -> None:
    """Call `on_ready` once when the board at `url` answers and is ready, from a thread of its own.

    Every 60 s until then `on_slow` gets a sentence that says what is missing.
    """
    watching = threading.Thread(target=_watch, args=(url, on_ready, on_slow), name="readiness", daemon=True)
    watching.start()


def _watch(url: str, on_ready: Callable[[], None], on_slow: Callable[[str], None]) -> None:
    tell_at = time.monotonic() + SLOW_SECONDS
    while missing := _missing(url):
        if time.monotonic() > tell_at:
            on_slow(missing)
            tell_at += SLOW_SECONDS
        time.sleep(POLL_SECONDS)
    on_ready()


def _missing(url: str) -> str:
    """What is not ready yet; empty when all is."""
    try:
        status, _ = _get(url, "/healthz")
        if status != 200:
            return f"/healthz answers {status}"
        status, body = _get(url, "/readyz")
        if status == 200:
            return ""
        checks = json.loads(body)["checks"]
    except (OSError, HTTPException):
        return "the web process does not answer"
    except (ValueError, KeyError):
        return f"/readyz answers {status}"
    return "; ".join(f"{check['name']}: {check['detail']}" for check in checks if not check["ok"])


def _allowed_host() -> str:
    """A name that the board answers to: it may have been told to know its public one only."""
    names = [str(name).lstrip(".") for name in settings.ALLOWED_HOSTS]
    return next((name for name in names if name != "*"), "localhost")


def _get(url: str, path: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    client = HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        client.request("GET", path, headers={"Host": _allowed_host()})
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()
