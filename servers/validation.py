"""The rules that a build server's fields must meet, each a function that API, form and admin share.

Each takes a value, gives the value to keep, and raises `Invalid` with a sentence that says what to do; none
repeats the value. What needs the database (names that are taken, jump hosts) is registry.py's.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.utils import timezone

from servers.architectures import canonical_architecture
from servers.host_keys import parse_host_key

MAX_LABELS = 64
MAX_VARIABLES = 64
MAX_VARIABLE_BYTES = 16 * 1024
MAX_BUILDS = 256
LONGEST_OUTAGE = timedelta(days=366)
MAX_KEY_BYTES = 32 * 1024

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_USERNAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}\$?", re.ASCII)
_LABEL_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,62}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_FOLDER = re.compile(r"(/[A-Za-z0-9._-]+)+", re.ASCII)
# They change what a shell does before the board's own script runs, or how the board finds a build's processes.
_REFUSED_VARIABLES = frozenset(
    {"BASH_ENV", "ENV", "IFS", "HOME", "SHELLOPTS", "BASHOPTS", "UID", "EUID", "PPID"}
)
_REFUSED_PREFIXES = ("LD_", "BUILDBOARD_", "BB_")
_PASSWORD_IN_URL = re.compile(r"://[^/@\s]*:[^/@\s]*@")


class Invalid(ValueError):
    """A value that does not fit; the text is a sentence that says what to do."""


# ---- what it is called ------------------------------------------------------------------------------------
def check_name(value: str) -> str:
    """What people and jobs call a server; never what could be taken for an id or for `auto`."""
    name = value.strip()
    if not _NAME.fullmatch(name):
        raise Invalid(
            "Write at most 64 letters, digits, dots, dashes and underscores, a letter or digit first."
        )
    if name.lower() == "auto" or _is_uuid(name):
        raise Invalid(
            "Choose another name: jobs write `auto` to take any server, and may name one by its id."
        )
    return name


def check_group(value: str) -> str:
    """A group of servers, of one or that a job asks for; empty: none."""
    if value and not (len(value) <= 64 and _WORD.fullmatch(value)):
        raise Invalid(
            "A group's name begins with a letter or digit; letters, digits and _ . + - follow, 64 at most."
        )
    return value


def check_labels(values: Mapping[str, str]) -> dict[str, str]:
    """Labels of a server or a job: names begin with a letter; values are one printable line."""
    if len(values) > MAX_LABELS:
        raise Invalid(f"Give at most {MAX_LABELS} labels.")
    for key, value in values.items():
        if not _LABEL_KEY.fullmatch(key):
            raise Invalid(
                "A label's name begins with a letter or _ and has at most 63 letters, digits and _ . / -"
            )
        if len(value) > 255 or not value.isprintable():
            raise Invalid(f"The value of {key} must be one line of printable text, 255 characters at most.")
    return dict(values)


def check_architectures(values: Sequence[str]) -> list[str]:
    """Each in its one spelling (`arm64` becomes `aarch64`), once; none: the first probe says which."""
    if len(values) > 32:
        raise Invalid("Name at most 32 architectures.")
    try:
        return list(dict.fromkeys(canonical_architecture(value) for value in values))
    except ValueError as error:
        raise Invalid(str(error)) from error


# ---- where it is ------------------------------------------------------------------------------------------
def check_hostname(value: str) -> str:
    """A DNS name, or an IPv4 or IPv6 address (brackets are taken off); never what looks like an option."""
    host = value.strip()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if host.startswith("-"):
        raise Invalid("A hostname may not begin with a dash.")
    if ":" in host or re.fullmatch(r"[0-9.]+", host):
        return _check_address(host)
    labels = host.removesuffix(".").split(".")
    if not host or len(host) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise Invalid("Write a host name or address without user, port or path, such as build1.example.org.")
    return host.lower()


def _check_address(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise Invalid(
            "This is not an IPv4 or IPv6 address; a port goes into `ssh_port`, a name has letters."
        ) from error
    if address.is_unspecified or address.is_multicast:
        raise Invalid("Nobody can connect to this address; write the server's own.")
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise Invalid("Write the address without a zone (the part that begins with %).")
    return str(address)


def check_port(value: int) -> int:
    """The port of sshd."""
    if not 1 <= value <= 65535:
        raise Invalid("A port is a number from 1 to 65535.")
    return value


def check_username(value: str) -> str:
    """The account that builds run as."""
    if not _USERNAME.fullmatch(value):
        raise Invalid("Write the account's name as it is on the server, such as build, without spaces.")
    return value


def check_work_dir(value: str) -> str:
    """Where runs and caches lie on the server: an absolute path in plain characters; empty: `~/.buildboard`."""
    if not value:
        return ""
    path = value.rstrip("/")
    if len(path) > 255 or not _FOLDER.fullmatch(path) or any(part in {".", ".."} for part in path.split("/")):
        raise Invalid(
            "Write an absolute path such as /srv/buildboard, of letters, digits and . _ - only, or nothing."
        )
    return path


def check_host_key(value: str) -> str:
    """The server's public host key as one line, without the host's name; empty: none is pinned yet."""
    if not value.strip():
        return ""
    if len(value) > 4096:
        raise Invalid("A host key is one line; this is longer than any.")
    try:
        return parse_host_key(value).line
    except ValueError as error:
        raise Invalid(str(error)) from error


# ---- how much it takes ------------------------------------------------------------------------------------
def check_builds(value: int) -> int:
    """How many builds run at once."""
    if not 1 <= value <= MAX_BUILDS:
        raise Invalid(f"A server runs 1 to {MAX_BUILDS} builds at once.")
    return value


def check_limit(value: int) -> int:
    """The use of a resource above which no new build is sent, in percent."""
    if not 1 <= value <= 100:
        raise Invalid("A limit is a whole number of percent from 1 to 100.")
    return value


def check_reason(value: str) -> str:
    """Why a server is taken out (maintenance, drain, quarantine) or removed, as people wrote it."""
    if len(value) > 1000 or not value.replace("\n", " ").isprintable():
        raise Invalid("Write at most 1,000 characters of printable text.")
    return value.strip()


def check_until(value: datetime | None) -> datetime | None:
    """When maintenance, a drain or a quarantine is to end by itself; None: when somebody ends it."""
    if value is not None and not timedelta() < value - timezone.now() <= LONGEST_OUTAGE:
        raise Invalid("Give a time that is still to come, within a year, or none: then somebody ends it.")
    return value


def read_until(text: str) -> datetime | None:
    """A time in UTC as a browser's field for dates and times gives it, to the minute; empty: none."""
    if not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Invalid(
            "Write the end as a date and a time in UTC, such as 2026-01-16 14:00, or nothing."
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def check_environment(values: Mapping[str, str]) -> dict[str, str]:
    """Variables of every probe and build on a server. They are shown to readers, so they hold no passwords."""
    if len(values) > MAX_VARIABLES:
        raise Invalid(f"A server has at most {MAX_VARIABLES} variables.")
    for name, value in values.items():
        _check_variable(name, value)
    if sum(len(name) + len(value.encode()) for name, value in values.items()) > MAX_VARIABLE_BYTES:
        raise Invalid(f"All variables together are longer than {MAX_VARIABLE_BYTES // 1024} KiB.")
    return dict(values)


def _check_variable(name: str, value: str) -> None:
    if not _VARIABLE.fullmatch(name):
        raise Invalid("A variable's name has letters, digits and _ and does not begin with a digit.")
    if name in _REFUSED_VARIABLES or name.startswith(_REFUSED_PREFIXES):
        raise Invalid(
            f"{name} cannot be set for a server; set it inside the build command if builds need it."
        )
    if not value.isprintable():
        raise Invalid(f"The value of {name} must be one line of printable text.")
    if _PASSWORD_IN_URL.search(value):
        raise Invalid(
            f"{name} holds a password, and readers see these variables; use a stored secret instead."
        )
    if name == "PATH" and not all(folder.startswith("/") for folder in value.split(":")):
        raise Invalid(
            "PATH is a list of absolute folders with colons between them; $HOME is not expanded here."
        )


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
