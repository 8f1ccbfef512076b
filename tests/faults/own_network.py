"""What test_dropped.py runs in a network of its own, where nobody else misses the packets."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.numbers import NUMBERS
from tests.faults.world import World

pytestmark = pytest.mark.timeout(800)

DROPPED_SECONDS = 10.0


@contextlib.contextmanager
def dropped(port: int) -> Iterator[None]:
    """Nothing comes from there or gets there, and nobody is told."""
    rules = [["INPUT", "-p", "tcp", way, str(port), "-j", "DROP"] for way in ("--dport", "--sport")]
    for rule in rules:
        subprocess.run(["iptables", "-A", *rule], check=True)
    try:
        yield
    finally:
        for rule in rules:
            subprocess.run(["iptables", "-D", *rule], check=True)


def test_dropped_packets_cost_no_byte(tmp_path: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with World(tmp_path) as world:
        (server,) = world.add_servers(1)
        jobs = [world.submit(server, rounds=NUMBERS.rounds, pause=NUMBERS.pause) for _ in range(2)]
        ends_meanwhile = world.submit(server, rounds=5, pause=0.5)
        for job in (*jobs, ends_meanwhile):
            world.wait_building(job)
        for _ in range(NUMBERS.drops):
            with dropped(server.sshd.port):
                time.sleep(DROPPED_SECONDS)
            # Until it is heard of again, however long the network's own waiting takes.
            size = world.log_size(jobs[0])
            world.wait_lines(jobs[0], more_than=size)

        for job in jobs:
            world.assert_whole(job, server, rounds=NUMBERS.rounds)
        world.assert_whole(ends_meanwhile, server, rounds=5)
        world.assert_nothing_left(server)
