"""A build outlives everything of the board: killed with -9 again and again, no log byte is lost, nothing runs twice."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.boards import processes_of_builds
from tests.faults.numbers import IS_WHOLE
from tests.repositories import make_repository
from tests.whole_board import WholeBoard

pytestmark = [pytest.mark.slow, pytest.mark.both_databases, pytest.mark.timeout(900)]

LINES = 100_000
# All twenty by `make faults`: each costs a start of the board, or of a part of it.
KILLS = 20 if IS_WHOLE else 6 if os.environ.get("DATABASE_URL") else 12
SCRIPT = """
echo start >>"$STARTS"
i=0
while [ $i -lt 100 ]; do
    seq $((i * 1000 + 1)) $(((i + 1) * 1000)) | sed 's/$/ numbered line of the build/'
    i=$((i + 1)); sleep "$PAUSE"
done
exit 7
"""


@pytest.fixture
def board(tmp_path: Path) -> Iterator[WholeBoard]:
    with WholeBoard(tmp_path, database_url=os.environ.get("DATABASE_URL", "")).running() as board:
        yield board


def test_kills_lose_no_byte_and_run_nothing_twice(board: WholeBoard, tmp_path: Path) -> None:
    chance = random.Random(20)
    repository = make_repository(tmp_path / "demo", {"README": "x\n"})
    starts = tmp_path / "starts"
    environment = {"STARTS": str(starts), "PAUSE": "0.6"}
    job_id = board.submit(repository, build_command=SCRIPT, environment=environment, timeout_seconds=900)
    board.wait_for(starts.exists, what="the build began", seconds=60)

    for number in range(KILLS):
        if number % 5 == 4:
            board.kill()
            board.start()
        else:
            kill_one(board, chance)
        time.sleep(chance.uniform(0.2, 3.0))
    job = board.wait_until_finished(job_id, seconds=240)

    assert (job["status"], job["exit_code"], job["error_category"]) == ("failed", 7, "exit_code")
    log = board.log(job_id)
    wanted = "".join(f"{number} numbered line of the build\n" for number in range(1, LINES + 1)).encode()
    body = log[log.index(b"1 numbered line") : log.index(b"--- finished")]
    assert body == wanted
    assert starts.read_text() == "start\n"
    assert job["attempts"] == 1
    board.wait_for(
        lambda: not processes_of_builds(board.home), what="nothing of the build is left", seconds=30
    )
    server = board.call("GET", "/infrastructure/build-servers")[0]
    assert server["active_build_count"] == 0


def kill_one(board: WholeBoard, chance: random.Random) -> None:
    """One process of the board, whichever: runner, worker, pusher, monitor, sentinel, cluster, web, supervisor."""
    victims = board.processes()
    victim = chance.choice(victims)
    supervisor = min(victims, key=lambda process: process.create_time())
    try:
        victim.kill()
    except psutil.NoSuchProcess:
        return
    if victim == supervisor:
        board.kill()  # what it leaves ends by itself; starting again at once must work all the same
        board.start()
