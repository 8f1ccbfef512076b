"""What the slots of a server ran in the last hour, as numbers for SVG: a row a slot, a bar a build.

An attempt does not know its slot's number, so builds are laid into the first row that was free: as many rows are
full at any moment as slots were. It reads nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from jobs.models import BuildJob
from jobs.states import JobStatus
from jobs.views.charts import SPAN

MOST_ROWS = 16
_LEFT, _RIGHT = 44.0, 756.0
_PITCH, _BAR = 20, 14
_NARROWEST = 1.5
_COLOURS = {
    JobStatus.COMPLETED: "f-ok",
    JobStatus.FAILED: "f-bad",
    JobStatus.CANCELLED: "f-off",
}


@dataclass(frozen=True)
class Bar:
    """One build: where it lies, its colour's class, and what it was."""

    x: float
    y: int
    width: float
    colour: str
    title: str


@dataclass(frozen=True)
class SlotChart:
    """Rows and bars in a box of 760 by `height`, and a sentence that says the same."""

    bars: list[Bar]
    rows: list[tuple[str, int]]
    height: int
    sentence: str


def draw_slots(jobs: Iterable[BuildJob], *, slots: int, now: datetime) -> SlotChart:
    """The chart of builds of one server; those that did not run in the last hour are left out."""
    begin = now - SPAN
    spans = [
        (max(job.started_at, begin), job.completed_at or now, job)
        for job in jobs
        if job.started_at and job.started_at < now and (job.completed_at or now) > begin
    ]
    free_at: list[datetime] = []
    bars = []
    for start, end, job in sorted(spans, key=lambda span: (span[0], span[1], str(span[2].pk))):
        row = next((number for number, free in enumerate(free_at) if free <= start), len(free_at))
        free_at[row : row + 1] = [end]
        if row < MOST_ROWS:
            bars.append(_bar(job, start=start, end=end, row=row, begin=begin))
    count = min(max(slots, len(free_at)), MOST_ROWS)
    return SlotChart(
        bars=bars,
        rows=[(f"slot {number + 1}", number * _PITCH + 15) for number in range(count)],
        height=count * _PITCH + 20,
        sentence=_sentence(spans, slots=slots),
    )


def _bar(job: BuildJob, *, start: datetime, end: datetime, row: int, begin: datetime) -> Bar:
    left = _LEFT + (_RIGHT - _LEFT) * ((start - begin) / SPAN)
    width = (_RIGHT - _LEFT) * ((end - start) / SPAN)
    return Bar(
        x=round(left, 1),
        y=row * _PITCH + 4,
        width=round(max(_NARROWEST, width - 1), 1),
        colour=_COLOURS.get(JobStatus(job.status), "f-run"),
        title=f"{job.repository_name} {job.branch}: {job.status}",
    )


def _sentence(spans: list[tuple[datetime, datetime, BuildJob]], *, slots: int) -> str:
    if not spans:
        return "No build ran there in the last hour."
    counts = {
        word: sum(job.status == status for _, _, job in spans)
        for word, status in (("completed", "completed"), ("failed", "failed"), ("cancelled", "cancelled"))
    }
    counts["running"] = len(spans) - sum(counts.values())
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    busy = sum((end - start) / SPAN for start, end, _ in spans) / max(1, slots)
    return f"Builds in the last hour: {told}; the slots were busy {min(100, round(100 * busy))}% of it."
