"""Runs the tests that touch the database once more, on PostgreSQL: `python -m tests.on_postgres`.

A temporary server is started, and stopped at the end, which may be an interrupt or a request to terminate. Where
PostgreSQL is not installed it says so, and fails under BUILDBOARD_TEST_REQUIRE=all.
"""

import os
import signal
import subprocess
import sys
from types import FrameType

from tests.services import postgres_tool, postgres_url

# What touches the database, without what starts a board with a database of its own.
SELECTED = "(django_db or both_databases) and not e2e and not redis and not sqlite_only and not of_servers"
ENDINGS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_CLEANUP_SECONDS = 60.0


class Interrupted(Exception):
    """One of `ENDINGS` came; the number is the exit code."""


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)  # the end is not to be cut short
    raise Interrupted(128 + number)


def main(arguments: list[str]) -> int:
    """The exit code of pytest; 0 when PostgreSQL is not installed and not required."""
    if not os.environ.get("BUILDBOARD_TEST_POSTGRES_URL") and postgres_tool("initdb") is None:
        sys.stdout.write("The tests were not run on PostgreSQL: it is not installed.\n")
        return 1 if os.environ.get("BUILDBOARD_TEST_REQUIRE") == "all" else 0
    for ending in ENDINGS:
        signal.signal(ending, _interrupt)
    try:
        return _run_pytest(arguments)
    except Interrupted as interrupted:
        return int(interrupted.args[0])


def _run_pytest(arguments: list[str]) -> int:
    url = postgres_url()
    # Tests that make databases of their own do so in the same server, not in one for each process.
    environment = {**os.environ, "DATABASE_URL": url, "BUILDBOARD_TEST_POSTGRES_URL": url}
    command = [sys.executable, "-m", "pytest", "-m", SELECTED, "-p", "no:cacheprovider", *arguments]
    # A session of its own: an interrupt from the keyboard reaches it once, from here.
    tests = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return tests.wait()
    finally:
        if tests.poll() is None:
            _end(tests)


def _end(tests: "subprocess.Popen[bytes]") -> None:
    """Let the tests clean up as after an interrupt from the keyboard, but not for ever."""
    tests.send_signal(signal.SIGINT)
    try:
        tests.wait(_CLEANUP_SECONDS)
    except subprocess.TimeoutExpired:
        tests.kill()
        tests.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
