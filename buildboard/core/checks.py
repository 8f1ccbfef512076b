"""System checks for settings that are right one by one and wrong together (ids buildboard.E..., W..., I...).

A value that is wrong by itself stops the start in env.py.
"""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register

from buildboard.core.crypto import is_key


def register_all() -> None:
    """Make `manage.py check`, and every start, run these."""
    for check in (check_machines, check_storage, check_keys):
        register(check, "buildboard")
    for check in (check_debug, check_proxies, check_repositories):
        register(check, Tags.security)
    register(check_hosts, Tags.security, deploy=True)


def _uses(engine: str) -> bool:
    return engine in str(settings.DATABASES["default"]["ENGINE"])


def _is_generated(name: str, in_use: str) -> bool:
    """Whether the value in use is the one that lies in the data dir."""
    try:
        return bool((settings.DATA_DIR / name).read_text().strip() == in_use)
    except OSError:
        return False


def check_machines(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """What several machines must share."""
    found: list[CheckMessage] = []
    in_use = {"secret_key": str(settings.SECRET_KEY), "encryption_keys": " ".join(settings.ENCRYPTION_KEYS)}
    generated = [f"BUILDBOARD_{name.upper()}" for name, value in in_use.items() if _is_generated(name, value)]
    if _uses("postgresql") and generated:
        found.append(
            Warning(
                f"DATABASE_URL names PostgreSQL, but the data dir gave {' and '.join(generated)}.",
                hint="Set them to the same values on every machine, or sessions and credentials differ.",
                id="buildboard.W001",
            )
        )
    if settings.REDIS_URL and _uses("sqlite"):
        found.append(
            Warning(
                "REDIS_URL is set, but the database is SQLite, which one machine alone can use.",
                hint="Leave REDIS_URL out, or set DATABASE_URL to PostgreSQL for several machines.",
                id="buildboard.W002",
            )
        )
    return found


def check_storage(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Storage that this release can use."""
    if not settings.STORAGE_URL.startswith("s3:"):
        return []
    return [
        Error(
            "BUILDBOARD_STORAGE_URL names an S3 bucket, which this release does not support yet.",
            hint="Use file:///a/folder; several machines need the same folder mounted.",
            id="buildboard.E001",
        )
    ]


def check_keys(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Encryption keys that are keys."""
    bad = [str(number) for number, key in enumerate(settings.ENCRYPTION_KEYS, start=1) if not is_key(key)]
    if settings.ENCRYPTION_KEYS and not bad:
        return []
    return [
        Error(
            f"BUILDBOARD_ENCRYPTION_KEYS: key {', '.join(bad) or '1'} is not a Fernet key.",
            hint="A key is 32 random bytes in URL-safe base64. Newest first, with commas between.",
            id="buildboard.E002",
        )
    ]


def check_debug(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Debug pages where other people come."""
    if not (settings.DEBUG and settings.PUBLIC_URL.startswith("https:")):
        return []
    return [
        Error(
            "BUILDBOARD_DEBUG is on while BUILDBOARD_PUBLIC_URL is https: its pages show code and settings.",
            hint="Leave BUILDBOARD_DEBUG out where other people can reach the board.",
            id="buildboard.E003",
        )
    ]


def check_proxies(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Whose forwarded headers are believed."""
    if any(network.prefixlen == 0 for network in settings.TRUSTED_PROXIES):
        return [
            Warning(
                "BUILDBOARD_TRUSTED_PROXIES holds every address, so anybody may name any client address.",
                hint="List the addresses of your proxies only.",
                id="buildboard.W003",
            )
        ]
    if settings.TRUSTED_PROXIES or not settings.PUBLIC_URL.startswith("https:"):
        return []
    return [
        Info(
            "BUILDBOARD_PUBLIC_URL is https and BUILDBOARD_TRUSTED_PROXIES is empty: plain requests, also "
            "those of a proxy that ends TLS, are sent on to https.",
            hint="Name your proxy in BUILDBOARD_TRUSTED_PROXIES and let it set X-Forwarded-Proto.",
            id="buildboard.I001",
        )
    ]


def check_repositories(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Which paths a submission may name."""
    if not any(folder.resolve().parent == folder.resolve() for folder in settings.LOCAL_REPOSITORIES):
        return []
    return [
        Warning(
            "BUILDBOARD_LOCAL_REPOSITORIES holds /, so a submission may name any path of a build server.",
            hint="List the folders that hold repositories.",
            id="buildboard.W004",
        )
    ]


def check_hosts(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Names that the board answers to."""
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "BUILDBOARD_ALLOWED_HOSTS is *, so links may be made with any name that a client sends.",
            hint="List the names under which people reach the board.",
            id="buildboard.W005",
        )
    ]
