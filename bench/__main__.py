"""`make bench`: each benchmark starts a board of its own in a temporary folder and prints figures beside a baseline.

`make bench ARGS="latency log"` runs only those. Timings of a shared machine are noisy: the ratios count.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import latency, log, throughput

BENCHMARKS: dict[str, Callable[[Path], None]] = {
    "latency": latency.run,
    "log": log.run,
    "throughput": throughput.run,
}


def main(names: list[str]) -> int:
    """Run the named benchmarks, all when none is named; 2 for a name that does not exist."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.")
        return 2
    for name in names or BENCHMARKS:
        with tempfile.TemporaryDirectory(prefix=f"bb-bench-{name}-") as folder:
            BENCHMARKS[name](Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
