"""From the POST of a submission to the first instruction of its build over SSH, checkout included."""

from bench.latency import one_build
from bench.measure import Figure, Setting, repeat, show
from bench.ssh.board import SshBoard, run_command, ssh_board

JOBS = 100
_CLONE = 'git clone -q --shared "{0}" "{1}" && cd "{1}" && date +%s.%N >/dev/null'


def run(setting: Setting) -> None:
    """Print p50 and p95 over 100 jobs, one after the other on a warm board; `ssh host true` goes in between."""
    with ssh_board(setting) as bench:
        one_build(bench.board, bench.repository, bench.folder / "warm")
        seconds: list[float] = []
        kept: list[float] = []
        for number in range(setting.times(JOBS)):
            stamp = bench.folder / f"stamp-{number}"
            seconds.append(one_build(bench.board, bench.repository, stamp))
            kept += repeat("", lambda: run_command(bench.kept("true")), times=1).seconds
        beside = [
            Figure("ssh host true, on a kept connection", kept),
            repeat("ssh host true, connecting anew", lambda: run_command(bench.fresh("true")), times=20),
            repeat("git clone --shared and date, kept connection", lambda: _clone(bench), times=20),
        ]
    print("submit to the first instruction of the build over SSH (git checkout in between)")
    show(Figure("through the board", seconds), beside=beside)


def _clone(bench: SshBoard) -> None:
    place = bench.folder / "clone"
    run_command(bench.kept(_CLONE.format(bench.repository, place) + f' && rm -rf "{place}"'))
