"""`make bench`: each benchmark starts a board of its own in a temporary folder and prints figures beside a baseline.

`make bench ARGS="latency log"` runs only those, `ARGS=ssh` all over SSH, `ARGS="ssh --database both"` on SQLite and
on a PostgreSQL that writes to disk; `--share 0.1` does a tenth. Timings of a shared machine are noisy: ratios count.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import estimates, latency, log, log_windows, pages, queue, throughput
from bench.measure import Setting
from bench.ssh import latency as ssh_latency
from bench.ssh import log as ssh_log
from bench.ssh import memory as ssh_memory
from bench.ssh import seen as ssh_seen
from bench.ssh import seen_in_browser as ssh_seen_in_browser
from bench.ssh import throughput as ssh_throughput
from tests.services import durable_postgres_url

BENCHMARKS: dict[str, Callable[[Setting], None]] = {
    "latency": latency.run,
    "log": log.run,
    "log-windows": log_windows.run,
    "throughput": throughput.run,
    "pages": pages.run,
    "queue": queue.run,
    "estimates": estimates.run,
    "ssh-latency": ssh_latency.run,
    "ssh-log": ssh_log.run,
    "ssh-throughput": ssh_throughput.run,
    "ssh-memory": ssh_memory.run,
    "ssh-seen": ssh_seen.run,
    "ssh-seen-in-browser": ssh_seen_in_browser.run,
}
DATABASES = {"sqlite": (False,), "postgres": (True,), "both": (False, True)}


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, all when none is named; 2 for a name that does not exist."""
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...", description=f"There are {', '.join(BENCHMARKS)}."
    )
    parser.add_argument("names", nargs="*", help="which; `ssh` stands for all over SSH")
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument("--share", type=float, default=1.0, help="how much of each, from 0 to 1")
    given = parser.parse_args(arguments)
    over_ssh = [name for name in BENCHMARKS if name.startswith("ssh-")]
    names = [one for name in given.names for one in (over_ssh if name == "ssh" else [name])]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; there are ssh, {', '.join(BENCHMARKS)}.")
        return 2
    for name in names or BENCHMARKS:
        for on_postgres in DATABASES[given.database]:
            _run(name, on_postgres=on_postgres, share=given.share)
    return 0


def _run(name: str, *, on_postgres: bool, share: float) -> None:
    url = durable_postgres_url() if on_postgres else ""
    with tempfile.TemporaryDirectory(prefix=f"bb-bench-{name}-") as folder:
        setting = Setting(Path(folder), url, share)
        print(f"[{setting.database}] ", end="", flush=True)
        BENCHMARKS[name](setting)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
