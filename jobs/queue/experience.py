"""What servers have of a repository from past builds: a mirror that is warm, and how fast they were. Read only.

How much either counts is score.py's. A warm mirror is guessed, not asked for: a server where a checkout came through
has one, and removes it when it was not used for MIRROR_DAYS, the longest unused first where disk is short; so warmth
falls evenly over those days. A wrong guess costs one fetch.
"""

import time
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from jobs.models import BuildJob
from jobs.queue.durations import LEAST, Basis, Work
from jobs.queue.past_builds import read_durations
from jobs.queue.score import Past
from jobs.states import ErrorCategory
from servers.fleet import ServerFacts
from servers.runs import MIRROR_DAYS

REMEMBERED_SECONDS = 60.0
_LATEST = 50  # builds of the repository that are looked at
_MOST_REMEMBERED = 2000
_BEFORE_CHECKOUT = (ErrorCategory.CHECKOUT, ErrorCategory.SYSTEM, ErrorCategory.LOST)


class Experience:
    """The past of repositories, as it was a minute ago at most: a dispatcher asks for the same ones all the time."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[float, Past]] = {}

    def of(self, repository: str, *, architecture: str, fleet: Collection[ServerFacts]) -> Past:
        """What these servers have of it. Two queries, or none."""
        key, now = (repository, architecture), time.monotonic()
        found = self._known.get(key)
        if found is None or now - found[0] > REMEMBERED_SECONDS:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            found = self._known[key] = (now, read_past(repository, architecture=architecture, fleet=fleet))
        return found[1]


def read_past(repository: str, *, architecture: str, fleet: Collection[ServerFacts]) -> Past:
    """What these servers have of a repository. Two queries of a bounded number of rows, however many jobs finished."""
    warm = _read_warmth(repository, now=timezone.now())
    fast = _read_speed(Work(repository, "", architecture), fleet=fleet)
    return Past(
        warmth={server.id: warm[server.name] for server in fleet if server.name in warm},
        speed={server.id: fast[server.name] for server in fleet if server.name in fast},
    )


def latest_started(repository: str) -> "QuerySet[BuildJob]":
    """Jobs of a repository that began to run, newest first, as many as tell whether it is known somewhere."""
    started = BuildJob.objects.filter(source_repository=repository, started_at__isnull=False)
    return started.order_by("-created_at", "-pk")[:_LATEST]


def _read_warmth(repository: str, *, now: datetime) -> dict[str, float]:
    """By name of server, from 1 (built there just now) to nothing."""
    rows = latest_started(repository).values_list("server_name", "completed_at", "error_category")
    found: dict[str, float] = {}
    for server, completed_at, category in rows:
        warmth = 1 - (now - (completed_at or now)) / timedelta(days=MIRROR_DAYS)
        if server and warmth > 0 and category not in _BEFORE_CHECKOUT:
            found[server] = max(found.get(server, 0.0), min(1.0, warmth))
    return found


def _read_speed(work: Work, *, fleet: Collection[ServerFacts]) -> dict[str, float]:
    """By name of server, the usual time of the fastest as a share of its own; of those that built it often enough."""
    durations = read_durations({work}, only_own=True)
    usual = {}
    for server in fleet:
        learnt = durations.own(work, server=server.name)
        if learnt and learnt.basis is Basis.REPOSITORY_ON_SERVER and learnt.samples >= LEAST:
            usual[server.name] = learnt.likely
    fastest = min(usual.values(), default=0.0)
    return {name: fastest / seconds for name, seconds in usual.items()}
