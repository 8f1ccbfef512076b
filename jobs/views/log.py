"""A job's log as pages read it: the tail beside its job, and all of it in pages of plain lines.

The bytes are `logs/store.py`'s; how they come live is `consumers.py`'s.
"""

from dataclasses import dataclass, field
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from buildboard.core.auth import principal_of, requires
from buildboard.core.permissions import Right
from jobs.logs import store
from jobs.models import Attempt, BuildJob
from jobs.states import ATTEMPT_TERMINAL

LINES_A_PAGE = 5000
_BYTES_A_PAGE = 2 << 20
_TAIL_LINES = 500
_MOST_ATTEMPTS = 50
_TAIL_BYTES = 96 << 10


@dataclass(frozen=True)
class Tail:
    """The last lines of a log, numbered from `first_line` (from 1), and where a live reader goes on."""

    lines: list[str] = field(default_factory=list)
    first_line: int = 1
    next_line: int = 1
    next_offset: int = 0

    @property
    def last_line(self) -> int:
        """The number of the last line that is shown."""
        return self.first_line + len(self.lines) - 1


def read_tail(attempt: Attempt) -> Tail:
    """The end of what is kept by now. A line without its LF is shown, and begins again at `next_offset`.

    Where bytes are missing a sentence says so in their place: the page has more than the log to show.
    Size and lines are taken from `attempt` as it was read: what comes later is for the live reader.
    """
    size, line_feeds = attempt.log_size, attempt.log_lines
    start = max(0, size - _TAIL_BYTES)
    try:
        data = b"".join(store.read_bytes(attempt, start=start, end=size))
    except store.LogGap as gap:
        number = line_feeds + 1
        return Tail(lines=[gap.detail], first_line=number, next_line=number, next_offset=size)
    if start and b"\n" in data:
        data = data.partition(b"\n")[2]
    *whole, rest = data.split(b"\n")
    shown = whole[-_TAIL_LINES:]
    lines = [line.decode(errors="replace") for line in ([*shown, rest] if rest else shown)]
    return Tail(
        lines=lines,
        first_line=line_feeds - len(shown) + 1,
        next_line=line_feeds + 1,
        next_offset=size - len(rest),
    )


def latest_attempts(job: BuildJob) -> list[Attempt]:
    """The last attempts of a job in their order; released ones, which do not count, can be many."""
    return list(Attempt.objects.filter(job=job).order_by("-number")[:_MOST_ATTEMPTS])[::-1]


def chosen_attempt(request: HttpRequest, attempts: list[Attempt]) -> Attempt | None:
    """The one of a job's `latest_attempts` that the address names (`?attempt=2`), else the last.

    None while there is none. Raises Http404 for a number that no attempt has.
    """
    wanted = request.GET.get("attempt", "")
    if not wanted:
        return attempts[-1] if attempts else None
    number = _number(wanted)
    found = next((attempt for attempt in attempts if attempt.number == number), None)
    if found is None and attempts and 0 < number < attempts[0].number:
        found = Attempt.objects.filter(job=attempts[0].job_id, number=number).first()
    if found is None:
        raise Http404("This job has no such attempt.")
    return found


@requires(Right.READ)
@require_safe
def log_page(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """One attempt's log without JavaScript: 5,000 lines a page, each with its anchor.

    `?line=` gives the page that has this line, `?from=` the lines from this one on.
    """
    job = get_object_or_404(BuildJob.objects.visible_to(principal_of(request)), pk=job_id)
    attempts = latest_attempts(job)
    attempt = chosen_attempt(request, attempts)
    context = {"job": job, "attempts": attempts, "attempt": attempt}
    if attempt is not None:
        line, start = (_number(request.GET.get(name, "")) for name in ("line", "from"))
        context |= _window(attempt, line=line, start=start)
    return render(request, "jobs/log.html", context)


def _window(attempt: Attempt, *, line: int, start: int) -> dict[str, object]:
    """The lines of one page and where its neighbours begin; lines are numbered from 1, and 0 is none."""
    first = start - 1 if start else max(0, line - 1) // LINES_A_PAGE * LINES_A_PAGE
    window = store.read_lines(attempt, first_line=first, limit=LINES_A_PAGE, max_bytes=_BYTES_A_PAGE)
    if window.next_line < line <= window.total_lines:  # long lines: the page ended before this one
        first = line - 1
        window = store.read_lines(attempt, first_line=first, limit=LINES_A_PAGE, max_bytes=_BYTES_A_PAGE)
    return {
        "window": window,
        "first_number": first + 1,
        "previous": max(0, first - LINES_A_PAGE) + 1 if first else 0,
        "next": window.next_line + 1 if window.lines and window.next_line < window.total_lines else 0,
        "last": max(0, window.total_lines - 1) // LINES_A_PAGE * LINES_A_PAGE + 1,
        "is_live": attempt.status not in ATTEMPT_TERMINAL,
    }


def _number(text: str) -> int:
    """A line's number (from 1); 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
