"""Owns the outline of a log: its groups, and the lines that tell of errors and warnings.

It is made in one pass, in memory that does not grow with the log: so many groups and marks are kept, the rest is
only counted. What such lines look like is findings.py's matter.
"""

import json
import threading
import uuid
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from jobs.logs import sealed, store
from jobs.logs.findings import Finding, Kind, find
from jobs.logs.pieces import LogGap
from jobs.logs.plain import Block, LineBlocks
from jobs.models import Attempt, SealedLog
from jobs.states import ATTEMPT_TERMINAL

MAX_GROUPS = 1000
MAX_MARKS = 2000
# Lines that are looked at closely: a log in which every line speaks of errors must not take minutes.
MAX_LOOKS = 500_000
# One call goes on by so much: an outline of a long log that nobody asked for before comes in several.
_BYTES_A_CALL = 64 << 20
_REMEMBERED = 64
_MOST_PACKED_BYTES = 16 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Group:
    """Lines from `first`, which names it, to `last`, and when they were written. `is_open`: it may go on."""

    first: int
    last: int
    title: str
    began_at: datetime
    ended_at: datetime
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """`marks` are lines with `error` or `warning`, of each the first MAX_MARKS; the counts are of all.

    `whole`: all of the log was looked at.
    """

    groups: list[Group]
    marks: list[tuple[int, str]]
    errors: int
    warnings: int
    whole: bool


@dataclass(slots=True)
class _Open:
    first: int
    title: str
    began_at: datetime
    last: int | None = None
    ended_at: datetime | None = None


@dataclass(slots=True)
class _Standing:
    """The step and the group in it that lines are in now."""

    step: _Open | None = None
    group: _Open | None = None


@dataclass
class Outliner:
    """Takes the bytes of a log in their order, and knows the outline of what it was given."""

    _blocks: LineBlocks = field(default_factory=LineBlocks)
    _groups: list[_Open] = field(default_factory=list)
    _marks: list[tuple[int, str]] = field(default_factory=list)
    _counts: dict[Kind, int] = field(default_factory=lambda: {Kind.ERROR: 0, Kind.WARNING: 0})
    _now: _Standing = field(default_factory=_Standing)
    _before: _Standing = field(default_factory=_Standing)
    _row: str = ""
    _looks: int = 0
    _lines: int = 0
    _at: datetime | None = None
    _finished: bool = False

    def feed(self, data: bytes, *, at: datetime) -> None:
        """The next bytes, and when they were kept."""
        block = self._blocks.feed(data, at=at)
        if block is not None:
            self._look(block)

    def finish(self) -> None:
        """Nothing follows: a last line without its end is one too."""
        block = self._blocks.rest()
        if block is not None and not self._finished:
            self._look(block)
        self._finished = True

    def outline(self, *, whole: bool = True) -> Outline:
        """What was found by now; `whole`: nothing was left out before."""
        last = max(self._lines - 1, 0)
        groups = [
            Group(
                one.first,
                last if one.last is None else one.last,
                one.title,
                one.began_at,
                one.ended_at or self._at or one.began_at,
                one.last is None and not self._finished,
            )
            for one in self._groups
        ]
        return Outline(
            [one for one in groups if one.last > one.first or one.is_open],
            sorted(self._marks),
            self._counts[Kind.ERROR],
            self._counts[Kind.WARNING],
            whole and self._looks < MAX_LOOKS,
        )

    def _look(self, block: Block) -> None:
        if self._looks < MAX_LOOKS:
            for findings in find(block.data):
                self._looks += 1
                for one in findings:
                    self._take(
                        one,
                        line=block.first_line + one.line,
                        at=block.at if one.line else block.first_at,
                    )
        self._lines = block.first_line + block.data.count(b"\n") + (not block.data.endswith(b"\n"))
        self._at = block.at

    def _take(self, finding: Finding, *, line: int, at: datetime) -> None:
        if finding.kind in self._counts:
            self._mark(finding, line)
        elif finding.kind == Kind.STEP:
            self._before = _Standing(self._now.step, self._now.group)
            self._close(line - 1, at, step=True)
            self._now.step = self._open(line, finding.title, at)
        elif finding.kind == Kind.OVER:
            self._close(line - 1, at, step=True)
        elif finding.kind == Kind.GROUP:
            self._close(line - 1, at)
            self._now.group = self._open(line, finding.title, at)
        elif finding.kind == Kind.GROUP_END:
            self._close(line, at)
        elif finding.kind == Kind.DIFF:
            self._take_back(line - 1)

    def _mark(self, finding: Finding, line: int) -> None:
        if finding.kind == Kind.ERROR:
            repeats = bool(finding.row) and finding.row == self._row
            self._row = finding.row
            if repeats:
                return
        self._counts[finding.kind] += 1
        if self._counts[finding.kind] <= MAX_MARKS:
            self._marks.append((line, finding.kind.value))

    def _open(self, line: int, title: str, at: datetime) -> _Open | None:
        if len(self._groups) == MAX_GROUPS:
            return None
        self._groups.append(_Open(line, title, at))
        return self._groups[-1]

    def _close(self, line: int, at: datetime, *, step: bool = False) -> None:
        for one in (self._now.group, self._now.step if step else None):
            if one is not None:
                one.last, one.ended_at = max(line, one.first), at
        self._now.group = None
        if step:
            self._now.step = None

    def _take_back(self, line: int) -> None:
        """The line was no step but the head of a patch: what was open before it still is."""
        if self._now.step is None or self._now.step.first != line:
            return
        self._groups.remove(self._now.step)
        self._now = self._before
        for one in (self._now.step, self._now.group):
            if one is not None:
                one.last = one.ended_at = None


# ---- outlines that are stored -----------------------------------------------------------------------------


def pack_outline(outline: Outline) -> bytes:
    """An outline as it is stored with a sealed log."""
    whole = asdict(outline)
    for group in whole["groups"]:
        for name in ("began_at", "ended_at"):
            group[name] = (group[name] - _EPOCH) // _MICROSECOND
    return sealed.packed(json.dumps(whole, separators=(",", ":")).encode())


def unpack_outline(data: bytes) -> Outline:
    """A stored outline. Raises what sealed.DAMAGED names when it is damaged."""
    whole = json.loads(sealed.unpacked(data, most=_MOST_PACKED_BYTES))
    for group in whole["groups"]:
        for name in ("began_at", "ended_at"):
            group[name] = _EPOCH + group[name] * _MICROSECOND
    groups = [Group(**group) for group in whole.pop("groups")]
    marks = [(line, kind) for line, kind in whole.pop("marks")]
    return Outline(groups=groups, marks=marks, **whole)


def _stored(attempt: Attempt) -> Outline | None:
    rows = SealedLog.objects.filter(attempt=attempt.pk, published_at__isnull=False)
    data = rows.values_list("outline", flat=True).first()
    if data is None:
        return None
    try:
        return unpack_outline(bytes(data))
    except sealed.DAMAGED as error:
        raise LogGap(attempt.pk, "outline") from error


# ---- outlines of logs that grow ---------------------------------------------------------------------------


@dataclass
class _Followed:
    lock: threading.Lock = field(default_factory=threading.Lock)
    outliner: Outliner = field(default_factory=Outliner)
    offset: int = 0


class _Memory:
    """The outliners of the logs that were asked for last: each call reads only what is new."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._followed: OrderedDict[uuid.UUID, _Followed] = OrderedDict()

    def of(self, attempt_id: uuid.UUID) -> _Followed:
        with self._lock:
            one = self._followed.setdefault(attempt_id, _Followed())
            self._followed.move_to_end(attempt_id)
            while len(self._followed) > _REMEMBERED:
                self._followed.popitem(last=False)
            return one


_MEMORY = _Memory()


def read_outline(attempt: Attempt) -> Outline:
    """The outline of what is kept by now, or of its first part: then `whole` is False. Raises LogGap."""
    has_ended = attempt.status in ATTEMPT_TERMINAL
    if has_ended and (stored := _stored(attempt)) is not None:
        return stored
    size = store.size(attempt)
    one = _MEMORY.of(attempt.pk)
    with one.lock:
        end = min(size, one.offset + _BYTES_A_CALL)
        for piece in store.read_pieces(attempt, start=one.offset, end=end):
            one.outliner.feed(piece.data, at=piece.at)
            one.offset = piece.end
        if one.offset == size and has_ended:
            one.outliner.finish()
        return one.outliner.outline(whole=one.offset >= size)
