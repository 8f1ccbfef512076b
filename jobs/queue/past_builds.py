"""Reads the builds that durations are learnt from: of each kind of work the latest, and the latest of the whole board.

What they tell is durations.py's.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from jobs.models import BuildJob
from jobs.queue.durations import Durations, Learnt, Sample, Work
from jobs.states import JobStatus

OF_A_WORK = 60  # latest builds of a repository and architecture that are read
RECENT = 300  # latest of all
_PAIRS_AT_ONCE = 100  # SQLite takes 500 parts in one query
_COLUMNS = ("source_repository", "branch", "target_architecture", "server_name", "ran_ms")


def work_of(job: BuildJob) -> Work:
    """What a job builds."""
    return Work(job.source_repository, job.branch, job.target_architecture)


def read_durations(works: Collection[Work], *, only_own: bool = False) -> Durations:
    """What is known of these works; with `only_own` not what the rest of the board built.

    One query for every hundred repositories and architectures, and one for the rest; each reads a bounded number
    of rows through an index, however many jobs have finished.
    """
    pairs = sorted({(work.repository, work.architecture) for work in works})
    own = [
        sample
        for at in range(0, len(pairs), _PAIRS_AT_ONCE)
        for sample in _read_pairs(pairs[at : at + _PAIRS_AT_ONCE])
    ]
    return Durations(own, recent=[] if only_own else _read_recent())


def learn_of(jobs: Collection[BuildJob]) -> dict[UUID, Learnt]:
    """How long each of these jobs should take where it runs, by builds of its own repository.

    Those whose like never completed are left out. One query for up to a hundred repositories and architectures.
    """
    durations = read_durations({work_of(job) for job in jobs}, only_own=True)
    found = {job.pk: durations.own(work_of(job), server=job.server_name) for job in jobs}
    return {job_id: learnt for job_id, learnt in found.items() if learnt is not None}


def _read_recent() -> list[Sample]:
    done = BuildJob.objects.filter(status=JobStatus.COMPLETED, ran_ms__isnull=False)
    return [_sample(row) for row in done.order_by("-created_at", "-pk").values_list(*_COLUMNS)[:RECENT]]


def _read_pairs(pairs: Sequence[tuple[str, str]]) -> list[Sample]:
    """The latest builds of each repository and architecture, newest first, in one query.

    Put together by hand: Django's own union of queries with limits does not exist for SQLite.
    """
    if not pairs:
        return []
    parts = [_latest_of(*pair).query.sql_with_params() for pair in pairs]
    union = " UNION ALL ".join(
        f"SELECT * FROM ({sql}) AS part{at}"  # noqa: S608  # Django's own words, values apart
        for at, (sql, _) in enumerate(parts)
    )
    with connection.cursor() as cursor:
        cursor.execute(union, [value for _, values in parts for value in values])
        return [_sample(row) for row in cursor.fetchall()]


def _latest_of(repository: str, architecture: str) -> "QuerySet[BuildJob, Any]":
    like = BuildJob.objects.filter(
        source_repository=repository,
        target_architecture=architecture,
        status=JobStatus.COMPLETED,
        ran_ms__isnull=False,
    )
    return like.order_by("-completed_at", "-ran_ms").values_list(*_COLUMNS)[:OF_A_WORK]


def _sample(row: tuple[str, str, str, str, int]) -> Sample:
    repository, branch, architecture, server, ran_ms = row
    return Sample(Work(repository, branch, architecture), server, ran_ms / 1000)
