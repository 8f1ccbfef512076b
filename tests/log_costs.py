"""What a long log costs the server beside a short one, in processor time, which other work hardly changes.

For a program within a board's Django. Its asserts only see that each act did its work.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import zstandard
from django.conf import settings
from django.test import Client

from buildboard.core.models import User
from jobs.logs import objects
from jobs.logs.search import search
from jobs.models import BuildJob, SealedLog

_TIMES = 3
_BLOCK_BYTES = 256 * 1024
_PATIENCE_SECONDS = 300.0
Acts = Mapping[str, Callable[[], object]]


def opening_costs(few: BuildJob, many: BuildJob, *, lines: tuple[int, int]) -> dict[str, tuple[float, float]]:
    """Of each thing that opening the page of a job asks for: its cost with the short log and with the long one.

    `lines` are those that a link leads to.
    """
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(User.objects.get(username="admin"), backend=settings.AUTHENTICATION_BACKENDS[-1])
    short, long = (_opening(client, job, line=line) for job, line in zip((few, many), lines, strict=True))
    return {name: _costs(short[name], long[name]) for name in short}


def search_costs(job: BuildJob, *, text: str) -> tuple[float, float]:
    """Of finding a text in lower case by `bytes.find` in all that is stored of a log, and of the board's search."""
    attempt = job.attempt_set.get()
    key = SealedLog.objects.get(attempt=attempt).storage_key

    def look() -> None:
        found = search(attempt, text=text, seconds=_PATIENCE_SECONDS)
        assert (found.count, found.whole) == (1, True)

    def look_simply() -> None:
        assert _occurs(key, text.encode())

    return _costs(look_simply, look)


def _opening(client: Client, job: BuildJob, *, line: int) -> Acts:
    log = f"/jobs/{job.pk}/log"
    paths = {
        "page": f"/jobs/{job.pk}/",
        "first lines": f"{log}/lines?from=0&n=500",
        "linked lines": f"{log}/lines?from={line}&n=500",
        "outline": f"{log}/outline",
    }

    def get(path: str) -> None:
        assert client.get(path).status_code == 200

    return {name: partial(get, path) for name, path in paths.items()}


def _costs(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """The median processor time of each in seconds, done in turn; the first time of each is not counted."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(1 + _TIMES):
        for act, taken in zip((one, other), seconds, strict=True):
            begin = time.process_time()
            act()
            taken.append(time.process_time() - begin)
    return statistics.median(seconds[0][1:]), statistics.median(seconds[1][1:])


def _occurs(key: str, text: bytes) -> bool:
    """Whether the stored log shows it, block by block as it was compressed; all of it is looked at."""
    count = 0
    with objects.open_object(key) as source:
        reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
        while block := reader.read(_BLOCK_BYTES):
            count += block.lower().find(text) >= 0
    return count > 0
