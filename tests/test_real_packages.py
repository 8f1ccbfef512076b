"""Real input: a C program as Debian publishes it and a Python one as PyPI does, built through the API and run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_sources import as_repository, debian_source
from tests.requirements import require
from tests.whole_board import WholeBoard

pytestmark = pytest.mark.slow
MINUTES = 300.0


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeBoard]:
    """One for both; what lies in its folder it may build."""
    folder = tmp_path_factory.mktemp("board")
    with WholeBoard(folder, database_url=os.environ.get("DATABASE_URL", "")).running() as board:
        yield board


def test_debian_c_program_is_built_and_runs(board: WholeBoard, tmp_path: Path) -> None:
    for tool in ("apt-get", "gcc", "make"):
        require(tool)
    repository = as_repository(debian_source("ed", tmp_path / "source"), board.folder / "ed")

    job_id = board.submit(repository, artifact_paths=["ed"])
    job = board.wait_until_finished(job_id, seconds=MINUTES)

    assert (job["status"], job["exit_code"]) == ("completed", 0), board.log(job_id)[-3000:].decode()
    (artifact,) = board.call("GET", f"/infrastructure/build-jobs/{job_id}/artifacts")
    program = tmp_path / "program"
    program.write_bytes(board.call("GET", artifact["url"].removeprefix("/api/v1")))
    program.chmod(0o755)
    text = tmp_path / "text"
    text.write_text("made by hand\n")
    subprocess.run([str(program), "-s", str(text)], input=b",s/made by hand/built/\nw\nq\n", check=True)
    assert text.read_text() == "built\n"


def test_python_package_is_built_and_runs(board: WholeBoard, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    download = [*pip, "download", "--quiet", "--no-deps", "--no-binary", ":all:", "cowsay==6.0"]
    subprocess.run([*download, "--dest", str(tmp_path / "source")], check=True)
    (archive,) = (tmp_path / "source").iterdir()
    repository = as_repository(archive, board.folder / "cowsay")

    job_id = board.submit(repository, artifact_paths=["dist/*.whl"])
    job = board.wait_until_finished(job_id, seconds=MINUTES)

    assert (job["status"], job["exit_code"]) == ("completed", 0), board.log(job_id)[-3000:].decode()
    (artifact,) = board.call("GET", f"/infrastructure/build-jobs/{job_id}/artifacts")
    wheel = tmp_path / artifact["filename"]
    wheel.write_bytes(board.call("GET", artifact["url"].removeprefix("/api/v1")))
    place = tmp_path / "place"
    install = [*pip, "install", "--quiet", "--no-deps", "--no-index", "--target", str(place), str(wheel)]
    subprocess.run(install, check=True)
    said = subprocess.run(
        [sys.executable, "-m", "cowsay", "-t", "built"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(place)},
    )
    assert "| built |" in said.stdout
