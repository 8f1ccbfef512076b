"""What the list of build servers may be narrowed to."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from jobs.api.filters import check_label
from jobs.api.paging import Page
from jobs.validation import check_architecture
from servers.models import BuildServerQuerySet

ServerStatusWord = Literal["online", "offline", "degraded", "maintenance", "unknown"]


class ServerFilters(Page):
    """Filters; a server must meet all that are given."""

    status: ServerStatusWord | None = None
    draining: bool | None = None
    group: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    label: (
        Annotated[str, Field(max_length=330, description="key:value"), AfterValidator(check_label)] | None
    ) = None
    architecture: Annotated[str, Field(max_length=64), AfterValidator(check_architecture)] | None = None

    def apply(self, servers: BuildServerQuerySet) -> BuildServerQuerySet:
        """The servers that meet every filter."""
        equal = {name: getattr(self, name) for name in ("status", "draining", "group")}
        servers = servers.filter(**{name: value for name, value in equal.items() if value is not None})
        if self.architecture is not None:  # one whole word of a list of words, as text on either database
            servers = servers.filter(architectures__icontains=f'"{self.architecture}"')
        if self.label is not None:
            key, _, value = self.label.partition(":")
            servers = servers.labelled(key, value)
        return servers
