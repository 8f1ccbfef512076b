"""The front page: how much waits and why, what runs and until when, whether the fleet is well, what just happened.

What its parts are made of is in `overview_parts.py`, `activity.py` and `trends.py`; this module puts them together.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from buildboard.core.auth import principal_of, requires
from buildboard.core.permissions import Right
from jobs.models import BuildJob
from jobs.queue.estimate import Foresight, QueueState, queue_state
from jobs.queue.outlook import outlook_of_queue
from jobs.queue.past_builds import learn_of
from jobs.states import JOB_ACTIVE, JobStatus, Priority
from jobs.views.activity import recent_activity
from jobs.views.live import ACTIVE_MS, FINISHED_MS, answer_live, version_of
from jobs.views.overview_parts import (
    Running,
    fleet_words,
    is_able,
    make_figures,
    make_fleet,
    make_running,
)
from jobs.views.trend_charts import draw_durations, draw_throughput, draw_waits
from jobs.views.trends import Trends, read_trends
from servers.fleet import load_fleet

_RUNNING_SHOWN = 6
_QUEUE_SHOWN = 7
_QUEUE_JUDGED = 50
_IN_A_ROW = (
    "source_repository",
    "branch",
    "commit_hash",
    "resolved_commit",
    "target_architecture",
    "server",
    "server_name",
    "status",
    "progress",
    "started_at",
    "created_at",
    "attempts",
)


@requires(Right.READ)
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """The whole board on one page; its live part polls it."""
    state, trends = queue_state(), read_trends()
    is_idle = not state.total_queued and not state.total_building
    is_first_use = (
        is_idle and not trends.ended and not BuildJob.objects.visible_to(principal_of(request)).exists()
    )
    parts = _parts(state, trends)
    context = {
        **parts,
        "is_first_use": is_first_use,
        "pace": FINISHED_MS if is_idle else ACTIVE_MS,
        "throughput": draw_throughput(trends.hours),
        "durations": draw_durations(trends),
        "waits": draw_waits(trends),
    }
    version = version_of(trends.key, [parts[name] for name in sorted(parts)])
    return answer_live(
        request, page="jobs/overview.html", fragment="jobs/_overview.html", version=version, context=context
    )


def _parts(state: QueueState, trends: Trends) -> dict[str, Any]:
    """What changes from poll to poll; everything in it shows in the version. A constant number of queries."""
    fleet = load_fleet()
    foresight = Foresight(fleet=fleet)
    waiting = outlook_of_queue(fleet, limit=_QUEUE_JUDGED, foresight=foresight)
    oldest = BuildJob.objects.filter(status=JobStatus.QUEUED).order_by("created_at")
    servers, more_servers = make_fleet(fleet)
    running = _read_running()
    figures = make_figures(
        state,
        fleet,
        trends,
        oldest_at=oldest.values_list("created_at", flat=True).first() if waiting else None,
        blocked=sum(one.is_blocked for one in waiting),
        foresight=foresight,
    )
    return {
        "figures": figures,
        "running": running,
        "more_running": max(0, state.total_building - len(running)),
        "waiting": [(one, Priority(one.job.priority).label) for one in waiting[:_QUEUE_SHOWN]],
        "track_record": foresight.track_record,
        "more_waiting": max(0, state.total_queued - _QUEUE_SHOWN),
        "by_architecture": sorted(state.jobs_by_architecture.items(), key=lambda one: (-one[1], one[0])),
        "servers": servers,
        "more_servers": more_servers,
        "fleet_words": fleet_words(fleet),
        "changed_keys": [(server.id, server.name) for server in fleet if server.key_changed],
        "has_server": any(server.enabled for server in fleet),
        "has_service": any(is_able(server) for server in fleet),
        "activity": recent_activity({server.id: server.name for server in fleet}),
    }


def _read_running() -> list[Running]:
    """Those that run longest; two queries."""
    active = BuildJob.objects.filter(status__in=JOB_ACTIVE).order_by("created_at").only(*_IN_A_ROW)
    jobs = list(active[:_RUNNING_SHOWN])
    return make_running(jobs, learnt=learn_of(jobs))
