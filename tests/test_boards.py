"""Boards of tests clean up: when one is over, no process of its builds lives and its folder can go."""

import tempfile
from pathlib import Path

import pytest

from tests.boards import processes_of_builds
from tests.repositories import make_repository
from tests.whole_board import WholeBoard

# The board here has a database of its own.
pytestmark = [pytest.mark.slow, pytest.mark.sqlite_only]

WRITE_WITHOUT_END = """
begin=$PWD; number=0
while :; do
    number=$((number + 1)); mkdir -p "$begin/$number/deep"; echo x >"$begin/$number/deep/file"
    (cd "$begin/$number" && sleep 0.01 && echo y >"$begin/$number/later" &)
    sleep 0.01
done
"""


def test_build_that_writes_without_end_is_gone_with_its_board() -> None:
    with tempfile.TemporaryDirectory(prefix="bb-boards-") as folder:
        with WholeBoard(Path(folder)).running() as board:
            repository = make_repository(Path(folder, "demo"), {"README": "x\n"})
            board.submit(repository, build_command=WRITE_WITHOUT_END)
            board.wait_for(lambda: [*board.home.rglob("later")], what="the build writes", seconds=60)

            board.kill()
            assert processes_of_builds(board.home) != [], "a build outlives its board"
            board.start()

        assert processes_of_builds(board.home) == []
        assert board.processes() == []
    assert not Path(folder).exists()
