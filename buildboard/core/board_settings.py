"""How the board is set up, in words for its admins: what kind, how much, how long.

It only reads. No key, password or token is here, and of an address neither who signs in nor what follows its host.
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

Kind = Literal["text", "bytes", "seconds"]
_STORAGES = {"file": "a folder", "s3": "an S3 bucket"}
_WEIGHTS = {
    "utilisation": "little of it is in use",
    "waiting": "few jobs wait for it",
    "free": "many of its slots are free",
    "cache": "it built this repository lately",
    "speed": "it was fast at this repository",
}


@dataclass(frozen=True)
class Setting:
    """One value: the variable that sets it, what it means, and how the value is to be read."""

    variable: str
    label: str
    value: str | int
    kind: Kind = "text"


@dataclass(frozen=True)
class Group:
    """Settings that belong together."""

    name: str
    settings: list[Setting]


def board_settings() -> list[Group]:
    """All that the page shows, in the order of the page."""
    return [
        Group("Address and access", _access()),
        Group("Database and storage", _storage()),
        Group("Queue", _queue()),
        Group("Choice of a server: how much it counts that", _weights()),
        Group("Limits", _limits()),
    ]


def _access() -> list[Setting]:
    return [
        Setting("BUILDBOARD_PUBLIC_URL", "Public address", _origin(settings.PUBLIC_URL) or "none"),
        Setting("BUILDBOARD_ALLOWED_HOSTS", "Host names answered", _list(settings.ALLOWED_HOSTS)),
        Setting("BUILDBOARD_TRUSTED_PROXIES", "Trusted proxies", _list(settings.TRUSTED_PROXIES)),
        Setting("BUILDBOARD_PUBLIC_READ", "Visitors may read", _yes(settings.PUBLIC_READ)),
        Setting(
            "BUILDBOARD_INTERNAL_API_KEY",
            "Shared key of orchestrators",
            "set" if settings.INTERNAL_API_KEY else "none",
        ),
        Setting("BUILDBOARD_DEBUG", "Debug pages", _yes(settings.DEBUG)),
    ]


def _storage() -> list[Setting]:
    database = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(connection.vendor, connection.vendor)
    storage = _STORAGES.get(urlsplit(settings.STORAGE_URL).scheme, "another kind")
    return [
        Setting("DATABASE_URL", "Database", database),
        Setting("REDIS_URL", "Redis", "in use" if settings.REDIS_URL else "not in use"),
        Setting("BUILDBOARD_STORAGE_URL", "Artifacts and ended logs", storage),
        Setting("BUILDBOARD_LOCAL_REPOSITORIES", "Local repositories", _list(settings.LOCAL_REPOSITORIES)),
    ]


def _queue() -> list[Setting]:
    return [
        Setting("BUILDBOARD_MAX_QUEUE_SIZE", "Jobs waiting at most", f"{settings.MAX_QUEUE_SIZE:,}"),
        Setting("BUILDBOARD_AGEING_SECONDS", "A wait worth one priority", settings.AGEING_SECONDS, "seconds"),
        Setting(
            "BUILDBOARD_IMPOSSIBLE_SECONDS",
            "A job that nothing can take fails after",
            settings.IMPOSSIBLE_SECONDS,
            "seconds",
        ),
        Setting("BUILDBOARD_QUARANTINE_SECONDS", "First quarantine", settings.QUARANTINE_SECONDS, "seconds"),
    ]


def _weights() -> list[Setting]:
    return [
        Setting(f"BUILDBOARD_WEIGHT_{name.upper()}", _WEIGHTS.get(name, name), f"{weight:g}")
        for name, weight in settings.CHOICE_WEIGHTS.items()
    ]


def _limits() -> list[Setting]:
    return [
        Setting("BUILDBOARD_MAX_LOG_BYTES", "Log of a job", settings.MAX_LOG_BYTES, "bytes"),
        Setting("BUILDBOARD_MAX_ARTIFACT_BYTES", "Artifacts of a job", settings.MAX_ARTIFACT_BYTES, "bytes"),
        Setting(
            "BUILDBOARD_WEBHOOK_ALLOWED_NETWORKS",
            "Networks that notifications may reach",
            _list(settings.WEBHOOK_ALLOWED_NETWORKS, none="global ones only"),
        ),
    ]


def _origin(address: str) -> str:
    """Scheme, host and port of an address: a name and a password may stand before them, anything after."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""


def _list(values: object, *, none: str = "none") -> str:
    names = [str(one) for one in values] if isinstance(values, list | tuple) else []
    return ", ".join(names) or none


def _yes(value: bool) -> str:
    return "yes" if value else "no"
