"""`make bench`: each benchmark starts a board of its own in a temporary folder and prints figures beside a baseline.

`make bench ARGS="latency log"` runs only those, `ARGS=ssh` all over SSH, `ARGS="ssh --database both"` on SQLite and
on a PostgreSQL that writes to disk; `--share 0.1` does a tenth. Without names all run in turn, at full size: histories
of a million jobs take minutes to write. Timings of a shared machine are noisy: ratios count.
"""

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
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
    """Run the named benchmarks, all when none is named; 2 for a name that does not exist, 1 when one broke."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Benchmarks; without names all of these, one after the other:\n\n" + _told_of(BENCHMARKS),
        epilog="By way of make: make bench ARGS='queue --database both'. Ratios count, timings are this machine's.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", help="which; `ssh` stands for all over SSH")
    parser.add_argument("--database", choices=DATABASES, default="sqlite", help="which to run on; sqlite")
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="how much of each, from 0 to 1: 0.1 is a tenth of the jobs; 1",
    )
    given = parser.parse_args(arguments)
    over_ssh = [name for name in BENCHMARKS if name.startswith("ssh-")]
    names = [one for name in given.names for one in (over_ssh if name == "ssh" else [name])] or [*BENCHMARKS]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; there are ssh, {', '.join(BENCHMARKS)}.")
        return 2
    print(
        f"On {given.database}, {given.share:.0%} of each, one after the other:\n{_told_of(names)}", flush=True
    )
    broken = [
        f"{name} on {'PostgreSQL' if on_postgres else 'SQLite'}"
        for name in names
        for on_postgres in DATABASES[given.database]
        if not _run(name, on_postgres=on_postgres, share=given.share)
    ]
    if broken:
        print(f"Broken, see above: {', '.join(broken)}.")
    return 1 if broken else 0


def _told_of(names: Iterable[str]) -> str:
    """A line each, as the module of the benchmark says it."""
    docs = {name: sys.modules[BENCHMARKS[name].__module__].__doc__ or "" for name in names}
    return "\n".join(f"  {name:<20} {doc.partition(chr(10))[0]}" for name, doc in docs.items())


def _run(name: str, *, on_postgres: bool, share: float) -> bool:
    """Whether it came through; one that breaks, as where a tool is missing, does not keep the others from running."""
    try:
        url = durable_postgres_url() if on_postgres else ""
        with tempfile.TemporaryDirectory(prefix=f"bb-bench-{name}-") as folder:
            setting = Setting(Path(folder), url, share)
            print(f"[{setting.database}] ", end="", flush=True)
            BENCHMARKS[name](setting)
    except Exception:  # noqa: BLE001  # whatever it is, it is shown, and the others are to run
        traceback.print_exc()
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
