"""What the frame around every page shows: theme, who is signed in, the navigation and its counters.

Everything is worked out when a template asks for it, so that an error page costs no query.
"""

from functools import cached_property

from django.http import HttpRequest

from buildboard.core.auth import Principal, principal_of
from buildboard.core.permissions import Right
from buildboard.core.themes import next_theme, theme_of
from jobs.models import BuildJob

_AREAS = {
    "jobs:overview": "overview",
    "jobs:new": "submit",
    "core:tokens": "tokens",
    "core:settings": "settings",
}


class Frame:
    """One request's frame, as templates read it: `board.theme`, `board.may_submit`, `board.job_count`."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @property
    def theme(self) -> str:
        """The theme that the reader chose; empty: the system's preference."""
        return theme_of(self._request)

    @property
    def next_theme(self) -> str:
        """What the button of the top bar chooses without its script."""
        return next_theme(self.theme)

    @cached_property
    def principal(self) -> Principal:
        """Who asks."""
        return principal_of(self._request)

    @cached_property
    def may_read(self) -> bool:
        """Whether the navigation leads anywhere for this visitor."""
        return self.principal.may(Right.READ)

    @cached_property
    def may_submit(self) -> bool:
        """Whether to offer the submit form."""
        return self.principal.may(Right.SUBMIT)

    @cached_property
    def is_staff(self) -> bool:
        """Whether to offer the admin site."""
        return self.principal.may(Right.OPERATE)

    @cached_property
    def username(self) -> str:
        """The signed-in person's name; empty for a visitor."""
        return self.principal.user.username if self.principal.user else ""

    @cached_property
    def job_count(self) -> int:
        """Unfinished jobs, from the index on them."""
        return BuildJob.objects.visible_to(self.principal).unfinished().count()

    @property
    def area(self) -> str:
        """Which entry of the navigation is the current one."""
        match = self._request.resolver_match
        if match is None:
            return ""
        if match.view_name.startswith("jobs:server"):
            return "servers"
        return _AREAS.get(match.view_name, "jobs" if match.app_name == "jobs" else "")

    @property
    def is_job_list(self) -> bool:
        """Whether the page is the list of jobs, which has a search of its own."""
        match = self._request.resolver_match
        return match is not None and match.view_name == "jobs:list"


def board(request: HttpRequest) -> dict[str, object]:
    """The frame of this request."""
    return {"board": Frame(request)}
