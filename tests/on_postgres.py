"""Runs the tests that touch the database once more, on PostgreSQL: `python -m tests.on_postgres`.

A temporary server is started and stopped. Where PostgreSQL is not installed it says so, and fails under
BUILDBOARD_TEST_REQUIRE=all.
"""

import os
import subprocess
import sys

from tests.services import postgres_tool, postgres_url

# What touches the database, without what starts a board with a database of its own.
SELECTED = "(django_db or both_databases) and not e2e and not redis and not sqlite_only"


def main(arguments: list[str]) -> int:
    """The exit code of pytest; 0 when PostgreSQL is not installed and not required."""
    if not os.environ.get("BUILDBOARD_TEST_POSTGRES_URL") and postgres_tool("initdb") is None:
        sys.stdout.write("The tests were not run on PostgreSQL: it is not installed.\n")
        return 1 if os.environ.get("BUILDBOARD_TEST_REQUIRE") == "all" else 0
    environment = {**os.environ, "DATABASE_URL": postgres_url()}
    command = [sys.executable, "-m", "pytest", "-m", SELECTED, "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
