"""What a test needs of the machine: skipped with a reason when it is missing, failed when all must be there.

BUILDBOARD_TEST_REQUIRE=all is for the runs that prove a release: there nothing may be left out.
"""

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services import postgres_tool


def _has_postgres() -> bool:
    return bool(os.environ.get("BUILDBOARD_TEST_POSTGRES_URL")) or postgres_tool("initdb") is not None


def _has_redis() -> bool:
    return bool(os.environ.get("BUILDBOARD_TEST_REDIS_URL")) or shutil.which("redis-server") is not None


# Names that are more than a command on the PATH.
_CHECKS: dict[str, Callable[[], bool]] = {
    "postgres": _has_postgres,
    "redis": _has_redis,
    "root": lambda: os.geteuid() == 0,
    "x86_64": lambda: platform.machine() == "x86_64",
    "libelf": lambda: Path("/usr/include/libelf.h").exists(),
}


def require(name: str) -> None:
    """Skip the test, naming what is missing; fail instead under BUILDBOARD_TEST_REQUIRE=all."""
    check = _CHECKS.get(name, lambda: shutil.which(name) is not None)
    if check():
        return
    reason = f"needs {name}, which is not here"
    if os.environ.get("BUILDBOARD_TEST_REQUIRE") == "all":
        pytest.fail(reason)
    pytest.skip(reason)
