"""The list of jobs. One job is in `job.py`, submitting in `submit.py`, logs in `log.py`."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from buildboard.core.auth import principal_of, requires
from buildboard.core.permissions import Right
from jobs.models import BuildJob
from jobs.queue.explain import blocked_among
from jobs.states import JobStatus
from jobs.views.context import Frame
from jobs.views.live import ACTIVE_MS, FINISHED_MS, answer_live, version_of
from jobs.views.selection import STATUS_TABS, Selection, read_page
from servers.models import BuildServer

# Never shown in a row, and possibly large.
_NOT_IN_A_ROW = ("spec", "secret_spec", "result", "labels", "required_labels")
_TAB_ICONS = {"failed": ("x", "bad"), "completed": ("check", "ok"), "cancelled": ("ban", "")}


@requires(Right.READ)
@require_safe
def job_list(request: HttpRequest) -> HttpResponse:
    """Jobs, newest first; the filters are in the address, the live part polls it."""
    selection = Selection.of(request.GET)
    jobs = BuildJob.objects.visible_to(principal_of(request)).defer(*_NOT_IN_A_ROW)
    page = read_page(selection.apply(jobs), query=request.GET)
    blocked = blocked_among([job.pk for job in page.jobs if job.status == JobStatus.QUEUED])
    board = Frame(request)
    is_first_use = not page.jobs and not selection.is_filtered and not page.newer
    context = {
        "board": board,
        "selection": selection,
        "page": page,
        "blocked": blocked,
        "tabs": _tabs(selection, active=board.job_count),
        "pace": FINISHED_MS if all(job.is_terminal for job in page.jobs) else ACTIVE_MS,
        "is_first_use": is_first_use,
        "has_server": not is_first_use or BuildServer.objects.filter(enabled=True).exists(),
    }
    rows = [(job.pk, job.updated_at, blocked.get(job.pk)) for job in page.jobs]
    version = version_of(rows, page.newer, page.older, board.job_count, context["has_server"])
    return answer_live(
        request, page="jobs/list.html", fragment="jobs/_jobs.html", version=version, context=context
    )


def _tabs(selection: Selection, *, active: int) -> list[dict[str, object]]:
    """The status filter. Only unfinished jobs are counted: finished ones may be millions."""
    tabs: list[dict[str, object]] = [
        {"word": "All", "query": selection.query(status=""), "current": not selection.status}
    ]
    for name in STATUS_TABS:
        icon, colour = _TAB_ICONS.get(name, ("", ""))
        tabs.append(
            {
                "word": name.capitalize(),
                "query": selection.query(status=name),
                "current": selection.status == name,
                "icon": icon,
                "colour": colour,
                "count": active if name == "active" else 0,
            }
        )
    return tabs
