"""All packets between the board and its server are dropped for ten seconds, in a network of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.boards import ROOT
from tests.requirements import require

# On SQLite alone: the PostgreSQL of the tests would be in another network.
pytestmark = [pytest.mark.slow, pytest.mark.ssh, pytest.mark.sqlite_only, pytest.mark.timeout(900)]


def test_packets_that_are_dropped_for_ten_seconds_cost_no_byte(tmp_path: Path) -> None:
    for name in ("sshd", "root", "unshare", "ip", "iptables", "own network"):
        require(name)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/faults/own_network.py"]
    done = subprocess.run(
        ["unshare", "--net", *command, f"--basetemp={tmp_path / 'inside'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr
