"""The views of a job's page, and the row of tabs that leads to them. Each is an address of its own."""

from dataclasses import dataclass

from django.http import HttpRequest

from jobs.models import Attempt, BuildJob
from jobs.states import JobStatus

# name: (label, icon)
_VIEWS = {
    "waiting": ("Waiting", "hourglass"),
    "log": ("Log", "scroll-text"),
    "events": ("Events", "history"),
    "resources": ("Resources", "activity"),
    "artifacts": ("Artifacts", "package"),
    "spec": ("Spec", "braces"),
}


@dataclass(frozen=True)
class Tab:
    """One view; `count` is shown behind its label when it is known."""

    name: str
    label: str
    icon: str
    address: str
    count: int | None


def _names(job: BuildJob, attempt: Attempt | None) -> list[str]:
    """The views that this job has: why it waits while it does, and no log before the first attempt."""
    waits = job.status == JobStatus.QUEUED
    hidden = {"waiting": not waits, "log": waits and attempt is None}
    return [name for name in _VIEWS if not hidden.get(name)]


def chosen_view(request: HttpRequest, job: BuildJob, attempt: Attempt | None) -> str:
    """The view that the address names; without one why it waits, else its log."""
    names = _names(job, attempt)
    wanted = request.GET.get("view", "")
    if wanted in names:
        return wanted
    # An attempt that is named is asked for because of its log.
    return "log" if "attempt" in request.GET and "log" in names else names[0]


def tabs_of(
    request: HttpRequest, job: BuildJob, attempt: Attempt | None, *, events: int, artifacts: int
) -> list[Tab]:
    """The tabs, each keeping the attempt that the address names."""
    counts = {"events": events, "artifacts": artifacts}
    return [
        Tab(name, *_VIEWS[name], address=_address(request, name), count=counts.get(name))
        for name in _names(job, attempt)
    ]


def _address(request: HttpRequest, name: str) -> str:
    query = request.GET.copy()
    query.pop("v", None)
    query["view"] = name
    return f"?{query.urlencode()}"
