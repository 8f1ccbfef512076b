"""What a list is asked to show, as its address says it: the filters that lists of jobs and of servers share.

Which rows fit is each list's own matter.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Self

from django.http import QueryDict

_MAX_SEARCH = 200
_MAX_ARCHITECTURE = 32


@dataclass(frozen=True)
class Filters:
    """What the reader asked to see; unknown values count as not given. `STATUSES` are the list's own tabs."""

    STATUSES: ClassVar[Collection[str]] = ()

    status: str = ""
    search: str = ""
    architecture: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        """The filters in an address."""
        status = query.get("status", "")
        return cls(
            status=status if status in cls.STATUSES else "",
            search=query.get("q", "").replace("\0", "").strip()[:_MAX_SEARCH],
            architecture=query.get("arch", "").replace("\0", "").strip()[:_MAX_ARCHITECTURE],
        )

    @property
    def is_filtered(self) -> bool:
        """Whether anything but everything is asked for."""
        return bool(self.status or self.search or self.architecture)

    def query(self, **changes: str) -> str:
        """The address' query for these filters with changes, without the empty ones."""
        values = {"status": self.status, "q": self.search, "arch": self.architecture, **changes}
        query = QueryDict(mutable=True)
        query.update({name: value for name, value in values.items() if value})
        return f"?{query.urlencode()}" if query else "?"
