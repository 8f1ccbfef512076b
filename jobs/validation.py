"""The rules that submissions must meet, each a function that the form and the API share.

Each takes a value, gives the value to keep, and raises `Invalid` with a sentence that says what to do; it
never repeats the value, which may hold a password. Labels and groups are servers/validation.py's; types, lengths
and unknown keys are schemas/'s; what needs the database (servers, secrets) is submission.py's.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from jobs.errors import FieldError
from jobs.states import ErrorCategory, Priority
from servers.architectures import canonical_architecture
from servers.validation import Invalid as Invalid

MAX_ENVIRONMENT_VALUE_BYTES = 64 * 1024
MAX_ENVIRONMENT_BYTES = 256 * 1024
MAX_COMMAND_BYTES = 512 * 1024

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# They change which programs run, or how the shell reads its script.
_REFUSED_NAMES = frozenset({"PATH", "BASH_ENV", "ENV", "IFS"})
# Read-only in some shells: setting them ends the script before it begins.
_SHELL_NAMES = frozenset(
    {"SHELLOPTS", "BASHOPTS", "BASH_VERSINFO", "BASHPID", "UID", "EUID", "PPID", "OPTIND", "LINENO"}
)
# BUILDBOARD_: the board finds a build's processes by such a variable.
_REFUSED_PREFIXES = ("LD_", "GIT_", "BUILDBOARD_")
SUBMODULES_NAME = "BUILDBOARD_SUBMODULES"  # set to 1 it asks the checkout for them
_SECRET_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_TOOLCHAIN = re.compile(rf"{_WORD.pattern}(?:>=\d+(?:\.\d+)*)?")
_KERNEL_CONFIG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,127}")
_REF_FORBIDDEN = re.compile(r"[ ~^:?*\[\\]|\.\.|@\{|//")


# ---- what is built ----------------------------------------------------------------------------------------
def check_branch(value: str) -> str:
    """A branch or tag as `git check-ref-format` allows it, which also does not look like an option."""
    if value.startswith("-"):
        raise Invalid("A branch may not begin with a dash.")
    parts = value.split("/")
    if (
        not value
        or len(value.encode()) > 255
        or not value.isprintable()
        or _REF_FORBIDDEN.search(value)
        or value == "@"
        or value.endswith(".")
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    ):
        raise Invalid("Not a name that git allows for a branch or tag; write it as git does, such as main.")
    return value


def check_commit(value: str) -> str:
    """`HEAD`, or 7 to 64 hexadecimal digits (kept in lower case)."""
    if value == "HEAD":
        return value
    lowered = value.lower()
    if not _COMMIT.fullmatch(lowered):
        raise Invalid("Write HEAD or 7 to 64 hexadecimal digits; a branch or tag goes into `branch`.")
    return lowered


def check_architecture(value: str) -> str:
    """One spelling of an architecture's name (`arm64` becomes `aarch64`)."""
    try:
        return canonical_architecture(value)
    except ValueError as error:
        raise Invalid(str(error)) from error


# ---- what it is built with --------------------------------------------------------------------------------
def check_command(value: str | None) -> str | None:
    """Shell text, byte for byte; None when there is nothing in it."""
    if value is None or not value.strip():
        return None
    _refuse_nul(value)
    if len(value.encode()) > MAX_COMMAND_BYTES:
        raise Invalid(
            f"The command is over {MAX_COMMAND_BYTES // 1024} KiB; put it into a script in the repository."
        )
    return value


def check_environment_name(name: str) -> str:
    """A variable's name that a build may set."""
    if not _ENVIRONMENT_NAME.fullmatch(name):
        raise Invalid("A variable's name has letters, digits and _ and does not begin with a digit.")
    if name in _REFUSED_NAMES or (name.startswith(_REFUSED_PREFIXES) and name != SUBMODULES_NAME):
        raise Invalid(
            "PATH, ENV, BASH_ENV, IFS and names that begin with LD_, GIT_ or BUILDBOARD_ cannot be set here; "
            "set them inside the build command if the build needs them."
        )
    if name in _SHELL_NAMES:
        raise Invalid("The shell keeps this variable for itself; choose another name.")
    return name


def check_environment(values: Mapping[str, str]) -> dict[str, str]:
    """Variables for a build: names, the size of each value, and of all of them."""
    total = 0
    for name, value in values.items():
        check_environment_name(name)
        _refuse_nul(value)
        size = len(value.encode())
        if size > MAX_ENVIRONMENT_VALUE_BYTES:
            raise Invalid(f"The value of {name} is longer than {MAX_ENVIRONMENT_VALUE_BYTES // 1024} KiB.")
        total += len(name) + size
    if total > MAX_ENVIRONMENT_BYTES:
        raise Invalid(f"All variables together are longer than {MAX_ENVIRONMENT_BYTES // 1024} KiB.")
    return dict(values)


def check_secret_name(name: str) -> str:
    """The name of a stored secret, which becomes a variable of builds."""
    if not _SECRET_NAME.fullmatch(name):
        raise Invalid("A secret's name has capital letters, digits and underscores and begins with a letter.")
    return check_environment_name(name)


def check_kernel_config(value: str) -> str:
    """A configuration target or file of the Linux kernel, such as defconfig."""
    if not value:
        return value
    if not _KERNEL_CONFIG.fullmatch(value) or ".." in value.split("/"):
        raise Invalid("Write the name of a kernel configuration, such as defconfig or multi_v7_defconfig.")
    return value


def check_make_arguments(values: Sequence[str]) -> list[str]:
    """Words for `make`, each one argument."""
    for value in values:
        if not value or not value.isprintable():
            raise Invalid("Each argument is one line of printable text that is not empty.")
    return list(values)


def check_artifact_paths(values: Sequence[str]) -> list[str]:
    """Globs under the work tree, without repeats."""
    for value in values:
        if not value.strip() or not value.isprintable():
            raise Invalid("Each pattern is one line of printable text that is not empty.")
        if value.startswith(("/", "-", "~")) or ".." in value.split("/") or "\\" in value:
            raise Invalid(
                "Each pattern is relative to the work tree, such as out/*.deb: without .. and backslashes, "
                "and not beginning with a slash, a tilde or a dash."
            )
    return list(dict.fromkeys(values))


# ---- where and how it runs --------------------------------------------------------------------------------
def check_toolchain(value: str) -> str:
    """A toolchain's name, with a version or a least version if wanted; empty: any. Spaces around `>=` go."""
    value = re.sub(r" *>= *", ">=", value)
    if value and not (len(value) <= 128 and _TOOLCHAIN.fullmatch(value)):
        raise Invalid(
            "Write a toolchain's name, with a version if need be, such as gcc, gcc-12, gcc>=12 or clang-16."
        )
    return value


def check_retry_on(values: Sequence[str]) -> list[str]:
    """Error categories after which another attempt is made."""
    allowed = [category.value for category in ErrorCategory if category != ErrorCategory.CANCELLED]
    if any(value not in allowed for value in values):
        raise Invalid(f"Choose among {', '.join(allowed)}.")
    return list(dict.fromkeys(values))


def priority_number(word: str) -> int:
    """The integer that is stored for a priority's word."""
    for priority in Priority:
        if priority.label == word:
            return priority.value
    raise Invalid("Choose among low, normal, high and urgent.")


def check_priority_reason(value: str) -> str:
    """Why a job's priority is changed: something that can be read, since others wait longer or less for it."""
    if not any(character.isprintable() and not character.isspace() for character in value):
        raise Invalid("Say why; its events tell it to those whom the job passes or lets pass.")
    return value.strip()


def _refuse_nul(value: str) -> None:
    if "\0" in value:
        raise Invalid("NUL characters cannot be passed to a build.")


# ---- what other doors' errors look like -------------------------------------------------------------------
def field_errors(details: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """Pydantic's error details as ours, without the input; at most 50 of them."""
    return [
        FieldError(".".join(str(part) for part in detail["loc"]) or "body", _sentence(str(detail["msg"])))
        for detail, _ in zip(details, range(50), strict=False)
    ]


def _sentence(message: str) -> str:
    if message == "Extra inputs are not permitted":
        return "There is no such field; check its spelling."
    message = message.removeprefix("Value error, ")
    return message if message.endswith((".", "!", "?")) else f"{message}."


def under_one_of(path: str, roots: Sequence[Path]) -> bool:
    """Whether an absolute path lies inside one of the folders, by its words alone (it is the server's)."""
    parts = PurePosixPath(path).parts
    return any(parts[: len(root.parts)] == root.parts and len(parts) > len(root.parts) for root in roots)
