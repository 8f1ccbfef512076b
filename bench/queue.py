"""A pass over a queue of 10,000 jobs and a fleet of 500 servers, and why one job waits: with and without a history.

The ratio says whether a history costs the queue anything: at most 1.5 is wanted.
"""

from bench.histories import compare
from bench.measure import Setting

SIZES = (1, 1_000_000)
LOOKS = 15


def run(setting: Setting) -> None:
    """Print the median time and the queries of each look at the queue without a history and with it."""
    print(
        "a dispatcher's pass, an explanation and a forecast: 10,000 queued jobs of 40 classes and 20 people, "
        "500 servers"
    )
    compare(setting, inside="bench.queue_inside", sizes=SIZES, looks=setting.times(LOOKS))
