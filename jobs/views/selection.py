"""Which jobs a list shows: filters from the address, pages by keyset, so an address can be sent on."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Q
from django.http import QueryDict

from jobs.models import BuildJob
from jobs.models.job import BuildJobQuerySet
from jobs.states import JOB_UNFINISHED, JobStatus
from jobs.views.filters import Filters

PAGE_SIZE = 50
STATUS_TABS: dict[str, frozenset[JobStatus]] = {
    "active": JOB_UNFINISHED,
    "failed": frozenset({JobStatus.FAILED}),
    "completed": frozenset({JobStatus.COMPLETED}),
    "cancelled": frozenset({JobStatus.CANCELLED}),
}
_MAX_WORDS = 8
_KEYS = {
    "repo": "source_repository__icontains",
    "branch": "branch__icontains",
    "arch": "target_architecture__iexact",
    "server": "server_name__icontains",
    "error": "error_message__icontains",
    "category": "error_category__iexact",
}
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}\Z")
_ID_START = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F-]{0,27})?\Z")


@dataclass(frozen=True)
class Selection(Filters):
    """Which jobs the reader asked to see."""

    STATUSES = STATUS_TABS

    def apply(self, jobs: BuildJobQuerySet) -> BuildJobQuerySet:
        """The jobs that fit."""
        if self.status:
            jobs = jobs.filter(status__in=STATUS_TABS[self.status])
        if self.architecture:
            jobs = jobs.filter(target_architecture=self.architecture)
        for word in self.search.split()[:_MAX_WORDS]:
            jobs = jobs.filter(_matches(word))
        return jobs


def _matches(word: str) -> Q:
    key, colon, value = word.partition(":")
    if colon and value and key in _KEYS:
        return Q(**{_KEYS[key]: value})
    fields = ("source_repository", "branch", "error_message")
    condition = Q(*((f"{name}__icontains", word) for name in fields), _connector=Q.OR)
    if _COMMIT.match(word):
        lowered = word.lower()
        condition |= Q(commit_hash__startswith=lowered) | Q(resolved_commit__startswith=lowered)
    if _ID_START.match(word):
        first = word.replace("-", "").lower()
        low, high = UUID(hex=first.ljust(32, "0")), UUID(hex=first.ljust(32, "f"))
        condition |= Q(id__gte=low, id__lte=high)
    return condition


@dataclass(frozen=True)
class Page:
    """Some jobs, newest first, and the cursors of its neighbours (empty: there is none)."""

    jobs: list[BuildJob]
    newer: str = ""
    older: str = ""


def read_page(jobs: BuildJobQuerySet, *, query: QueryDict) -> Page:
    """The page after `before` (older) or ahead of `after` (newer); what is no cursor gives the first page."""
    before, after = _cursor(query.get("before", "")), _cursor(query.get("after", ""))
    if after:
        at, job_id = after
        ahead = jobs.filter(Q(created_at__gt=at) | Q(created_at=at, id__gt=job_id)).order_by(
            "created_at", "id"
        )
        rows = list(ahead[: PAGE_SIZE + 1])
        found = rows[:PAGE_SIZE][::-1]
        return Page(found, newer=_first(found) if len(rows) > PAGE_SIZE else "", older=_last(found))
    if before:
        at, job_id = before
        jobs = jobs.filter(Q(created_at__lt=at) | Q(created_at=at, id__lt=job_id))
    rows = list(jobs.order_by("-created_at", "-id")[: PAGE_SIZE + 1])
    found = rows[:PAGE_SIZE]
    return Page(
        found, newer=_first(found) if before else "", older=_last(found) if len(rows) > PAGE_SIZE else ""
    )


def _first(jobs: Iterable[BuildJob]) -> str:
    return next((_write_cursor(job) for job in jobs), "")


def _last(jobs: list[BuildJob]) -> str:
    return _write_cursor(jobs[-1]) if jobs else ""


def _write_cursor(job: BuildJob) -> str:
    return f"{job.created_at.astimezone(UTC).strftime('%Y%m%dT%H%M%S.%f')}-{job.pk.hex}"


def _cursor(text: str) -> tuple[datetime, UUID] | None:
    at, _, job_id = text.partition("-")
    try:
        return datetime.strptime(at, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC), UUID(hex=job_id)
    except ValueError:
        return None
