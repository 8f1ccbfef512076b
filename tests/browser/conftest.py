"""One board, one browser and somebody signed in, shared by every test of a page in a real browser.

The tests share the board's jobs, servers and the one person: each names what it made itself, and leaves the
machine of the board as it found it. The browser enforces the Content-Security-Policy, so a console without errors
is a part of every test.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.boards import RunningBoard, running_board
from tests.browsers import PASSWORD, Reader, chromium
from tests.requirements import require
from tests.ssh_servers import SshServer


@pytest.fixture(scope="package")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One commit, which the board may build."""
    require("git")
    folder = tmp_path_factory.mktemp("repositories") / "demo"
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (folder / "README").write_text("demo\n")
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    return folder


@pytest.fixture(scope="package")
def board(repository: Path) -> Iterator[RunningBoard]:
    """A board that is ready, with an administrator."""
    extra = {
        "BUILDBOARD_LOCAL_REPOSITORIES": str(repository.parent),
        "BUILDBOARD_ADMIN_PASSWORD": PASSWORD,
    }
    with running_board(extra=extra) as running:
        yield running


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    require("chromium")
    with chromium() as started:
        yield started


@pytest.fixture
def reader(browser: Browser, board: RunningBoard) -> Iterator[Reader]:
    """Somebody who is signed in, with cookies and a console of their own."""
    person = Reader(browser, board)
    yield person
    person.context.close()


@pytest.fixture
def ssh_server() -> Iterator[SshServer]:
    """A real sshd, which the board does not know yet."""
    require("sshd")
    with SshServer() as server:
        yield server
