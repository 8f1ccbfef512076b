"""Fixtures of the build script's tests: a repository to build from, and a build server's folder under each shell.

And of builds of a board: a repository and a real sshd; of the live log's: somebody who may read it; of quarantines:
two servers.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings

from buildboard.core.auth import create_token
from buildboard.core.models import User
from buildboard.core.permissions import Role
from servers.connections import forget_connections
from servers.models import BuildServer
from tests.factories import make_followed, make_user
from tests.jobs.log_forms import remove_objects
from tests.jobs.script_runs import SHELLS, Server, Upstream
from tests.repositories import make_repository
from tests.requirements import require
from tests.ssh_servers import SshServer
from tests.waiting import wait_for


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


@pytest.fixture
def repository(tmp_path: Path, settings: LazySettings) -> Path:
    """One that builds of this board may be of."""
    settings.LOCAL_REPOSITORIES = (tmp_path,)
    return make_repository(tmp_path / "demo", {"README": "hello\n"})


@pytest.fixture
def ssh_server() -> Iterator[SshServer]:
    """A real sshd on loopback with its own home."""
    require("sshd")
    with SshServer() as server:
        yield server
        forget_connections()


@pytest.fixture
def viewer() -> User:
    return make_user(Role.VIEWER)


@pytest.fixture
def read_token(viewer: User) -> str:
    return create_token(viewer, name="test", scopes=["read"])[1]


@pytest.fixture
def no_object_left() -> Iterator[None]:
    """At the end of the test, the storage of logs is emptied."""
    yield
    remove_objects()


@pytest.fixture
def no_tail_left() -> Iterator[None]:
    """At the end of the test, the thread that feeds the sockets of a log ends."""
    yield
    wait_for(
        lambda: not any(thread.name == "log-tails" for thread in threading.enumerate()),
        what="the feeding thread ends",
    )


@pytest.fixture
def bad() -> BuildServer:
    """For a server that is to fail builds; see host_faults.py."""
    return make_followed("bad")


@pytest.fixture
def good() -> BuildServer:
    """One beside it that does not."""
    return make_followed("good")
