"""What a list of build jobs may be narrowed to."""

import re
from typing import Annotated, Any
from uuid import UUID

from django.db.models import Q
from django.db.models.fields.json import KeyTransform
from pydantic import AfterValidator, Field

from buildboard.core.schemas import Instant
from jobs.api.paging import Page
from jobs.models.job import BuildJobQuerySet
from jobs.schemas import StatusWord
from jobs.validation import check_architecture
from servers.validation import check_labels

_HEX = re.compile(r"[0-9a-f]{4,64}")
_COMMIT = re.compile(r"[0-9a-fA-F]{4,64}|HEAD")


def _read_commit(value: str) -> str:
    if not _COMMIT.fullmatch(value):
        raise ValueError("Write HEAD or the first 4 to 64 hexadecimal digits of a commit.")
    return value if value == "HEAD" else value.lower()


def check_label(value: str) -> str:
    """A label as `key:value`. Raises ValueError."""
    key, colon, text = value.partition(":")
    if not colon:
        raise ValueError("Write a label as key:value.")
    check_labels({key: text})
    return value


Line = Annotated[str, Field(min_length=1, max_length=2048)]


class JobFilters(Page):
    """Filters; a job must meet all that are given."""

    status: StatusWord | None = None
    target_architecture: Annotated[str, Field(max_length=64), AfterValidator(check_architecture)] | None = (
        None
    )
    server_id: UUID | None = None
    branch: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    commit_hash: (
        Annotated[
            str,
            Field(max_length=64, description="HEAD, or the beginning of a commit, of at least 4 digits."),
            AfterValidator(_read_commit),
        ]
        | None
    ) = None
    source_repository: Line | None = None
    since: Annotated[Instant, Field(description="Submitted then or later.")] | None = None
    until: Annotated[Instant, Field(description="Submitted before then.")] | None = None
    search: (
        Annotated[
            str,
            Field(
                min_length=1, max_length=200, description="In repository, branch, error; or an id's start."
            ),
        ]
        | None
    ) = None
    label: (
        Annotated[str, Field(max_length=330, description="key:value"), AfterValidator(check_label)] | None
    ) = None

    def apply(self, jobs: BuildJobQuerySet) -> BuildJobQuerySet:
        """The jobs that meet every filter."""
        equal = {
            name: getattr(self, name)
            for name in ("status", "target_architecture", "server_id", "branch", "source_repository")
        }
        jobs = jobs.filter(**{name: value for name, value in equal.items() if value is not None})
        if self.since is not None:
            jobs = jobs.filter(created_at__gte=self.since)
        if self.until is not None:
            jobs = jobs.filter(created_at__lt=self.until)
        if self.commit_hash == "HEAD":
            jobs = jobs.filter(commit_hash="HEAD")
        elif self.commit_hash is not None:
            jobs = jobs.filter(_commit(self.commit_hash))
        if self.search is not None:
            jobs = jobs.filter(_search(self.search))
        if self.label is not None:
            key, _, value = self.label.partition(":")
            jobs = jobs.alias(label_value=KeyTransform(key, "labels")).filter(label_value=value)
        return jobs


def _commit(start: str) -> Q:
    return Q(commit_hash__startswith=start) | Q(resolved_commit__startswith=start)


def _search(text: str) -> Q:
    condition: Any = (
        Q(source_repository__icontains=text) | Q(branch__icontains=text) | Q(error_message__icontains=text)
    )
    start = text.lower().replace("-", "")
    if _HEX.fullmatch(start):
        condition |= _commit(start)
    if _HEX.fullmatch(start) and 8 <= len(start) <= 32:
        low, high = UUID(hex=start.ljust(32, "0")), UUID(hex=start.ljust(32, "f"))
        condition |= Q(id__gte=low, id__lte=high)
    return Q(condition)
