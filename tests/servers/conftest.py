"""Servers for the tests: one of this machine for the durable run, and a real sshd."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.requirements import require
from tests.servers.durable import SHELLS, Durable
from tests.servers.ssh_targets import install_bad_helper
from tests.ssh_servers import SshServer


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Durable]:
    """A work dir whose helper runs under the machine's own sh."""
    server = Durable(tmp_path / "work dir")
    yield server
    server.clear()


@pytest.fixture(params=SHELLS)
def durable_any_shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Durable]:
    """The same under every shell that the helper promises to run under."""
    shell = SHELLS[request.param]
    require(shell[0])
    server = Durable(tmp_path / "work dir", shell=shell)
    yield server
    server.clear()


@pytest.fixture
def ssh_server() -> Iterator[SshServer]:
    """A real sshd on loopback with its own home."""
    require("sshd")
    with SshServer() as server:
        yield server


@pytest.fixture
def bad_server(ssh_server: SshServer) -> SshServer:
    """One whose helper does what its first word says."""
    install_bad_helper(ssh_server)
    return ssh_server


@pytest.fixture
def removed() -> Iterator[Callable[[Durable], Durable]]:
    """Takes note of servers that a test makes itself: nothing of them is left at its end."""
    made: list[Durable] = []

    def note(server: Durable) -> Durable:
        made.append(server)
        return server

    yield note
    for server in made:
        server.clear()
