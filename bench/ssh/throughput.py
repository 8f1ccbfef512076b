"""How many trivial jobs a minute go through four slots of one server over SSH."""

import time

from bench.measure import Setting, ended_at, repeat
from bench.ssh.board import SshBoard, run_command, ssh_board

JOBS = 500
SLOTS = 4


def run(setting: Setting) -> None:
    """Print jobs a minute, beside the same checkouts and commands over a kept connection without a board."""
    count = setting.times(JOBS)
    with ssh_board(setting, slots=SLOTS) as bench:
        board = bench.board
        bench.change_server(draining=True)
        begin = time.time()
        jobs = [board.submit(bench.repository, build_command="true") for _ in range(count)]
        submitting = time.time() - begin
        begin = time.time()
        bench.change_server(draining=False)
        # The last first: it is near the end, and the others need to be asked once each then.
        seconds = max(ended_at(board, job_id) for job_id in reversed(jobs)) - begin
        run_command(bench.kept("true"))
        bare = repeat("bare", lambda: _bare(bench), times=20)
    print(f"{count} trivial jobs over SSH with {SLOTS} slots, from a full queue to its last end")
    print(f"  through the board                       {60 * count / seconds:8.0f} jobs a minute")
    print(f"  ssh host 'git clone; true', kept        {60 / bare.p50:8.0f} a minute, one after the other")
    print(f"  ratio                                   {count / seconds * bare.p50:8.2f}")
    print(f"  submitted by one client, one by one     {60 * count / submitting:8.0f} jobs a minute")


def _bare(bench: SshBoard) -> None:
    place = bench.folder / "clone"
    run_command(
        bench.kept(
            f'git clone -q --shared "{bench.repository}" "{place}" && cd "{place}" && true && rm -rf "{place}"'
        )
    )
