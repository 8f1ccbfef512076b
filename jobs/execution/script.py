"""Owns the build script of an attempt: the fixed program, and the environment that carries a job's values.

Values travel as environment variables only, so none ever becomes shell text; what `build.sh`, `checkout.sh`
and `kinds.sh` do with them is theirs. Not in charge of starting it (start), of what its end means for the job
(outcome), or of the rules: it asks validation.py's once more, since a stored job may be older than they are.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from jobs.repositories import check_repository
from jobs.validation import (
    SUBMODULES_NAME,
    check_branch,
    check_command,
    check_commit,
    check_environment,
    check_kernel_config,
    check_make_arguments,
)
from servers.architectures import canonical_architecture
from servers.transport import LOCK_TEXT

# How the script ends while the phase is `checkout`; a line `--- failed: SENTENCE` says why.
CHECKOUT_STATUS = 66  # it cannot be built as it was submitted: error category `checkout`
SYSTEM_STATUS = 69  # the server or the network failed: error category `system`

# One variable holds 128 KiB at most; a character has four bytes at most.
_PIECE_CHARACTERS = 16_000
_ANYWHERE = (Path("/"),)
_FAILED = re.compile(r"^--- failed: (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the Linux kernel calls an architecture, and which servers build it without a cross compiler."""

    kernel: str
    prefix: str
    native: str
    related: str = ""  # servers whose own compiler makes it when asked by ARCH
    config: str = "defconfig"  # of the kernel; where Kbuild's own is for another byte order or word size


_MACHINES = {
    "x86_64": Machine("x86_64", "x86_64-linux-gnu-", "x86_64 amd64"),
    "i686": Machine("i386", "i686-linux-gnu-", "i386 i486 i586 i686", related="x86_64 amd64"),
    "aarch64": Machine("arm64", "aarch64-linux-gnu-", "aarch64 arm64"),
    "armv7": Machine("arm", "arm-linux-gnueabihf-", "armv7 armv7l armv8l"),
    "riscv64": Machine("riscv", "riscv64-linux-gnu-", "riscv64"),
    "ppc64": Machine("powerpc", "powerpc64-linux-gnu-", "ppc64"),
    "ppc64le": Machine("powerpc", "powerpc64le-linux-gnu-", "ppc64le", config="ppc64le_defconfig"),
    "s390x": Machine("s390", "s390x-linux-gnu-", "s390x"),
    "loongarch64": Machine("loongarch", "loongarch64-linux-gnu-", "loongarch64"),
    "mips64el": Machine("mips", "mips64el-linux-gnuabi64-", "mips64el mips64", config="64r2el_defconfig"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """What a job asks for, as plain values."""

    job_id: str
    repository: str
    architecture: str
    branch: str = "main"
    commit: str = "HEAD"
    build_command: str = ""
    recipe_command: str = ""
    kernel_config: str = ""
    extra_make_args: tuple[str, ...] = ()
    enable_modules: bool | None = None  # None: as the kernel's configuration says
    build_dtbs: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    custom_env: Mapping[str, str] = field(
        default_factory=dict
    )  # of build_config; stronger than `environment`
    secrets: Mapping[str, str] = field(default_factory=dict)  # name to value; strongest
    local_repositories: bool = False  # whether a path or file:// on the server may be named
    cross_compile: str = ""  # prefix of the server's cross tools; empty: the usual GNU one
    parallel: int | None = None  # $BUILD_JOBS; None: the server's cores


@dataclass(frozen=True, slots=True)
class Script:
    """What the helper is given: the program, and the variables to set before it runs."""

    script: bytes
    environment: dict[str, str]


def render(spec: BuildSpec) -> Script:
    """The build script of `spec`. Raise Invalid, a ValueError, for a value that no job may have."""
    user = {**spec.environment, **spec.custom_env, **spec.secrets}
    for name, value in user.items():
        check_environment({name: value})
    repository = check_repository(spec.repository, local_roots=_ANYWHERE if spec.local_repositories else ())
    local = repository.startswith(("/", "file:"))
    branch = check_branch(spec.branch)
    machine = _machine(spec.architecture)
    environment = {
        "BB_JOB_ID": spec.job_id,
        "BB_REPOSITORY": repository,
        "BB_MIRROR_KEY": mirror_key(repository),
        "BB_BRANCH": branch,
        "BB_BRANCH_KEY": mirror_key(branch),
        "BB_COMMIT": check_commit(spec.commit),
        # A submodule of a remote repository must not name a path of the server.
        "BB_PROTOCOLS": "https:http:ssh:git" + (":file" if local else ""),
        "BB_SUBMODULES": "1" if user.get(SUBMODULES_NAME) == "1" else "",
        "BB_KERNEL_CONFIG": check_kernel_config(spec.kernel_config),
        "BB_ENABLE_MODULES": "" if spec.enable_modules is None else str(int(spec.enable_modules)),
        "BB_BUILD_DTBS": "1" if spec.build_dtbs else "",
        "BB_ARCHITECTURE": spec.architecture,
        "BB_KERNEL_ARCH": machine.kernel,
        "BB_KERNEL_DEFAULT": machine.config,
        "BB_NATIVE_MACHINES": machine.native,
        "BB_RELATED_MACHINES": machine.related,
        "BB_CROSS_COMPILE": spec.cross_compile or machine.prefix,
        "BB_JOBS": "" if spec.parallel is None else str(spec.parallel),
        **_numbered("BB_COMMAND", _pieces(check_command(spec.build_command))),
        **_numbered("BB_RECIPE_COMMAND", _pieces(check_command(spec.recipe_command))),
        **_numbered("BB_MAKE_ARGS", check_make_arguments(spec.extra_make_args)),
        **_numbered("BB_ENV", [f"{name}={value}" for name, value in user.items()]),
    }
    return Script(_program(), environment)


def read_failure(tail: str) -> str:
    """The script's own sentence on why the checkout failed, from the end of its log; or nothing.

    Only for an attempt that ended in phase `checkout`: later the build may print such a line itself.
    """
    found = _FAILED.findall(tail)
    return str(found[-1]).strip() if found else ""


def mirror_key(text: str) -> str:
    """The name under which a server keeps what belongs to a repository URL, or to a branch."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _machine(architecture: str) -> Machine:
    name = canonical_architecture(architecture)
    return _MACHINES.get(name) or Machine(name, f"{name}-linux-gnu-", name)


def _pieces(text: str | None) -> list[str]:
    text = text or ""
    return [text[at : at + _PIECE_CHARACTERS] for at in range(0, len(text), _PIECE_CHARACTERS)]


def _numbered(name: str, values: Sequence[str]) -> dict[str, str]:
    """`values` as NAME_1, NAME_2, ... and NAME_COUNT."""
    numbered = {f"{name}_{number}": value for number, value in enumerate(values, start=1)}
    return {f"{name}_COUNT": str(len(values)), **numbered}


@cache
def _program() -> bytes:
    here = Path(__file__).parent
    parts = [(here / name).read_bytes() for name in ("checkout.sh", "toml.sh", "kinds.sh", "build.sh")]
    # Without `#!`, so that the helper gives it to the shell that it runs under itself.
    return b"".join(part.removeprefix(b"#!/bin/sh\n") for part in [LOCK_TEXT, *parts])
