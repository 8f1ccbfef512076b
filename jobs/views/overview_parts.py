"""What the overview shows, part by part: key figures, running builds, the fleet, what happened lately.

From rows that were read already, or in one or two queries each. What waits and why is judged in `jobs/queue/`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from jobs.models import BuildJob
from jobs.queue.durations import Learnt
from jobs.queue.estimate import GUESS, Estimate, Foresight, QueueState, estimate_of_queue
from jobs.queue.spans import span_words, wait_words
from jobs.states import JobStatus
from jobs.views.progress import progress_since
from jobs.views.server_looks import Slots
from jobs.views.trend_charts import draw_spark
from jobs.views.trends import Trends, middle, percentile
from servers.fleet import ServerFacts
from servers.states import QuarantineStage, ServerStatus

_MOST_SERVERS = 12
_MOST_ARCHITECTURES = 3
_DOTS = {ServerStatus.ONLINE: "ok", ServerStatus.DEGRADED: "run", ServerStatus.OFFLINE: "bad"}


@dataclass(frozen=True)
class Figures:
    """The key figures, with the lines beside them."""

    queued: int
    oldest_at: datetime | None
    blocked: int
    building: int
    slots: int
    busy_percent: int | None
    success_percent: str
    failed: int
    failed_usually: str
    median_seconds: float | None
    slow_seconds: float | None
    wait: str
    waits: list[str]  # such as "x86_64 26m", of what most servers build; or that it is a guess
    sparks: dict[str, str]


@dataclass(frozen=True)
class Running:
    """One claimed or running job: how far it should be, and what is left, in words."""

    job: BuildJob
    percent: int | None
    left: str
    is_over: bool


@dataclass(frozen=True)
class FleetRow:
    """One server: what it is doing, and what is wrong with it, if anything."""

    id: UUID
    name: str
    dot: str
    word: str
    slots: Slots
    load: str


def make_figures(
    state: QueueState,
    fleet: Sequence[ServerFacts],
    trends: Trends,
    *,
    oldest_at: datetime | None,
    blocked: int,
    foresight: Foresight,
) -> Figures:
    """Everything of the top row. No query where forecasts are kept, but for a guess where nobody can tell the wait."""
    able = [server for server in fleet if is_able(server)]
    slots, held = sum(server.slots for server in able), sum(server.held for server in able)
    share, usual = trends.success_percent, trends.failed_usually
    estimate = estimate_of_queue(state, waits=foresight.waits)
    is_guess = estimate.basis == "default" and estimate.seconds > 0
    return Figures(
        queued=state.total_queued,
        oldest_at=oldest_at,
        blocked=blocked,
        building=state.total_building,
        slots=slots,
        busy_percent=round(100 * held / slots) if slots else None,
        success_percent="" if share is None else f"{share:.1f}",
        failed=trends.failed,
        failed_usually="" if usual is None else f"{usual:.0f}" if usual >= 1 else f"{usual:.1f}",
        median_seconds=middle(trends.durations),
        slow_seconds=percentile(trends.durations, 0.95),
        wait=_wait(estimate) if able else "—",
        waits=[GUESS] if is_guess and able else _waits(fleet, foresight),
        sparks=_sparks(trends),
    )


def _wait(found: Estimate) -> str:
    """What a job would wait that came now."""
    if found.range is None or not found.seconds:
        return wait_words(found.seconds)
    return span_words(found.range)


def _sparks(trends: Trends) -> dict[str, str]:
    return {
        "queued": draw_spark(trends.queued),
        "running": draw_spark(trends.running),
        "success": draw_spark([_share(hour.completed, hour.failed) for hour in trends.hours]),
        "duration": draw_spark([middle(hour.durations) for hour in trends.hours]),
        "wait": draw_spark([middle(hour.waits) for hour in trends.hours]),
    }


def _share(completed: int, failed: int) -> float | None:
    return completed / (completed + failed) if completed + failed else None


def is_able(server: ServerFacts) -> bool:
    """Whether it takes builds of some kind now, or would as soon as it has room."""
    return server.in_service and not _is_quarantined(server)


def _is_quarantined(server: ServerFacts) -> bool:
    return server.quarantine_at(timezone.now()) is not QuarantineStage.NONE


def _waits(fleet: Sequence[ServerFacts], foresight: Foresight) -> list[str]:
    """The likely wait by architecture, those that most servers build first."""
    builders = Counter(name for server in fleet for name in server.architectures)
    names = sorted(builders, key=lambda name: (-builders[name], name))[:_MOST_ARCHITECTURES]
    told = [(name, foresight.waits.get(name)) for name in names]
    return [f"{name} {wait_words(wait.likely).partition(' ')[0] if wait else '—'}" for name, wait in told]


def make_running(jobs: Sequence[BuildJob], *, learnt: Mapping[UUID, Learnt]) -> list[Running]:
    """How far each is, by how long its like took."""
    now = timezone.now()
    return [_running(job, learnt=learnt.get(job.pk), now=now) for job in jobs]


def _running(job: BuildJob, *, learnt: Learnt | None, now: datetime) -> Running:
    if job.status == JobStatus.CLAIMED or job.started_at is None:
        return Running(job, None, "connecting", is_over=False)
    if learnt is None:
        return Running(job, job.progress, "the first of its kind", is_over=False)
    progress = progress_since(job.started_at, learnt=learnt, now=now, least_percent=job.progress)
    left = f"{span_words(progress.left)} left" if progress.left else ""
    if progress.over is None:
        return Running(job, progress.percent, left, is_over=False)
    return Running(job, progress.percent, f"over usual {wait_words(learnt.likely)} · {left}", is_over=True)


def make_fleet(fleet: Sequence[ServerFacts]) -> tuple[list[FleetRow], int]:
    """Rows by name, and how many were left out: of many servers those with something wrong come first."""
    rows = [_fleet_row(server) for server in fleet]
    left_out = max(0, len(rows) - _MOST_SERVERS)
    if left_out:
        rows.sort(key=lambda row: (not row.word, -row.slots.held))
    return rows[:_MOST_SERVERS], left_out


def _fleet_row(server: ServerFacts) -> FleetRow:
    word, dot = _state_of(server)
    if server.status == ServerStatus.OFFLINE:
        load = "no answer"
    else:
        load = "—" if server.cpu_percent is None else f"{round(server.cpu_percent)}% cpu"
    return FleetRow(server.id, server.name, dot, word, Slots(server.held, server.slots), load)


def _state_of(server: ServerFacts) -> tuple[str, str]:
    """What keeps it from builds in a word (empty: nothing), and the class of its dot."""
    if not server.enabled:
        return "disabled", ""
    if server.key_changed:
        return "other host key", "bad"
    if not server.pinned:
        return "key to accept", "run"
    if server.status != ServerStatus.ONLINE:
        return server.status, _DOTS.get(ServerStatus(server.status), "")
    if _is_quarantined(server):
        return "quarantined", "bad"
    if server.draining:
        return "draining", ""
    return ("", "ok") if server.followed else ("no runner", "bad")


def fleet_words(fleet: Sequence[ServerFacts]) -> str:
    """How many are in which unusual state."""
    counts = Counter(word for word, _ in map(_state_of, fleet) if word)
    if not counts:
        return f"{'It is' if len(fleet) == 1 else f'All {len(fleet)} are'} well"
    return ", ".join(f"{count} {word}" for word, count in counts.most_common())
