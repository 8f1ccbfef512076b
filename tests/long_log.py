"""A job with a log of very many lines, written as the board keeps it once its build has ended."""

from jobs.logs.seal import seal_log
from jobs.models import BuildJob
from jobs.states import JobStatus
from tests.factories import make_attempt, make_job
from tests.jobs.log_writing import append_log, finish

_LINES_AT_ONCE = 100_000


def long_line(number: int) -> str:
    """One line, numbered from 1: 60 bytes, as compilers write them."""
    return f"{number:09}  CC      drivers/net/ethernet/intel/ice/ice_library.o"


def make_long_job(lines: int) -> BuildJob:
    """A completed job whose sealed log has so many lines."""
    attempt = make_attempt(make_job(JobStatus.COMPLETED, attempts=1))
    for first in range(1, lines + 1, _LINES_AT_ONCE):
        numbers = range(first, min(first + _LINES_AT_ONCE, lines + 1))
        append_log(attempt, "".join(f"{long_line(number)}\n" for number in numbers).encode())
    finish(attempt)
    assert seal_log(attempt.pk)
    return attempt.job
