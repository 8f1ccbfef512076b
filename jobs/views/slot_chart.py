"""What the slots of a server ran in the last hour, as numbers for SVG: a row a slot, a bar an attempt.

An attempt does not know its slot's number, so they are laid into the first row that was free: as many rows are
full at any moment as slots were. It reads nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from jobs.models import Attempt
from jobs.states import AttemptStatus
from jobs.views.charts import SPAN

MOST_ROWS = 16
_LEFT, _RIGHT = 44.0, 756.0
_PITCH, _BAR = 20, 14
_NARROWEST = 1.5
# Of attempts that ended; those that run have another.
_COLOURS = {
    AttemptStatus.COMPLETED: "f-ok",
    AttemptStatus.FAILED: "f-bad",
    AttemptStatus.LOST: "f-bad",
    AttemptStatus.CANCELLED: "f-off",
}


@dataclass(frozen=True)
class Bar:
    """One attempt: where it lies, its colour's class, and what it was."""

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


def draw_slots(attempts: Iterable[Attempt], *, slots: int, now: datetime, is_whole: bool = True) -> SlotChart:
    """The chart of attempts on one server with their jobs; those that did not run in the last hour are left out.

    Without `is_whole` more ran than are given.
    """
    begin = now - SPAN
    spans = [
        (max(one.started_at, begin), one.completed_at or now, one)
        for one in attempts
        if one.started_at and one.started_at < now and (one.completed_at or now) > begin
    ]
    free_at: list[datetime] = []
    bars = []
    for start, end, attempt in sorted(spans, key=lambda span: (span[0], span[1], str(span[2].pk))):
        row = next((number for number, free in enumerate(free_at) if free <= start), len(free_at))
        free_at[row : row + 1] = [end]
        if row < MOST_ROWS:
            bars.append(_bar(attempt, start=start, end=end, row=row, begin=begin))
    count = min(max(slots, len(free_at)), MOST_ROWS)
    return SlotChart(
        bars=bars,
        rows=[(f"slot {number + 1}", number * _PITCH + 15) for number in range(count)],
        height=count * _PITCH + 20,
        sentence=_sentence(spans, slots=slots, is_whole=is_whole),
    )


def _bar(attempt: Attempt, *, start: datetime, end: datetime, row: int, begin: datetime) -> Bar:
    left = _LEFT + (_RIGHT - _LEFT) * ((start - begin) / SPAN)
    job = attempt.job
    again = f" (attempt {attempt.number})" if attempt.number > 1 else ""
    width = (_RIGHT - _LEFT) * ((end - start) / SPAN)
    return Bar(
        x=round(left, 1),
        y=row * _PITCH + 4,
        width=round(max(_NARROWEST, width - 1), 1),
        colour=_COLOURS.get(AttemptStatus(attempt.status), "f-run"),
        title=f"{job.repository_name} {job.branch}: {attempt.status}{again}",
    )


def _sentence(spans: list[tuple[datetime, datetime, Attempt]], *, slots: int, is_whole: bool) -> str:
    if not spans:
        return "No build ran there in the last hour."
    counts = {status.value: sum(one.status == status for _, _, one in spans) for status in _COLOURS}
    counts["running"] = len(spans) - sum(counts.values())
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    busy = min(100, round(100 * sum((end - start) / SPAN for start, end, _ in spans) / max(1, slots)))
    if not is_whole:
        return f"The latest builds of the last hour: {told}; the slots were busy at least {busy}% of it."
    return f"Builds in the last hour: {told}; the slots were busy {busy}% of it."
