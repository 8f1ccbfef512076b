"""From a line printed by a build over SSH to the WebSocket client that watches it."""

import json
import subprocess
import time
from collections.abc import Iterable

from websockets.sync.client import connect

from bench.measure import Figure, Setting, show
from bench.ssh.board import SshBoard, ssh_board

LINES = 200
COMMAND = (
    "i=0; while [ $i -lt {0} ]; do echo stamp $(date +%s.%N) end; sleep 0.$((1 + i % 7)); i=$((i + 1)); done"
)


def run(setting: Setting) -> None:
    """Print p50 and p95 over 200 lines, up to 0.7 s apart, beside the same program straight over `ssh`."""
    command = COMMAND.format(setting.times(LINES))
    with ssh_board(setting) as bench:
        watched = _watch(bench, command)
        direct = straight(bench, command)
    print("a line printed by a build over SSH to seen by a WebSocket client")
    show(
        Figure("through the board", watched),
        beside=[Figure("ssh host, kept connection, read as it comes", direct)],
    )


def _watch(bench: SshBoard, command: str) -> list[float]:
    board = bench.board
    job_id = board.submit(bench.repository, build_command=command)
    url = f"ws://127.0.0.1:{board.port}/ws/jobs/{job_id}/log"
    headers = {"Authorization": f"Bearer {board.token}"}
    seconds: list[float] = []
    with connect(url, additional_headers=headers, max_size=None) as socket:
        for message in socket:
            frame = json.loads(message)
            if frame["type"] == "log":
                seconds += delays(frame["text"].splitlines())
            elif frame["type"] == "end":
                break
    assert len(seconds) > 1, "no line was seen"
    return seconds[1:]  # while it begins the socket may have come after the first


def straight(bench: SshBoard, command: str) -> list[float]:
    """The delays of the same lines read as they come from `ssh`, in seconds."""
    with subprocess.Popen(bench.kept(command), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        return [delay for line in process.stdout for delay in delays([line])]


def delays(lines: Iterable[str]) -> list[float]:
    """How many seconds ago each of these lines was printed."""
    now = time.time()
    words = [line.split() for line in lines]
    return [
        now - float(parts[1])
        for parts in words
        if len(parts) == 3 and parts[0] == "stamp" and parts[2] == "end"
    ]
