"""Real PostgreSQL and Redis servers for tests: one of each a test session, on loopback, gone at its end.

It is not in charge of what happens when one is missing (requirements.py).
"""

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import psycopg
from psycopg import sql

from tests.waiting import WAIT_SECONDS, wait_for


class ServiceError(Exception):
    """A service that is installed did not start."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_tool(name: str) -> Path | None:
    """The newest installed `initdb`, `pg_ctl`, ...; None when PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1]
    on_path = shutil.which(name)
    return Path(on_path) if on_path else None


@lru_cache(maxsize=1)
def postgres_url() -> str:
    """The address of an empty PostgreSQL database; BUILDBOARD_TEST_POSTGRES_URL names one that runs."""
    given = os.environ.get("BUILDBOARD_TEST_POSTGRES_URL", "")
    return given or _start_postgres(free_port())


def durable_postgres_url() -> str:
    """The address of an empty database of another PostgreSQL, which keeps what it commits: for benchmarks."""
    return _start_postgres(free_port(), durable=True)


@contextmanager
def fresh_database(name: str) -> Iterator[str]:
    """The address of a database of its own in the tests' PostgreSQL; gone at the end."""
    server = postgres_url()
    identifier = sql.Identifier(name)
    with psycopg.connect(server, autocommit=True) as postgres:
        postgres.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        try:
            yield server.rpartition("/")[0] + f"/{name}"
        finally:
            postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def _start_postgres(port: int, *, durable: bool = False) -> str:
    folder = Path(tempfile.mkdtemp(prefix="bb-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    atexit.register(_stop_postgres, folder)
    _as_postgres(
        "initdb", "-D", data, "-U", "buildboard", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"
    )
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
    if not durable:
        options += " -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
    _as_postgres("pg_ctl", "-D", data, "-l", folder / "log", "-o", options, "-w", "start")
    _as_postgres("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "buildboard", "buildboard")
    return f"postgresql://buildboard@127.0.0.1:{port}/buildboard"


def _stop_postgres(folder: Path) -> None:
    if (folder / "data" / "postmaster.pid").exists():
        _as_postgres("pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
    shutil.rmtree(folder, ignore_errors=True)


def _as_postgres(name: str, *arguments: object) -> None:
    """Run a tool of PostgreSQL, which refuses to be root, as the account `postgres`."""
    tool = postgres_tool(name)
    if tool is None:
        raise ServiceError(f"{name} is not installed")
    lowered = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*lowered, str(tool), *map(str, arguments)]
    # Into a file: a server that is started keeps the output open, so a pipe would never end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command, stdout=output, stderr=output, cwd="/", check=False, timeout=WAIT_SECONDS * 2
        )
        if done.returncode:
            output.seek(0)
            raise ServiceError(f"{name} failed: {output.read().decode(errors='replace')}")


@lru_cache(maxsize=1)
def redis_url() -> str:
    """The address of an empty Redis; BUILDBOARD_TEST_REDIS_URL names one that runs already."""
    given = os.environ.get("BUILDBOARD_TEST_REDIS_URL", "")
    return given or _start_redis(free_port())


def _start_redis(port: int) -> str:
    folder = Path(tempfile.mkdtemp(prefix="bb-redis-"))
    arguments = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    ]
    process = subprocess.Popen(
        ["redis-server", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    atexit.register(_stop_redis, process, folder)
    wait_for(lambda: _listens(port), what="redis-server listens")
    return f"redis://127.0.0.1:{port}/0"


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _stop_redis(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    process.terminate()
    process.wait(WAIT_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
