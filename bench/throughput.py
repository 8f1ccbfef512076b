"""How many trivial jobs a minute go through four slots of one server."""

import subprocess
import time
from pathlib import Path

from bench.measure import Setting, ended_at, repeat
from tests.repositories import make_repository
from tests.whole_board import WholeBoard

JOBS = 200
SLOTS = 4


def run(setting: Setting) -> None:
    """Print jobs a minute, beside the same checkouts and commands run one after the other without a board."""
    folder, count = setting.folder, setting.times(JOBS)
    with WholeBoard(folder, database_url=setting.database_url).running() as board:
        board.run(
            "from servers.models import BuildServer; from servers.slots import fit_slots\n"
            f"for server in BuildServer.objects.all():\n    server.max_concurrent_builds = {SLOTS}\n"
            "    server.save(update_fields=['max_concurrent_builds'])\n    fit_slots(server)\n"
        )
        repository = make_repository(folder / "demo", {"README": "x\n"})
        board.wait_until_finished(board.submit(repository, build_command="true"))
        begin = time.time()
        jobs = [board.submit(repository, build_command="true") for _ in range(count)]
        # The last first: it is near the end, and the others need to be asked once each then.
        seconds = max(ended_at(board, job_id) for job_id in reversed(jobs)) - begin
    bare = repeat("bare", lambda: _bare(repository, folder), times=20)
    print(f"{count} trivial jobs with {SLOTS} slots, submitted one by one over HTTP")
    print(f"  through the board      {60 * count / seconds:8.0f} jobs a minute")
    print(f"  bare clone and sh -c   {60 / bare.p50:8.0f} a minute, one after the other")
    print(f"  ratio                  {count / seconds * bare.p50:8.2f}")


def _bare(repository: Path, folder: Path) -> None:
    place = folder / "clone"
    subprocess.run(["git", "clone", "-q", "--shared", str(repository), str(place)], check=True)
    subprocess.run(["sh", "-c", "true"], cwd=place, check=True)
    subprocess.run(["rm", "-rf", str(place)], check=True)
