"""Starts the processes of this machine for the commands `up`, `web` and `worker`, and says what it does.

It is not in charge of keeping them alive (supervisor/).
"""

import getpass
import os
import socket
from argparse import ArgumentParser, ArgumentTypeError
from contextlib import ExitStack
from dataclasses import dataclass

from django.conf import settings
from django.core.management.base import CommandError, OutputWrapper
from django.db import connections

from buildboard.core.machine import machine_id
from buildboard.listen import ListenError, open_socket, url_of
from buildboard.preparation import (
    ADMIN,
    FirstAccount,
    NotPreparedError,
    check_data_dir,
    create_first_account,
    prepare_database,
)
from buildboard.readiness import watch_readiness
from buildboard.supervisor.board import CLUSTERS, Board, cluster_group, web_group
from buildboard.supervisor.lock import AlreadyRunningError, lock_data_dir
from servers.registry import disable_local_server, register_local_server

DEFAULT_WORKERS = 2
MOST_PROCESSES = 64


@dataclass(frozen=True)
class Wanted:
    """What to start: `web` processes at host and port, `workers` for short tasks; 0 leaves that half out."""

    host: str = "127.0.0.1"
    port: int = 8000
    web: int = 0
    workers: int = 0
    is_whole: bool = False
    local_server: bool = False


def _processes(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= MOST_PROCESSES:
        return int(text)
    raise ArgumentTypeError(f"must be a whole number from 1 to {MOST_PROCESSES}, not {text!r}")


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise ArgumentTypeError(f"must be a port number from 0 to 65535, not {text!r}")


def add_web_arguments(parser: ArgumentParser) -> None:
    """`--host`, `--port` and `--web`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8000, help="port to listen on (8000; 0: any free one)")
    parser.add_argument("--web", type=_processes, default=1, help="number of web processes on the port (1)")


def add_worker_arguments(parser: ArgumentParser) -> None:
    """`--workers`."""
    parser.add_argument(
        "--workers", type=_processes, default=DEFAULT_WORKERS, help="number of workers for short tasks (2)"
    )


def launch(wanted: Wanted, *, out: OutputWrapper) -> None:
    """Prepare, start and run until a signal comes. Raises CommandError, one sentence, when it cannot."""
    with ExitStack() as held:
        try:
            check_data_dir()
            if wanted.workers:
                held.enter_context(lock_data_dir(settings.DATA_DIR))
            listening = held.enter_context(open_socket(wanted.host, wanted.port)) if wanted.web else None
            prepare_database()
            first = create_first_account() if wanted.is_whole else None
        except (NotPreparedError, AlreadyRunningError, ListenError) as error:
            raise CommandError(str(error)) from error
        if wanted.is_whole:
            _set_local_server(wanted.local_server)
        connections.close_all()
        _announce_start(out, first)
        board = Board(
            web=[web_group(listening.fileno(), number=n + 1) for n in range(wanted.web)] if listening else [],
            clusters=[cluster_group(name, workers=wanted.workers) for name in CLUSTERS]
            if wanted.workers
            else [],
        )
        if listening is not None:
            _announce_ready(out, wanted, listening, first)
        board.run()
    out.write(
        "Stopped."
        + (" Running builds go on and are followed again at the next start." if wanted.workers else "")
    )


def _set_local_server(is_wanted: bool) -> None:
    if is_wanted:
        register_local_server(machine=machine_id())
    else:
        disable_local_server(machine=machine_id())


def _announce_start(out: OutputWrapper, first: FirstAccount | None) -> None:
    out.write(f"Buildboard: {'first start' if first else 'start'}, data in {settings.DATA_DIR}")
    out.flush()


def _announce_ready(
    out: OutputWrapper, wanted: Wanted, listening: socket.socket, first: FirstAccount | None
) -> None:
    url = url_of(listening)

    def on_ready() -> None:
        out.write("\n".join(_ready_lines(url, wanted, first)))
        out.flush()

    def on_slow(missing: str) -> None:
        out.write(f"Not ready yet: {missing}")
        out.flush()

    watch_readiness(url, on_ready=on_ready, on_slow=on_slow)


def _ready_lines(url: str, wanted: Wanted, first: FirstAccount | None) -> list[str]:
    address = settings.PUBLIC_URL or url
    lines = ["", f"  Ready: {address}", ""]
    if first is not None:
        password = first.password or "(BUILDBOARD_ADMIN_PASSWORD)"
        lines += [
            f"  Sign in as   {ADMIN}",
            f"  Password     {password}",
            f"  API token    {first.token}",
            f"  {'Both are' if first.password else 'The token is'} shown only this once.",
            "",
        ]
    if wanted.local_server:
        lines += [
            f"  Builds on the server `local` run on this machine with the board's rights, as {_account()};",
            "  start with --no-local-server to leave that server out.",
            "",
        ]
    return [*lines, "  Ctrl-C stops the board; running builds go on.", ""]


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return f"user {os.getuid()}"
