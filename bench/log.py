"""100 MB of log, from the build's output into the store, beside `cat` to a file."""

import os
import subprocess
from pathlib import Path

from bench.measure import Figure, Setting, ended_at, repeat, show
from tests.repositories import make_repository
from tests.whole_board import WholeBoard

MEGABYTES = 100


def run(setting: Setting) -> None:
    """Print how long 100 MB take, first output to the stored end."""
    folder = setting.folder
    source = write_source(folder)
    with WholeBoard(folder, database_url=setting.database_url).running() as board:
        repository = make_repository(folder / "demo", {"README": "x\n"})
        seconds = [one_log(board, repository, source) for _ in range(3)]
    print(f"{MEGABYTES} MB of log, from the first byte printed to the last one stored and the job completed")
    show(
        Figure("through the board", seconds),
        beside=[
            repeat("cat to a file, with fsync", lambda: _cat(source, folder / "copy"), times=3),
            repeat("cat into a pipe", lambda: _pipe(source), times=3),
        ],
    )


def write_source(folder: Path) -> Path:
    """A file of 100 MB in lines."""
    source = folder / "big"
    line = b"a line of a log that a compiler might print, with its number behind it: %08d\n"
    with source.open("wb") as target:
        for number in range(MEGABYTES * 1_000_000 // len(line % 0)):
            target.write(line % number)
    return source


def one_log(board: WholeBoard, repository: Path, source: Path) -> float:
    """Seconds from the first byte of the file that a build printed to the job's end; the log is whole then."""
    stamp = source.with_name("began")
    command = f'date +%s.%N >"{stamp}"; cat "{source}"'
    job_id = board.submit(repository, build_command=command, timeout_seconds=900)
    end = ended_at(board, job_id)
    log = board.log(job_id)
    assert len(log) > source.stat().st_size, "the log is not whole"
    return end - float(stamp.read_text())


def _cat(source: Path, target: Path) -> None:
    with target.open("wb") as output:
        subprocess.run(["cat", str(source)], stdout=output, check=True)
        os.fsync(output.fileno())


def _pipe(source: Path) -> None:
    subprocess.run(f"cat '{source}' | cat >/dev/null", shell=True, check=True)  # noqa: S602  # a fixed pipeline
