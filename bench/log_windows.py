"""Windows, search and outline of a log of a million lines, live and sealed, beside `sed` and `grep` on the file."""

import gzip
import json
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from bench.measure import MOST_SECONDS, Setting, ended_at, repeat, show
from tests.repositories import make_repository
from tests.waiting import wait_for
from tests.whole_board import WholeBoard

LINES = 1_000_000
WINDOW = 500
_DEEP = 765_432 // WINDOW * WINDOW
_RARE = "ice_probe_here"
_OFTEN = "warning:"
_COMPILES = "  \x1b[2mCC\x1b[0m      drivers/net/ethernet/intel/ice/ice_lib_{0}.o"
_LINKS = "  \x1b[36mLD [M]\x1b[0m  drivers/net/ethernet/intel/ice/ice_{0}.ko"
_WARNS = "\x1b[33mwarning:\x1b[0m kernel/sched/core.c:{0}:12: unused variable ‘\x1b[1mret\x1b[0m’ [-Wunused-variable]"
_HAS_ROWS = (
    "import django; django.setup(); from jobs.models import LogChunk; print(LogChunk.objects.exists())"
)


def run(setting: Setting) -> None:
    """Print what the viewer waits for, in both forms of the log."""
    folder = setting.folder
    source, more = _write_source(folder), folder / "more"
    with WholeBoard(folder, database_url=setting.database_url).running() as board:
        repository = make_repository(folder / "demo", {"README": "x\n"})
        command = f"cat '{source}'; until [ -e '{more}' ]; do sleep 0.2; done"
        job_id = board.submit(repository, build_command=command, timeout_seconds=900)
        wait_for(lambda: _is_whole(board, job_id), what="the log is whole", seconds=MOST_SECONDS)
        print(f"a log of {LINES:,} lines, {source.stat().st_size / 1e6:.1f} MB, asked for over HTTP")
        _measure(board, job_id, setting, form="rows")
        more.touch()
        ended_at(board, job_id)
        begin = time.monotonic()
        wait_for(lambda: not _has_rows(board), what="the log is sealed", seconds=MOST_SECONDS)
        stored = sum(path.stat().st_size for path in (board.data_dir / "storage" / "logs").rglob("*.zst"))
        print(f"  sealed within {time.monotonic() - begin:.1f} s after the end, into {stored / 1e6:.1f} MB")
        _measure(board, job_id, setting, form="sealed")
    _yardsticks(source, setting)


def _measure(board: WholeBoard, job_id: str, setting: Setting, *, form: str) -> None:
    asked = {
        "the first 500 lines": "lines?from=0&n=500",
        f"500 lines from line {_DEEP:,} on": f"lines?from={_DEEP}&n=500",
        "search, 12 lines found": f"search?q={_RARE}",
        "search, every 25th line found": f"search?q={_OFTEN}",
        "outline": "outline",
    }
    for name, path in asked.items():
        times = 1 if path == "outline" else setting.times(20)
        figure = repeat(f"{name}, from {form}", partial(_ask, board, job_id, path), times=times)
        show(figure, beside=[])


def _yardsticks(source: Path, setting: Setting) -> None:
    commands = {
        "sed, the same lines of the file": f"sed -n '{_DEEP + 1},{_DEEP + WINDOW}p;{_DEEP + WINDOW}q' '{source}'",
        "grep -i, 12 lines found": f"LC_ALL=C grep -i -F {_RARE} '{source}' | cat",
        "grep -i, every 25th line found": f"LC_ALL=C grep -i -F {_OFTEN} '{source}' | cat",
    }
    for name, command in commands.items():
        show(repeat(name, partial(_shell, command), times=setting.times(20)), beside=[])


def _shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)  # noqa: S602  # a fixed pipeline


def _ask(board: WholeBoard, job_id: str, path: str) -> Any:
    request = urllib.request.Request(  # noqa: S310  # loopback
        f"{board.url}/jobs/{job_id}/log/{path}",
        headers={"Authorization": f"Bearer {board.token}", "Accept-Encoding": "gzip"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # loopback
        content = answer.read()
        return json.loads(gzip.decompress(content) if answer.headers["Content-Encoding"] else content)


def _is_whole(board: WholeBoard, job_id: str) -> bool:
    time.sleep(1)  # asking often would slow down what is waited for
    return bool(_ask(board, job_id, f"lines?from={LINES}&n=1")["total"] >= LINES)


def _has_rows(board: WholeBoard) -> bool:
    answer = subprocess.run(
        [sys.executable, "-c", _HAS_ROWS], env=board.environment, check=True, capture_output=True, text=True
    )
    return answer.stdout.strip() == "True"


def _write_source(folder: Path) -> Path:
    """Lines as a build of the kernel prints them, in colours."""
    source = folder / "log-of-a-build"
    with source.open("w") as target:
        for number in range(LINES):
            shape = _WARNS if number % 25 == 0 else _LINKS if number % 31 == 0 else _COMPILES
            mark = f" {_RARE}" if number % 83_333 == 7 else ""
            print(shape.format(number % 4000) + mark, file=target)
    return source
