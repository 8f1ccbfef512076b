"""A board with one build server behind a real sshd, and `ssh` to the same server as the yardstick."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Figure, Setting, repeat
from tests.repositories import make_repository
from tests.ssh_servers import SshServer
from tests.whole_board import WholeBoard

SHELL = "/bin/sh"
SERVERS = "/infrastructure/build-servers"


@dataclass(frozen=True)
class SshBoard:
    """The board, its one server, the server's id, a repository, and a folder for the benchmark's own files."""

    board: WholeBoard
    server: SshServer
    server_id: str
    repository: Path
    folder: Path

    def change_server(self, **fields: object) -> None:
        """PATCH the server."""
        self.board.call("PATCH", f"{SERVERS}/{self.server_id}", fields)

    # ---- the yardstick

    def fresh(self, *words: str) -> list[str]:
        """`ssh` that connects anew."""
        return self.server.ssh_command(*words)

    def kept(self, *words: str) -> list[str]:
        """`ssh` over a connection that was made before (ControlMaster)."""
        program, *rest = self.server.ssh_command(*words)
        path = self.server.folder / "control"
        options = ["ControlMaster=auto", f"ControlPath={path}", "ControlPersist=600"]
        return [program, *(flag for option in options for flag in ("-o", option)), *rest]

    def yardsticks(self, *, times: int) -> list[Figure]:
        """`ssh host true`, fresh and kept."""
        run_command(self.kept("true"))
        return [
            repeat(
                "ssh host true, on a kept connection", lambda: run_command(self.kept("true")), times=times
            ),
            repeat(
                "ssh host true, connecting anew",
                lambda: run_command(self.fresh("true")),
                times=min(times, 20),
            ),
        ]


def run_command(command: list[str]) -> None:
    """Run it to its end, without input or output."""
    null = subprocess.DEVNULL
    subprocess.run(command, check=True, stdin=null, stdout=null, stderr=null)


@contextmanager
def ssh_board(setting: Setting, *, slots: int = 4) -> Iterator[SshBoard]:
    """One that is warm: a build went through it. This machine itself is no build server of it."""
    folder = setting.folder
    shell = SHELL if os.geteuid() == 0 else ""
    with (
        SshServer(login_shell=shell) as server,
        WholeBoard(folder, database_url=setting.database_url).running() as board,
    ):
        for one in board.call("GET", SERVERS):
            board.call("PATCH", f"{SERVERS}/{one['id']}", {"enabled": False})
        server_id = str(board.call("POST", SERVERS, _fields(server, slots=slots))["id"])
        board.wait_for(
            lambda: board.call("GET", f"{SERVERS}/{server_id}")["status"] == "online",
            what="the server is online",
            seconds=60,
        )
        repository = make_repository(folder / "demo", {"README": "x\n"})
        warm = board.wait_until_finished(board.submit(repository, build_command="true"))
        assert warm["status"] == "completed", warm
        yield SshBoard(board, server, server_id, repository, folder)


def _fields(server: SshServer, *, slots: int) -> dict[str, object]:
    return {
        "name": "bench",
        "hostname": server.hostname,
        "ssh_port": server.port,
        "ssh_username": server.username,
        "private_key": server.private_key,
        "host_key": server.host_key_line,
        "max_concurrent_builds": slots,
        "utilization_limits": {"cpu_percent": 100, "memory_percent": 100, "storage_percent": 100},
    }
