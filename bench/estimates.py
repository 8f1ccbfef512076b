"""How good estimates of starts and ends are: a recorded day of 2,000 jobs, replayed by simulation.

The day is the same in every run (bench/recorded_day.py), how it goes by is in bench/estimates_inside.py, which has a
process of its own as it needs the board's settings. No database is asked. Beside it stands what one would tell who
knew how long every work takes on every server: what is missing there is luck, and jobs that come later and go before.
"""

import os
import subprocess
import sys

from bench.measure import Setting

JOBS = 2_000


def run(setting: Setting) -> None:
    """Print the share of estimates that were within 25% of what came, and that had it in their range."""
    environment = {
        **os.environ,
        "BUILDBOARD_DATA_DIR": str(setting.folder),
        "DJANGO_SETTINGS_MODULE": "buildboard.settings",
    }
    command = [sys.executable, "-m", "bench.estimates_inside", str(setting.times(JOBS))]
    subprocess.run(command, env=environment, check=True)
