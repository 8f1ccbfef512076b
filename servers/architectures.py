"""Names of processor architectures: one spelling each, whatever a user, a distribution or `uname` says."""

import re

_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,31}")
_ALIASES = {
    "amd64": "x86_64",
    "x64": "x86_64",
    "x86-64": "x86_64",
    "arm64": "aarch64",
    "arm64v8": "aarch64",
    "armv8": "aarch64",
    "armhf": "armv7",
    "armv7l": "armv7",
    "armv7hl": "armv7",
    "arm32v7": "armv7",
    "i386": "i686",
    "i486": "i686",
    "i586": "i686",
    "x86": "i686",
    "ia32": "i686",
    "ppc64el": "ppc64le",
    "powerpc64le": "ppc64le",
    "powerpc64": "ppc64",
    "rv64": "riscv64",
    "rv64gc": "riscv64",
    "riscv64gc": "riscv64",
    "loong64": "loongarch64",
    "mips64le": "mips64el",
}


def canonical_architecture(name: str) -> str:
    """The one spelling of an architecture's name, such as `aarch64` for `arm64`.

    A name that is not known is kept in lower case: new processors need no release of ours. Raises ValueError
    when it cannot be a name.
    """
    lowered = name.strip().lower()
    canonical = _ALIASES.get(lowered, lowered)
    if not _NAME.fullmatch(canonical):
        raise ValueError(
            "Write an architecture's name: at most 32 letters, digits and underscores, such as aarch64."
        )
    return canonical
