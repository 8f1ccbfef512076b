"""Machine and process identity."""

import os
import subprocess
import sys

import pytest

from buildboard.core.machine import MACHINE_VARIABLE, is_same_process, machine_id, process_identity


def test_machine_id_is_the_same_in_every_process() -> None:
    program = "from buildboard.core.machine import machine_id; print(machine_id())"

    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()

    assert told == machine_id()
    assert len(told) == 32


def test_machine_id_of_the_supervisor_counts_in_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MACHINE_VARIABLE, "another")

    assert machine_id() == "another"


def test_process_identity_stays_while_it_lives_and_fits_its_column() -> None:
    first = process_identity(os.getpid())

    assert first == process_identity(os.getpid())
    assert 0 < len(first) <= 32
    assert is_same_process(os.getpid(), first)
    assert not is_same_process(os.getpid(), "")


def test_process_identity_of_a_zombie_is_empty() -> None:
    child = subprocess.Popen(["sleep", "60"])
    alive = process_identity(child.pid)

    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert alive != ""
    assert process_identity(child.pid) == ""
    assert not is_same_process(child.pid, alive)
    child.wait()


def test_process_identity_of_nobody_is_empty() -> None:
    assert process_identity(0) == ""
    assert process_identity(-1) == ""
