"""Boards that differ in how many jobs have finished on them, looked at in turn: how much a long history costs.

Each has a database and a process of its own, which runs a module that answers as bench/inside.py says. They take
turns, so that whatever else the machine does slows all of them alike.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import psycopg
from psycopg import sql

from bench.measure import Setting

LOOKS = 40
WARM = 3


class Board:
    """The process that looks at the board of one size."""

    def __init__(self, process: "subprocess.Popen[str]", size: int) -> None:
        self.size = size
        self._process = process

    def ask(self, line: str) -> str:
        """What it answers to a line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the board of {self.size:,} jobs ended"
        return answer.strip()


def compare(setting: Setting, *, inside: str, sizes: Sequence[int], looks: int = LOOKS) -> None:
    """Print, of what the module `inside` looks at, the median time and the queries at each size, and the ratio."""
    scaled = list(dict.fromkeys(max(sizes[0], round(size * setting.share)) for size in sizes))
    with ExitStack() as stack:
        boards = [stack.enter_context(_board(setting, size, inside=inside)) for size in scaled]
        for board in boards:
            begin = time.perf_counter()
            names = board.ask("fill").split("\t")
            print(
                f"  {board.size:>9,} finished jobs, filled in {time.perf_counter() - begin:.0f} s", flush=True
            )
        print(f"  {'p50 ms (queries)':<32}" + "".join(f"{size:>15,}" for size in scaled) + "     ratio")
        for name in names:
            _show(name, boards, looks=looks)


def _show(name: str, boards: list[Board], *, looks: int) -> None:
    queries = [int(board.ask(f"queries {name}")) for board in boards]
    seconds: list[list[float]] = [[] for _ in boards]
    for number in range(WARM + looks):
        for board, taken in zip(boards, seconds, strict=True):
            second = float(board.ask(f"look {name}"))
            if number >= WARM:
                taken.append(second)
    medians = [statistics.median(taken) for taken in seconds]
    cells = "".join(
        f"{median * 1000:>10.1f} ({count:>2})" for median, count in zip(medians, queries, strict=True)
    )
    print(f"  {name:<32}{cells}{medians[-1] / medians[0]:>10.2f}", flush=True)


@contextmanager
def _board(setting: Setting, size: int, *, inside: str) -> Iterator[Board]:
    environment = {
        **os.environ,
        "BUILDBOARD_DATA_DIR": str(setting.folder / f"data-{size}"),
        "DATABASE_URL": setting.database_url and _new_database(setting.database_url, f"bench_{size}"),
        "DJANGO_SETTINGS_MODULE": "buildboard.settings",
    }
    command = [sys.executable, "-m", inside, str(size)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Board(process, size)


def _new_database(url: str, name: str) -> str:
    with psycopg.connect(url, autocommit=True) as postgres:
        postgres.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{url.rpartition('/')[0]}/{name}"
