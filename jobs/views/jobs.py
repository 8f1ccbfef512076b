"""The list of jobs. One job is in `job.py`, submitting in `submit.py`, logs in `log.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from buildboard.core.auth import principal_of, requires
from buildboard.core.permissions import Right
from jobs.models import BuildJob
from jobs.models.job import BuildJobQuerySet
from jobs.queue.outlook import Outlook, outlooks_among
from jobs.queue.spans import span_words
from jobs.states import JobStatus
from jobs.views.context import Frame
from jobs.views.live import ACTIVE_MS, FINISHED_MS, answer_live, version_of
from jobs.views.pages import NEWEST, ORDERS, Page, read_page
from jobs.views.selection import SEARCHED, SPANS, STATUS_TABS, Selection
from servers.models import BuildServer

COUNTED = 1000
"""So far are finished jobs counted: an exact number of millions would cost every look at the page."""
_MOST_OFFERED = 100
# Never shown in a row, and possibly large.
_NOT_IN_A_ROW = ("spec", "secret_spec", "result", "labels", "required_labels")
_TAB_ICONS = {"failed": ("x", "bad"), "completed": ("check", "ok"), "cancelled": ("ban", "")}
_BARS = {JobStatus.RUNNING: "run", JobStatus.COMPLETED: "ok", JobStatus.FAILED: "bad"}
# What the table's heads sort by: the usual direction first.
_HEADS = {"status": "-status", "server": "server", "duration": "-duration", "created": "-created"}


@dataclass(frozen=True)
class Row:
    """One job as the list shows it; `share` is how long it ran of the longest on the page, in percent."""

    job: BuildJob
    outlook: Outlook | None
    share: int | None
    bar: str


@requires(Right.READ)
@require_safe
def job_list(request: HttpRequest) -> HttpResponse:
    """Jobs in the order and with the filters of the address; the live part polls it."""
    principal, selection, board = principal_of(request), Selection.of(request.GET), Frame(request)
    jobs = BuildJob.objects.visible_to(principal).defer(*_NOT_IN_A_ROW)
    page = read_page(selection.apply(jobs, user=principal.user), order=selection.order, query=request.GET)
    outlooks = outlooks_among([job.pk for job in page.jobs if job.status == JobStatus.QUEUED])
    is_first_use = not page.jobs and not selection.is_filtered and not page.newer
    counts = {} if selection.is_narrowed else _count(jobs, active=board.job_count)
    servers = list(BuildServer.objects.order_by("name").values_list("name", "architectures", "enabled"))
    context = {
        "board": board,
        "selection": selection,
        "page": page,
        "rows": _rows(page, outlooks=outlooks),
        "tabs": _tabs(selection, counts=counts),
        "total": counts.get(selection.status, 0),
        "heads": _heads(selection),
        "pace": FINISHED_MS if all(job.is_terminal for job in page.jobs) else ACTIVE_MS,
        "is_first_use": is_first_use,
        "has_server": any(enabled for _, _, enabled in servers),
        "searched": SEARCHED,
        "counted": COUNTED,
        **_offers(selection, servers=[(name, built) for name, built, _ in servers]),
    }
    looks = [(job.pk, job.updated_at, _words_of(outlooks.get(job.pk))) for job in page.jobs]
    version = version_of(looks, page.newer, page.older, board.job_count, counts, servers)
    return answer_live(
        request, page="jobs/list.html", fragment="jobs/_jobs.html", version=version, context=context
    )


def _count(jobs: BuildJobQuerySet, *, active: int) -> dict[str, int]:
    """How many there are in each tab; finished ones are counted to one above COUNTED, by the index on the status."""
    counts = {"active": active}
    for name in ("failed", "completed", "cancelled"):
        counts[name] = _count_of(jobs, name)
    return {**counts, "": sum(counts.values()), "queued": _count_of(jobs, "queued")}


def _count_of(jobs: BuildJobQuerySet, tab: str) -> int:
    return jobs.filter(status__in=STATUS_TABS[tab]).order_by()[: COUNTED + 1].count()


def _words_of(found: Outlook | None) -> object:
    """What a row says of why a job waits; an expected start changes with every look, rounded to words it does not."""
    if found is None:
        return None
    return found.told, found.detail, found.kind, found.starts_in and span_words(found.starts_in)


def _rows(page: Page, *, outlooks: Mapping[UUID, Outlook]) -> list[Row]:
    now = timezone.now()
    ran = {job.pk: _seconds(job, now=now) for job in page.jobs}
    longest = max((seconds for seconds in ran.values() if seconds), default=0.0)
    return [
        Row(
            job=job,
            outlook=outlooks.get(job.pk),
            share=_percent(ran[job.pk], of=longest),
            bar=_BARS.get(JobStatus(job.status), ""),
        )
        for job in page.jobs
    ]


def _seconds(job: BuildJob, *, now: datetime) -> float | None:
    if job.status == JobStatus.RUNNING and job.started_at:
        return (now - job.started_at).total_seconds()
    return None if job.status == JobStatus.CANCELLED else job.duration_seconds


def _percent(seconds: float | None, *, of: float) -> int | None:
    return max(1, round(100 * seconds / of)) if seconds is not None and of > 0 else None


def _tabs(selection: Selection, *, counts: Mapping[str, int]) -> list[dict[str, object]]:
    """The status filter. Counts are of the whole board, so there are none beside other filters."""
    tabs = []
    for name in ("", *STATUS_TABS):
        icon, colour = _TAB_ICONS.get(name, ("", ""))
        tabs.append(
            {
                "word": name.capitalize() or "All",
                "query": selection.query(status=name),
                "current": selection.status == name,
                "icon": icon,
                "colour": colour,
                "count": counts.get(name, 0),
            }
        )
    return tabs


def _heads(selection: Selection) -> dict[str, dict[str, object]]:
    """Where each head of the table leads: its usual order, or, when that is the present one, the other way round."""
    heads: dict[str, dict[str, object]] = {}
    present = selection.sort or NEWEST
    for head, usual in _HEADS.items():
        turned = usual[1:] if usual.startswith("-") else f"-{usual}"
        is_present = present in (usual, turned)
        goes_to = turned if present == usual else usual
        heads[head] = {
            "query": selection.query(sort="" if goes_to == NEWEST else goes_to),
            "sorted": ("descending" if present.startswith("-") else "ascending") if is_present else "",
        }
    return heads


def _offers(selection: Selection, *, servers: list[tuple[str, list[str]]]) -> dict[str, Any]:
    """What the filters offer to choose from, with what is chosen though the fleet has it no more."""
    architectures = {name for _, built in servers for name in built} | {selection.architecture}
    names = [name for name, _ in servers][:_MOST_OFFERED]
    return {
        "architectures": sorted(architectures - {""}),
        "server_names": sorted({*names, selection.server} - {""}),
        "spans": [(name, word) for name, (word, _) in SPANS.items()],
        "orders": [(name, ORDERS[name].word) for name in ORDERS],
    }
