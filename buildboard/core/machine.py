"""Which machine this is, and which process: what tells a live holder from a number that was used again.

It is not in charge of what is recorded about them (heartbeat.py).
"""

import hashlib
import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path

# Set by the supervisor for its children, so that a host name that changes meanwhile does not part them.
MACHINE_VARIABLE = "BUILDBOARD_MACHINE"


def machine_id() -> str:
    """A stable name of this machine: 32 hexadecimal digits that do not give away /etc/machine-id.

    The host name is part of it: containers of one image often share a machine-id.
    """
    return os.environ.get(MACHINE_VARIABLE) or _computed_machine_id()


@lru_cache(maxsize=1)
def _computed_machine_id() -> str:
    parts = ["buildboard", platform.node()]
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            parts.append(path.read_text().strip())
            break
        except OSError:
            continue
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Which boot of this machine this is; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_identity(pid: int) -> str:
    """When the process `pid` was started, within which boot: with the pid it names one process for good.

    At most 32 characters; empty when there is no such process, or only its zombie.
    """
    if pid <= 0:
        return ""
    if Path("/proc/self/stat").exists():
        return _identity_from_proc(pid)
    return _identity_from_ps(pid)


def _identity_from_proc(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    # The name is in parentheses and may hold any character; the state and the rest come after the last one.
    fields = stat.rpartition(")")[2].split()
    state, start_ticks = fields[0], fields[19]
    return "" if state in "ZX" else f"{boot_id()[:8]}-{start_ticks}"


def _identity_from_ps(pid: int) -> str:
    listed = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    if len(listed) < 2 or listed[0].startswith("Z"):
        return ""
    return hashlib.sha256(listed[1].strip().encode()).hexdigest()[:16]


def is_same_process(pid: int, identity: str) -> bool:
    """Whether `pid` is still the process that had this identity."""
    return bool(identity) and process_identity(pid) == identity
