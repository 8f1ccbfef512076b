"""Fixtures of the build script's tests: a repository to build from, and a build server's folder under each shell."""

from pathlib import Path

import pytest

from tests.jobs.script_runs import SHELLS, Server, Upstream
from tests.requirements import require


@pytest.fixture(params=SHELLS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    shell = SHELLS[request.param]
    require(shell[0])
    require("git")
    return Server(tmp_path / "a server", shell=shell)


@pytest.fixture
def one_server(tmp_path: Path) -> Server:
    require("git")
    return Server(tmp_path / "a server")


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    require("git")
    return Upstream(tmp_path / "up stream")
