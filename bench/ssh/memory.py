"""What 100 builds at once take of memory: on the board and on the build server."""

import time
from collections.abc import Iterable

import psutil

from bench.measure import Setting
from bench.ssh.board import SshBoard, ssh_board

BUILDS = 100
SECONDS = 60  # how long all of them run together
SHELL_LINE = "i=0; while [ $i -lt {0} ]; do echo line $i; i=$((i + 1)); sleep 1; done"
LOOKS = 5


def run(setting: Setting) -> None:
    """Print resident memory of the runner and of the whole board before and meanwhile, and a build's on its server."""
    count = setting.times(BUILDS)
    with ssh_board(setting, slots=count) as bench:
        board = bench.board
        runner_before, board_before = _runner(bench), _total(_pids(bench))
        command = SHELL_LINE.format(SECONDS + 4 * count)
        jobs = [board.submit(bench.repository, build_command=command) for _ in range(count)]
        board.wait_for(
            lambda: all(board.log(job_id).count(b"line ") for job_id in jobs), what="all print", seconds=600
        )
        runner, whole = 0, 0
        for _ in range(LOOKS):
            time.sleep(SECONDS / 2 / LOOKS)
            runner = max(runner, _runner(bench))
            whole = max(whole, _total(_pids(bench)))
        on_server = _total(bench.server.processes())
    print(
        f"memory for {count} builds at once over SSH, each a line a second, on one server (PSS but for the runner)"
    )
    _line("runner, RSS", runner_before, runner, count)
    _line("all processes of the board", board_before, whole, count)
    _line("on the build server: helper, shells, sleeps", 0, on_server, count)


def _line(name: str, before: int, after: int, count: int) -> None:
    a_build = (after - before) / count / 1024
    print(f"  {name:<46} {before / 2**20:7.1f} -> {after / 2**20:7.1f} MiB   {a_build:8.0f} KiB a build")


def _runner(bench: SshBoard) -> int:
    """The runner is the largest process of its cluster."""
    return max(process.memory_info().rss for process in bench.board.members("runner"))


def _pids(bench: SshBoard) -> list[int]:
    return [process.pid for process in bench.board.processes()]


def _total(pids: Iterable[int]) -> int:
    found = 0
    for pid in pids:
        try:
            found += int(psutil.Process(pid).memory_full_info().pss)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found
