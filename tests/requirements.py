"""What a test needs of the machine: skipped with a reason when it is missing, failed when all must be there.

BUILDBOARD_TEST_REQUIRE=all is for the runs that prove a release: there nothing may be left out.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.services import postgres_tool
from tests.ssh_servers import sshd_program


def _has_postgres() -> bool:
    return bool(os.environ.get("BUILDBOARD_TEST_POSTGRES_URL")) or postgres_tool("initdb") is not None


def _has_redis() -> bool:
    return bool(os.environ.get("BUILDBOARD_TEST_REDIS_URL")) or shutil.which("redis-server") is not None


def _has_own_network() -> bool:
    """Whether a process may have a network of its own, where packets can be dropped."""
    unshare = shutil.which("unshare")
    tried = [unshare, "--net", "iptables", "-S"] if unshare and shutil.which("iptables") else ["false"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def _has_git_http() -> bool:
    if shutil.which("git") is None:
        return False
    told = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True)
    return Path(told.stdout.strip(), "git-http-backend").exists()


# Names that are more than a command on the PATH.
_CHECKS: dict[str, Callable[[], bool]] = {
    "git http-backend": _has_git_http,
    "own network": _has_own_network,
    "postgres": _has_postgres,
    "redis": _has_redis,
    "root": lambda: os.geteuid() == 0,
    # Not on the PATH of every account; and its keys are made by its client's tool.
    "sshd": lambda: sshd_program() is not None and shutil.which("ssh-keygen") is not None,
    "x86_64": lambda: platform.machine() == "x86_64",
    "libelf": lambda: Path("/usr/include/libelf.h").exists(),
}


def require(name: str) -> None:
    """Skip the test, naming what is missing; fail instead under BUILDBOARD_TEST_REQUIRE=all."""
    check = _CHECKS.get(name, lambda: shutil.which(name) is not None)
    if check():
        return
    leave_out(f"needs {name}, which is not here")


def leave_out(reason: str) -> NoReturn:
    """Skip the test with that reason; fail it instead under BUILDBOARD_TEST_REQUIRE=all."""
    if os.environ.get("BUILDBOARD_TEST_REQUIRE") == "all":
        pytest.fail(reason)
    pytest.skip(reason)
