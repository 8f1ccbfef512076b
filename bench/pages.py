"""Overview, jobs list, job and server page at 1,000, 100,000 and 1,000,000 finished jobs: server time and queries.

The boards are the same: the same servers, queue, running builds and last two days; only the history before them is
longer.
"""

from bench.histories import compare
from bench.measure import Setting

SIZES = (1_000, 100_000, 1_000_000)


def run(setting: Setting) -> None:
    """Print, for each page, the median time and the queries at each size, and the ratio of the largest to the least."""
    print("server time of a page (middleware, view, database, template) without the network")
    compare(setting, inside="bench.pages_inside", sizes=SIZES)
