"""Which repository addresses are taken: an allow-list of forms, so git and ssh never see an option.

A rule of validation.py's kind, in a module of its own for its length. It reads no file and connects to
nothing: a path or `file://` is the build server's.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jobs.validation import Invalid, under_one_of

MAX_LENGTH = 2048

_HELPER = re.compile(r"[A-Za-z0-9+.-]*::")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?\.?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_PATH = re.compile(r"[A-Za-z0-9_.~/%+@,:=-]+")
_SCP = re.compile(r"(?:([^@:/]*)@)?([^@:/]*):(.*)", re.DOTALL)
_SCP_PASSWORD = re.compile(r"[^/@]+:[^/@]*@")
# Access tokens are pasted as user names, too: a name is short and has none of the known beginnings.
_TOKEN = re.compile(r"(gh[a-z]_|github_pat_|glpat-|gldt-|x-token-auth|ATBB).*|.{31,}", re.IGNORECASE)

_FORMS = (
    "Write an https, http, ssh or git URL, or user@host:path; a path on the build server needs a folder that "
    "BUILDBOARD_LOCAL_REPOSITORIES lists."
)
_TAKE_OUT = (
    "A password or token inside a URL would be stored and shown. Take it out: use ssh with a key of the "
    "build server's account, or a stored secret (/api/v1/secrets) that the build reads."
)


def check_repository(value: str, *, local_roots: Sequence[Path]) -> str:
    """A repository's address as given, when it is of an allowed form.

    Raises Invalid with a sentence that says what to do, and never repeats the address.
    """
    if not value or len(value) > MAX_LENGTH or not value.isprintable():
        raise Invalid(_FORMS)
    if value.startswith("-"):
        raise Invalid("A repository's address may not begin with a dash.")
    if value.startswith("/"):
        return _check_local(value, path=value, local_roots=local_roots)
    scheme = _SCHEME.match(value)
    if _HELPER.match(value):
        raise Invalid(f"Remote helpers (ext::, fd::, ...) are not allowed. {_FORMS}")
    if scheme is None:
        return _check_scp(value)
    if scheme[1].lower() == "file":
        return _check_file(value, local_roots=local_roots)
    return _check_url(value, scheme=scheme[1].lower())


def _check_url(value: str, *, scheme: str) -> str:
    if scheme not in ("https", "http", "ssh", "git"):
        raise Invalid(_FORMS)
    try:
        parts = urlsplit(value)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise Invalid(f"The host or port of the URL cannot be read. {_FORMS}") from error
    user, has_user, _ = parts.netloc.rpartition("@")
    if ":" in user or (scheme in ("http", "https") and _TOKEN.fullmatch(user)):
        raise Invalid(_TAKE_OUT)
    if has_user and (scheme == "git" or not _USER.fullmatch(user)):
        raise Invalid("The user in the URL has characters that are not allowed, or does not belong there.")
    bracketed = parts.netloc.rpartition("@")[2].startswith("[")
    if not (_IPV6 if bracketed else _HOST).fullmatch(host):
        raise Invalid("The host of the URL is missing or has characters that are not allowed.")
    if port == 0 or parts.netloc.endswith(":"):
        raise Invalid("The port of the URL must be from 1 to 65535.")
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise Invalid("The URL of a repository has no ? and no #; write the one that `git clone` takes.")
    _check_path(parts.path.lstrip("/"))
    return value


def _check_scp(value: str) -> str:
    if _SCP_PASSWORD.match(value):
        raise Invalid(_TAKE_OUT)
    match = _SCP.fullmatch(value)
    if match is None:
        raise Invalid(_FORMS)
    user, host, path = match.groups()
    if user is not None and not _USER.fullmatch(user):
        raise Invalid("The user in the address has characters that are not allowed.")
    if not _HOST.fullmatch(host):
        raise Invalid("The host in the address is missing or has characters that are not allowed.")
    _check_path(path)
    return value


def _check_path(path: str) -> None:
    """The path of a repository on its host; git decodes percent signs, so both forms are looked at."""
    decoded = unquote(path)
    if path.startswith("-") or decoded.lstrip("/").startswith("-"):
        raise Invalid("The path of a repository may not begin with a dash.")
    if not _PATH.fullmatch(path) or not decoded.isprintable():
        raise Invalid("The path of the repository is missing or has characters that are not allowed.")


def _check_file(value: str, *, local_roots: Sequence[Path]) -> str:
    host, _, rest = value[len("file://") :].partition("/")
    if host not in ("", "localhost") or "%" in value:
        raise Invalid("Write file:///path/to/repository, without a host and without percent signs.")
    return _check_local(value, path=f"/{rest}", local_roots=local_roots)


def _check_local(value: str, *, path: str, local_roots: Sequence[Path]) -> str:
    parts = path.split("/")
    if path.startswith("//") or ".." in parts or "." in parts or "\\" in path:
        raise Invalid("Write the plain absolute path of the repository, without . and .. in it.")
    if not under_one_of(path, local_roots):
        raise Invalid(
            "Paths are taken only from folders that BUILDBOARD_LOCAL_REPOSITORIES lists; "
            "this one is in none of them. Use a URL, or have its folder added."
        )
    return value
