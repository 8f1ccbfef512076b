"""Eight runners over one database: no server over its limit, every job once.

Whole runners with three real servers of two slots; and dispatchers alone, over a long queue (2,000 jobs by `make
faults`), with twenty servers of the fake provider.
"""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.boards import ROOT
from tests.faults.numbers import NUMBERS
from tests.repositories import make_repository
from tests.requirements import require
from tests.services import fresh_database
from tests.ssh_servers import SshServer, ssh_fleet

# A minute alone; long bounds, since eight runners beside other tests have little of a machine.
pytestmark = [pytest.mark.slow, pytest.mark.both_databases, pytest.mark.timeout(900)]

RUNNERS, SERVERS, SLOTS, JOBS = 8, 3, 2, 200
FAKE_SERVERS, FAKE_JOBS, FAKE_SECONDS = 20, NUMBERS.queued, 0.02
STOP_SECONDS = 30.0
END_SECONDS = 800.0
# `mkdir` gives each place on the server to one build; who finds the first ones taken takes the next.
SCRIPT = """
cd "$HOME/markers" || exit 1
place=1
until mkdir "place-$place" 2>/dev/null; do place=$((place + 1)); [ "$place" -le 50 ] || exit 1; done
echo "start $NUMBER $(date +%s%N) $place" >>log
sleep 0.05
echo "stop $NUMBER $(date +%s%N) $place" >>log
rmdir "place-$place"
"""


class Part:
    """Runs the parts of the board in one environment; runners are ended with the block."""

    def __init__(self, folder: Path, *, database_url: str) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BUILDBOARD_")},
            "BUILDBOARD_DATA_DIR": str(folder / "data"),
            "BUILDBOARD_LOCAL_REPOSITORIES": str(folder),
            "DATABASE_URL": database_url,
            "DJANGO_SETTINGS_MODULE": "buildboard.settings",
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": "",
        }

    def command(self, part: str) -> list[str]:
        return [sys.executable, "-m", "tests.dispatcher_parts", part]

    def call(self, part: str, given: object = None) -> str:
        return subprocess.run(
            self.command(part),
            input=json.dumps(given),
            env=self.environment,
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    @contextmanager
    def runners(self, count: int) -> Iterator[None]:
        with (self.folder / "printed").open("ab") as printed:
            processes = [
                subprocess.Popen(
                    self.command("run"), env=self.environment, cwd=ROOT, stdout=printed, stderr=printed
                )
                for _ in range(count)
            ]
            try:
                yield
                assert [process.poll() for process in processes] == [None] * count, self.printed()
                for process in processes:
                    process.send_signal(signal.SIGTERM)
                assert [process.wait(STOP_SECONDS) for process in processes] == [0] * count, self.printed()
            finally:
                for process in processes:
                    process.kill()
                    process.wait()

    def dispatch(self, count: int) -> list[list[dict[str, Any]]]:
        """What so many dispatchers at once began and ended, each."""
        with ExitStack() as stack:
            files = [
                stack.enter_context((self.folder / f"spans-{number}").open("w+b")) for number in range(count)
            ]
            printed = stack.enter_context((self.folder / "printed").open("ab"))
            processes = [
                subprocess.Popen(
                    self.command("dispatch"), env=self.environment, cwd=ROOT, stdout=file, stderr=printed
                )
                for file in files
            ]
            try:
                assert [process.wait(END_SECONDS) for process in processes] == [0] * count, self.printed()
            finally:
                for process in processes:
                    process.kill()
                    process.wait()
        return [json.loads((self.folder / f"spans-{number}").read_text()) for number in range(count)]

    def printed(self) -> str:
        return (self.folder / "printed").read_text(errors="replace")[-3000:]


def most_at_once(times: Sequence[tuple[float, float]]) -> int:
    """The largest number of spans that hold one moment; a span that ends when another begins is before it."""
    changes = sorted([(begin, 1) for begin, _ in times] + [(end, -1) for _, end in times])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


@pytest.fixture
def database_url() -> Iterator[str]:
    is_postgres = os.environ.get("DATABASE_URL", "").startswith("postgres")
    with fresh_database(f"dispatchers_{uuid.uuid4().hex}") if is_postgres else nullcontext("") as url:
        yield url


@pytest.fixture
def fleet() -> Iterator[list[SshServer]]:
    require("sshd")
    require("git")
    with ExitStack() as stack:
        servers = stack.enter_context(ssh_fleet(SERVERS))
        for server in servers:
            (server.home / "markers").mkdir()
        yield servers


@pytest.mark.ssh
def test_eight_runners_put_no_server_over_its_limit_and_run_every_job_once(
    fleet: list[SshServer], database_url: str, tmp_path: Path
) -> None:
    repository = make_repository(tmp_path / "demo", {"README": "x\n"})
    machine = os.uname().machine
    rows: list[dict[str, Any]] = [
        {
            **server.row_fields,
            "name": f"server-{number}",
            "private_key": server.private_key,
            "architectures": [machine],
            "max_concurrent_builds": SLOTS,
            "cpu_limit_percent": 100,
            "memory_limit_percent": 100,
            "storage_limit_percent": 100,
        }
        for number, server in enumerate(fleet)
    ]
    board = Part(tmp_path, database_url=database_url)
    submission = {
        "source_repository": str(repository),
        "target_architecture": machine,
        "build_command": SCRIPT,
    }
    board.call("fill", {"servers": rows, "jobs": JOBS, "submission": submission})

    with board.runners(RUNNERS):
        found = json.loads(board.call("report"))

    assert found["jobs"] == [["completed", 1]] * JOBS
    assert sorted(attempt["number"] for attempt in found["attempts"]) == list(range(JOBS))
    assert {attempt["status"] for attempt in found["attempts"]} == {"completed"}
    assert found["held"] == 0
    started: list[int] = []
    for number, server in enumerate(fleet):
        lines = [line.split() for line in (server.home / "markers" / "log").read_text().splitlines()]
        begun = {word: int(at) for kind, word, at, _ in lines if kind == "start"}
        ended = {word: int(at) for kind, word, at, _ in lines if kind == "stop"}
        assert len(lines) == 2 * len(begun)
        assert begun.keys() == ended.keys()
        assert {int(place) for *_, place in lines} <= set(range(1, SLOTS + 1))
        assert most_at_once([(begun[word], ended[word]) for word in begun]) <= SLOTS
        claims = [one for one in found["attempts"] if one["server"] == f"server-{number}"]
        assert most_at_once([(one["from"], one["to"]) for one in claims]) == SLOTS
        assert sorted(map(int, begun)) == sorted(one["number"] for one in claims)
        started += map(int, begun)
    assert sorted(started) == list(range(JOBS))


def test_eight_dispatchers_over_a_long_queue_forget_none_and_start_none_twice(
    database_url: str, tmp_path: Path
) -> None:
    board = Part(tmp_path, database_url=database_url)
    given = {"servers": FAKE_SERVERS, "slots": SLOTS, "jobs": FAKE_JOBS, "seconds": FAKE_SECONDS}
    board.call("queue", given)

    spans = board.dispatch(RUNNERS)

    found = json.loads(board.call("report"))
    assert found["jobs"] == [["completed", 1]] * FAKE_JOBS
    assert sorted(attempt["number"] for attempt in found["attempts"]) == list(range(FAKE_JOBS))
    assert found["held"] == 0
    assert all(spans)  # each of them took part
    started = [one for of_one in spans for one in of_one]
    assert sorted(one["number"] for one in started) == list(range(FAKE_JOBS))
    for number in range(FAKE_SERVERS):
        there = [(one["from"], one["to"]) for one in started if one["server"] == f"server-{number}"]
        assert 1 <= most_at_once(there) <= SLOTS
        claims = [one for one in found["attempts"] if one["server"] == f"server-{number}"]
        assert most_at_once([(one["from"], one["to"]) for one in claims]) == SLOTS


def test_most_at_once_is_counted() -> None:
    assert most_at_once([]) == 0
    assert most_at_once([(0, 2), (2, 3)]) == 1
    assert most_at_once([(0, 2), (1, 3), (1, 2), (4, 5)]) == 3
