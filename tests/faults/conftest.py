"""Boards and servers that the tests of one file share: a start of a board takes as long as most faults."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.world import Server, World
from tests.requirements import require


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A board that is ready, with a repository and no servers."""
    require("sshd")
    require("git")
    with World(Path(tmp_path_factory.mktemp("faults")).resolve()) as world:
        yield world


@pytest.fixture(scope="module")
def servers(world: World) -> list[Server]:
    """Three of them, online."""
    return world.add_servers(3)
