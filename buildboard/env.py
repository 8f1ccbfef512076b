"""Reads the environment for settings.py: typed values, and secrets that are generated once into the data dir.

It is not in charge of what the values mean (settings.py) or of combinations of them (core/checks.py).
"""

import os
import secrets
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

MOST_WEIGHT = 100  # only the ratios of weights count
TEN_YEARS = 315_360_000  # seconds; a time so long ago is a date still, and 32 bits hold the number
env = Env(eager=True)

type_errors = (EnvError, ValueError)


def read(kind: str, name: str, default: Any = None, **options: Any) -> Any:
    """The variable `name` as environs' `kind` reads it; an empty one counts as not set.

    Raises ImproperlyConfigured, naming the variable, when the value does not fit.
    """
    if not os.environ.get(name, "").strip():
        return default
    try:
        return getattr(env, kind)(name, **options)
    except type_errors as error:
        raise ImproperlyConfigured(f"{name}: {_reason(error, name)}") from error


def _reason(error: Exception, name: str) -> str:
    return str(error).replace(f'Environment variable "{name}" invalid: ', "").strip("[]'\" ")


def read_positive(name: str, default: int) -> int:
    """An integer of at least 1."""
    value = read("int", name, default)
    if value < 1:
        raise ImproperlyConfigured(f"{name}: must be a whole number of at least 1, not {value}")
    return int(value)


def read_seconds(name: str, default: int, *, least: int = 1) -> int:
    """An integer of at least that and of ten years at most."""
    value = read("int", name, default)
    if not least <= value <= TEN_YEARS:
        raise ImproperlyConfigured(f"{name}: must be a whole number from {least} to {TEN_YEARS}, not {value}")
    return int(value)


def read_weight(name: str, default: float) -> float:
    """A number from 0 to 100."""
    value = read("float", name, default)
    if not 0 <= value <= MOST_WEIGHT:
        raise ImproperlyConfigured(f"{name}: must be a number from 0 to {MOST_WEIGHT}, not {value}")
    return float(value)


def read_networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks in CIDR notation with commas between them."""
    try:
        return tuple(ip_network(part.strip()) for part in read("list", name, []) if part.strip())
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{name}: {error}; write networks like 10.1.0.0/16,192.0.2.7/32"
        ) from error


def read_url(name: str, schemes: tuple[str, ...]) -> str:
    """A URL with one of the schemes, without a slash at the end; empty when not set."""
    value = str(read("str", name, "")).rstrip("/")
    if not value:
        return ""
    parts = urlsplit(value)
    if parts.scheme not in schemes or (parts.scheme != "file" and not parts.hostname):
        raise ImproperlyConfigured(
            f"{name}: must be a URL that begins with {' or '.join(s + '://' for s in schemes)}"
        )
    return value


def read_folders(name: str) -> tuple[Path, ...]:
    """Absolute folders with `:` between them."""
    folders = tuple(Path(part) for part in str(read("str", name, "")).split(":") if part)
    for folder in folders:
        if not folder.is_absolute():
            raise ImproperlyConfigured(f"{name}: {folder} is not an absolute path")
    return folders


def make_data_dir(path: Path) -> Path:
    """Make the data dir (0700) if need be and give its absolute path."""
    path = path.expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid == os.getuid():
            path.chmod(0o700)
    except OSError as error:
        raise ImproperlyConfigured(
            f"BUILDBOARD_DATA_DIR: the data dir {path} cannot be made or used ({error.strerror}); "
            "name a folder that this account may write"
        ) from error
    return path


def read_or_create_secret(name: str, path: Path, create: Callable[[], str]) -> str:
    """The variable `name`, or the content of `path`, which is made (0600) by `create` when it is absent.

    Two processes that start at once agree: the file appears whole, by link, and the first one wins.
    """
    value = str(read("str", name, ""))
    if value:
        return value
    try:
        if not path.exists():
            draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(create() + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        content = path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name}: it is not set and {path} cannot be made or read ({error.strerror})"
        ) from error
    if not content:
        raise ImproperlyConfigured(
            f"{name}: it is not set and {path} is empty; delete that file or set {name}"
        )
    return content
