"""Real input: a C program as Debian publishes it and a Python one as PyPI does, built through the API and run."""

import gzip
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


@pytest.fixture
def board(tmp_path: Path) -> Iterator[WholeBoard]:
    with WholeBoard(tmp_path, database_url=os.environ.get("DATABASE_URL", "")).running() as board:
        yield board


def test_debian_c_program_is_built_and_runs(board: WholeBoard, tmp_path: Path) -> None:
    for tool in ("apt-get", "gcc", "make"):
        require(tool)
    repository = as_repository(debian_source("gzip", tmp_path / "source"), tmp_path / "gzip")

    job_id = board.submit(repository, artifact_paths=["gzip"])
    job = board.wait_until_finished(job_id, seconds=MINUTES)

    assert (job["status"], job["exit_code"]) == ("completed", 0), board.log(job_id)[-3000:].decode()
    (artifact,) = board.call("GET", f"/infrastructure/build-jobs/{job_id}/artifacts")
    program = tmp_path / "program"
    program.write_bytes(board.call("GET", artifact["url"].removeprefix("/api/v1")))
    program.chmod(0o755)
    packed = subprocess.run([str(program), "-9"], input=b"built " * 100, capture_output=True, check=True)
    assert gzip.decompress(packed.stdout) == b"built " * 100


def test_python_package_is_built_and_runs(board: WholeBoard, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    download = [*pip, "download", "--quiet", "--no-deps", "--no-binary", ":all:", "cowsay==6.0"]
    subprocess.run([*download, "--dest", str(tmp_path / "source")], check=True)
    (archive,) = (tmp_path / "source").iterdir()
    repository = as_repository(archive, tmp_path / "cowsay")

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
