"""Real input: a C program as Debian publishes it and a Python one as PyPI does, built through the API and run."""

import gzip
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import require
from tests.whole_board import WholeBoard

pytestmark = pytest.mark.slow
MINUTES = 300.0


@pytest.fixture
def board(tmp_path: Path) -> Iterator[WholeBoard]:
    with WholeBoard(tmp_path, database_url=os.environ.get("DATABASE_URL", "")).running() as board:
        yield board


def as_repository(archive: Path, folder: Path) -> Path:
    """Unpack a source archive into a git repository with one commit."""
    folder.mkdir()
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "-A", "-f"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "as published"], check=True)
    return root


def debian_source(name: str, folder: Path) -> Path:
    """The upstream archive of a Debian source package, by the machine's own package sources."""
    folder.mkdir()
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "parts").mkdir()
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if path.suffix == ".sources":
            text = path.read_text().replace("Types: deb\n", "Types: deb-src\n")
        elif path.suffix == ".list" and path.exists():
            lines = [
                line.split(maxsplit=1) for line in path.read_text().splitlines() if line.startswith("deb ")
            ]
            text = "".join(f"deb-src {rest}\n" for _, rest in lines)
        else:
            continue
        (folder / "parts" / path.name).write_text(text)
    options = [
        f"Dir::Etc::SourceParts={folder / 'parts'}",
        "Dir::Etc::SourceList=/dev/null",
        f"Dir::State::Lists={folder / 'lists'}",
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
    ]
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    subprocess.run([*apt, "update"], check=True, cwd=folder)
    subprocess.run([*apt, "source", "--download-only", name], check=True, cwd=folder)
    return next(folder.glob(f"{name}_*.orig.tar.*z"))


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
