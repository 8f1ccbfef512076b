"""Which jobs a list shows and in which order: filters from the address, so that it can be sent on.

How a page of them is read is pages.py's.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import ClassVar, Self
from uuid import UUID

from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone

from buildboard.core.models import User
from jobs.models.job import BuildJobQuerySet
from jobs.states import JOB_UNFINISHED, JobStatus
from jobs.views.filters import Filters, one_of
from jobs.views.pages import NEWEST, ORDERS, Order

STATUS_TABS: dict[str, frozenset[JobStatus]] = {
    "active": JOB_UNFINISHED,
    "queued": frozenset({JobStatus.QUEUED}),
    "failed": frozenset({JobStatus.FAILED}),
    "completed": frozenset({JobStatus.COMPLETED}),
    "cancelled": frozenset({JobStatus.CANCELLED}),
}
SPANS: dict[str, tuple[str, timedelta]] = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
SEARCHED = 100_000
"""Among so many of the newest jobs text is looked for: no index helps to find a word within a text."""
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

    STATUSES: ClassVar[Collection[str]] = STATUS_TABS
    LONGEST: ClassVar[Mapping[str, int]] = {
        **Filters.LONGEST,
        "server": 64,
        "repository": 2048,
        "branch": 255,
    }
    NAMES: ClassVar[Mapping[str, str]] = {**Filters.NAMES, "repository": "repo"}

    server: str = ""
    repository: str = ""
    branch: str = ""
    since: str = ""
    mine: str = ""
    sort: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        """The filters and the order in an address."""
        return replace(
            super().of(query),
            since=one_of(query.get("since", ""), SPANS),
            mine="1" if query.get("mine") == "1" else "",
            sort=one_of(query.get("sort", ""), [name for name in ORDERS if name != NEWEST]),
        )

    @property
    def is_filtered(self) -> bool:
        """Whether anything but everything is asked for."""
        return bool(self.status) or self.is_narrowed

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but a status is asked for."""
        return any(getattr(self, one.name) for one in fields(self) if one.name not in ("status", "sort"))

    @property
    def has_more(self) -> bool:
        """Whether one of the filters that are folded away is in use."""
        return bool(self.repository or self.branch or self.mine)

    @property
    def order(self) -> Order:
        """In which order they are listed."""
        return ORDERS[self.sort or NEWEST]

    def apply(self, jobs: BuildJobQuerySet, *, user: User | None = None) -> BuildJobQuerySet:
        """The jobs that fit; `user` is whose "mine" are."""
        if self.search:
            jobs = _among_newest(jobs)
        exact = {
            "target_architecture": self.architecture,
            "server_name": self.server,
            "branch": self.branch,
        }
        jobs = jobs.filter(**{column: value for column, value in exact.items() if value})
        if self.status:
            jobs = jobs.filter(status__in=STATUS_TABS[self.status])
        if self.repository:
            jobs = jobs.filter(source_repository=self.repository)
        if self.since:
            jobs = jobs.filter(created_at__gte=timezone.now() - SPANS[self.since][1])
        if self.mine:
            jobs = jobs.filter(created_by=user) if user else jobs.none()
        for word in self.search.split()[:_MAX_WORDS]:
            jobs = jobs.filter(_matches(word))
        return jobs


def _among_newest(jobs: BuildJobQuerySet) -> BuildJobQuerySet:
    """Without those that are older than so many others: one query, by the index on their age."""
    oldest = jobs.order_by("-created_at", "-id").values_list("created_at", flat=True)[SEARCHED : SEARCHED + 1]
    return jobs.filter(created_at__gt=oldest[0]) if len(oldest) else jobs


def _matches(word: str) -> Q:
    key, colon, value = word.partition(":")
    if colon and value and key in _KEYS:
        return Q(**{_KEYS[key]: value})
    texts = ("source_repository", "branch", "error_message")
    condition = Q(*((f"{name}__icontains", word) for name in texts), _connector=Q.OR)
    if _COMMIT.match(word):
        lowered = word.lower()
        condition |= Q(commit_hash__startswith=lowered) | Q(resolved_commit__startswith=lowered)
    if _ID_START.match(word):
        first = word.replace("-", "").lower()
        low, high = UUID(hex=first.ljust(32, "0")), UUID(hex=first.ljust(32, "f"))
        condition |= Q(id__gte=low, id__lte=high)
    return condition
