"""Small tools of the benchmarks: percentiles, ratios and how they are printed."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.waiting import wait_for
from tests.whole_board import WholeBoard

LOOK_SECONDS = 0.5  # a call costs the board several milliseconds: seldom enough not to be what is measured
MOST_SECONDS = 600.0


@dataclass(frozen=True)
class Setting:
    """Where one benchmark runs: an empty folder, a database (none named: SQLite in it), and how much of it."""

    folder: Path
    database_url: str = ""
    share: float = 1.0

    def times(self, whole: int) -> int:
        """How often to do what a whole benchmark does so often."""
        return max(3, round(whole * self.share))

    @property
    def database(self) -> str:
        """Its name, for a heading."""
        return "PostgreSQL" if self.database_url else "SQLite"


@dataclass
class Figure:
    """Repeated timings of one thing, in seconds."""

    name: str
    seconds: list[float]

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        """The 95th percentile (nearest rank)."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]


def repeat(name: str, act: Callable[[], object], *, times: int) -> Figure:
    """Time `act` so many times."""
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - begin)
    return Figure(name, seconds)


@contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    """Append how long the block took."""
    begin = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - begin)


def ended_at(board: WholeBoard, job_id: str) -> float:
    """When the job completed, by the board's own clock, as seconds since 1970; asks for it now and then."""
    deadline = time.monotonic() + MOST_SECONDS
    while not (job := board.job(job_id))["completed_at"]:
        assert time.monotonic() < deadline, f"job {job_id} did not end"
        time.sleep(LOOK_SECONDS)
    assert job["status"] == "completed", job
    return datetime.fromisoformat(job["completed_at"]).timestamp()


def wait_for_file(path: Path) -> None:
    """Until the file is there, without asking the board."""
    wait_for(path.exists, what=f"{path.name} is there", seconds=MOST_SECONDS)


def show(figure: Figure, *, beside: list[Figure]) -> None:
    """One line a figure, and the ratio of the first to each that it was measured beside."""
    for one in [figure, *beside]:
        print(
            f"  {one.name:<52} p50 {one.p50 * 1000:9.1f} ms   p95 {one.p95 * 1000:9.1f} ms   n={len(one.seconds)}"
        )
    for other in beside:
        print(
            f"  ratio to {other.name:<43} {figure.p50 / other.p50:9.1f}       {figure.p95 / other.p95:9.1f}"
        )
