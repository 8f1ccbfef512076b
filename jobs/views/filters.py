"""What a list is asked to show, as its address says it: the filters that lists of jobs and of servers share.

Which rows fit is each list's own matter.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

from django.http import QueryDict


@dataclass(frozen=True)
class Filters:
    """What the reader asked to see; unknown values count as not given. `STATUSES` are the list's own tabs.

    `LONGEST` are the fields that hold any text, with the characters kept of it; `NAMES` are those of fields that
    the address calls otherwise.
    """

    STATUSES: ClassVar[Collection[str]] = ()
    LONGEST: ClassVar[Mapping[str, int]] = {"search": 200, "architecture": 32}
    NAMES: ClassVar[Mapping[str, str]] = {"search": "q", "architecture": "arch"}

    status: str = ""
    search: str = ""
    architecture: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        """The filters in an address."""
        texts = {
            name: query.get(cls.NAMES.get(name, name), "").replace("\0", "").strip()[:longest]
            for name, longest in cls.LONGEST.items()
        }
        return cls(status=one_of(query.get("status", ""), cls.STATUSES), **texts)

    @property
    def is_filtered(self) -> bool:
        """Whether anything but everything is asked for."""
        return bool(self.status or self.search or self.architecture)

    def query(self, **changes: str) -> str:
        """The address' query for these filters with changes, without the empty ones."""
        values = {
            self.NAMES.get(one.name, one.name): getattr(self, one.name) for one in fields(self)
        } | changes
        query = QueryDict(mutable=True)
        query.update({name: value for name, value in values.items() if value})
        return f"?{query.urlencode()}" if query else "?"


def one_of(value: str, allowed: Collection[str]) -> str:
    """The value if it is one of these, else nothing."""
    return value if value in allowed else ""
