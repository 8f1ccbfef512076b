"""100 MB of log over SSH, from the build's output into the store, beside `ssh host cat` of the same bytes."""

from bench.log import MEGABYTES, one_log, write_source
from bench.measure import Figure, Setting, repeat, show
from bench.ssh.board import run_command, ssh_board


def run(setting: Setting) -> None:
    """Print how long 100 MB take, first output to the stored end."""
    source = write_source(setting.folder)
    with ssh_board(setting) as bench:
        seconds: list[float] = []
        kept: list[float] = []
        fresh: list[float] = []
        cat = f"cat '{source}'"
        for _ in range(setting.times(5)):
            seconds.append(one_log(bench.board, bench.repository, source))
            kept += repeat("", lambda: run_command(bench.kept(cat)), times=1).seconds
            fresh += repeat("", lambda: run_command(bench.fresh(cat)), times=1).seconds
    print(
        f"{MEGABYTES} MB of log over SSH, from the first byte printed to the last one stored and the job completed"
    )
    beside = [Figure("ssh host cat, kept connection", kept), Figure("ssh host cat, connecting anew", fresh)]
    show(Figure("through the board", seconds), beside=beside)
