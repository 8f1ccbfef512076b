"""Keeps what was foreseen of each job, and notes beside it what came. The one writer of predictions.

Of a job the first estimate of each stage is kept, and every later one that tells something else; at most MOST_OF_A_JOB
of a stage, of which the last is then written over. Times are kept as moments, so an estimate need not be written again
while it comes true. Nothing is foreseen here (forecast.py), nor said how good it was (accuracy.py).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, Max, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from jobs.models import BuildJob, KeptForecast, Prediction
from jobs.models.prediction import PredictionStage
from jobs.queue.accuracy import latest_waits, track_record
from jobs.queue.durations import Basis
from jobs.queue.forecast import MOST_LOOKED_AT, Foreseen, foresee
from jobs.queue.lasting import Range
from jobs.queue.margins import margins_of
from jobs.queue.simulation import Expected
from jobs.states import JOB_TERMINAL, JobStatus

EVERY_SECONDS = 5.0
MOST_OF_A_JOB = 8
KEPT = timedelta(days=30)
_FRESH = timedelta(seconds=30)
_SHARE_OF_TIME = 20  # making forecasts takes at most one part in so many
_AT_ONCE = 200  # rows of one transaction: few enough to keep nobody waiting
_MOST = 5000  # jobs that are compared in one pass
_MATERIAL = timedelta(seconds=15)
_MATERIAL_SHARE = 0.15
_CLAIM = timedelta(
    minutes=1
)  # from its claim to its start: an estimate from between them is of this run, too
_ROW = 1


@dataclass(frozen=True)
class Moments:
    """A range of times."""

    low: datetime
    likely: datetime
    high: datetime

    @classmethod
    def after(cls, at: datetime, found: Range) -> "Moments":
        """What a range of seconds from a moment comes to."""
        return cls(*(at + timedelta(seconds=one) for one in (found.low, found.likely, found.high)))

    def as_of(self, now: datetime) -> "Moments":
        """The same for one who looks now: what was to come by now and did not may come at once."""
        return Moments(*(max(now, one) for one in (self.low, self.likely, self.high)))

    def seconds_from(self, now: datetime) -> Range:
        """In how many seconds, as one who looks now should read it."""
        seen = self.as_of(now)
        return Range(*((one - now).total_seconds() for one in (seen.low, seen.likely, seen.high)))


@dataclass(frozen=True)
class Told:
    """What was told of one job: `start` is None of one that has a server already."""

    made_at: datetime
    start: Moments | None
    end: Moments
    server_id: UUID | None
    basis: Basis
    samples: int

    @classmethod
    def of(cls, expected: Expected, *, at: datetime) -> "Told":
        """A fresh forecast of a job."""
        start = Moments.after(at, expected.start) if expected.start else None
        end = Moments.after(at, expected.end)
        return cls(at, start, end, expected.server_id, expected.basis, expected.samples)

    def as_of(self, now: datetime) -> "Told":
        """The same for one who looks now."""
        return replace(self, start=self.start and self.start.as_of(now), end=self.end.as_of(now))


# ---- reading ----------------------------------------------------------------------------------------------
def current_of(job_ids: Collection[UUID]) -> dict[UUID, Told]:
    """What is told of these jobs now. One query; none for none."""
    rows = Prediction.objects.filter(job__in=job_ids, is_current=True) if job_ids else ()
    return {row.job_id: _told(row) for row in rows}


def _told(row: Prediction) -> Told:
    start = None
    if row.start_low_at and row.start_likely_at and row.start_high_at:
        start = Moments(row.start_low_at, row.start_likely_at, row.start_high_at)
    end = Moments(row.end_low_at, row.end_likely_at, row.end_high_at)
    return Told(row.made_at, start, end, row.server_id, Basis(row.basis), row.samples)


def last_forecast() -> KeptForecast | None:
    """The last forecast of the queue, however old. One query."""
    return KeptForecast.objects.filter(pk=_ROW, made_at__isnull=False).first()


def is_fresh(kept: KeptForecast, *, now: datetime) -> bool:
    """Whether it still holds: else the next one is overdue, for whoever makes them is away or has nothing to do.

    However old it is: the longer making one takes, the seldomer one is made.
    """
    return kept.made_at is not None and now < kept.next_at + _FRESH


# ---- making and keeping -----------------------------------------------------------------------------------
def outlived() -> Q:
    """Estimates that nobody asks for any more."""
    return Q(made_at__lt=timezone.now() - KEPT, is_current=False)


def is_due() -> bool:
    """Whether there is anything to foresee or to compare. Two queries at most."""
    return BuildJob.objects.unfinished().exists() or Prediction.objects.filter(is_current=True).exists()


def refresh() -> int:
    """Compare, foresee and keep, unless another process did just now; how many estimates were written."""
    began = timezone.now()
    if not _take_turn(began):
        return 0
    note_what_came()
    waits = latest_waits()
    margins = margins_of([(one.likely, one.came) for one in waits])
    foreseen = foresee(limit=MOST_LOOKED_AT).widened(margins)
    written = keep(foreseen)
    took = timezone.now() - began
    KeptForecast.objects.filter(pk=_ROW).update(
        made_at=foreseen.at,
        next_at=began + max(timedelta(seconds=EVERY_SECONDS), took * _SHARE_OF_TIME),
        took_ms=round(took.total_seconds() * 1000),
        looked_at=foreseen.looked_at,
        left_out=foreseen.left_out,
        waits={name: astuple(one) for name, one in foreseen.waits.items()},
        free_in={str(server_id): astuple(one) for server_id, one in foreseen.forecast.free_in.items()},
        track_record=asdict(track_record(waits=waits)),
    )
    return written


def _take_turn(now: datetime) -> bool:
    """Whether it is this process's turn. If it dies, the next one's comes after a while all the same."""
    until = now + _FRESH
    if KeptForecast.objects.filter(pk=_ROW, next_at__lte=now).update(next_at=until):
        return True
    if KeptForecast.objects.filter(pk=_ROW).exists():
        return False
    try:
        with transaction.atomic():
            KeptForecast.objects.create(pk=_ROW, next_at=until)
    except IntegrityError:  # another process was faster
        return False
    return True


def keep(foreseen: Foreseen) -> int:
    """Write what is new, and take back what is foreseen no more; how many estimates were written."""
    current = {row.job_id: row for row in Prediction.objects.filter(is_current=True)}
    told = {job_id: Told.of(one, at=foreseen.at) for job_id, one in foreseen.forecast.jobs.items()}
    gone = [job_id for job_id in current if job_id not in told]
    for at in range(0, len(gone), _AT_ONCE):
        Prediction.objects.filter(job__in=gone[at : at + _AT_ONCE], is_current=True).update(is_current=False)
    news = [
        job_id for job_id, one in told.items() if job_id not in current or tells_else(one, current[job_id])
    ]
    for at in range(0, len(news), _AT_ONCE):
        _write({job_id: told[job_id] for job_id in news[at : at + _AT_ONCE]})
    return len(news)


def tells_else(told: Told, row: Prediction) -> bool:
    """Whether an estimate differs from the one before it by more than 15 s and 15% of the time that it spans."""
    before = _told(row)
    if (told.start is None) != (before.start is None):
        return True
    return _differs(told.end, before.end, since=row.made_at) or (
        told.start is not None
        and before.start is not None
        and _differs(told.start, before.start, since=row.made_at)
    )


def _differs(now: Moments, before: Moments, *, since: datetime) -> bool:
    material = max(_MATERIAL, _MATERIAL_SHARE * (now.likely - since))
    ends = max(abs(now.low - before.low), abs(now.high - before.high))
    return abs(now.likely - before.likely) > material or ends > 2 * material


def _write(told: Mapping[UUID, Told]) -> None:
    """New estimates in place of those that held; the eighth of a stage in place of the one before."""
    with transaction.atomic():
        rows = Prediction.objects.filter(job__in=told)
        last = rows.order_by().values_list("job_id", "stage").annotate(Max("number"))
        numbers = {(job_id, stage): number for job_id, stage, number in last}
        rows.filter(is_current=True).update(is_current=False)
        made = [_row(job_id, one, numbers=numbers) for job_id, one in told.items()]
        full = [row.job_id for row in made if row.number == MOST_OF_A_JOB]
        if full:
            stages = Q(stage__in={row.stage for row in made if row.number == MOST_OF_A_JOB})
            rows.filter(stages, job__in=full, number=MOST_OF_A_JOB).delete()
        # Those of jobs that were removed meanwhile would be refused, and all others with them.
        there = set(BuildJob.objects.filter(pk__in=told).values_list("pk", flat=True))
        Prediction.objects.bulk_create(row for row in made if row.job_id in there)


def _row(job_id: UUID, told: Told, *, numbers: Mapping[tuple[UUID, str], int]) -> Prediction:
    stage = PredictionStage.QUEUED if told.start else PredictionStage.ACTIVE
    start = told.start
    return Prediction(
        job_id=job_id,
        stage=stage,
        made_at=told.made_at,
        number=min(MOST_OF_A_JOB, numbers.get((job_id, stage), 0) + 1),
        start_low_at=start.low if start else None,
        start_likely_at=start.likely if start else None,
        start_high_at=start.high if start else None,
        end_low_at=told.end.low,
        end_likely_at=told.end.likely,
        end_high_at=told.end.high,
        server_id=told.server_id,
        basis=told.basis,
        samples=told.samples,
    )


def part_from(server_id: UUID, *, most: int) -> int:
    """Take a server that is to be deleted from estimates that hold no more; of how many."""
    rows = Prediction.objects.filter(server_id=server_id, is_current=False).order_by()
    ids = list(rows.values_list("pk", flat=True)[:most])
    return Prediction.objects.filter(pk__in=ids).update(server=None)


# ---- comparing --------------------------------------------------------------------------------------------
def note_what_came() -> None:
    """Beside the estimates of jobs that have started or ended since: when they did. Six queries at most."""
    current = Prediction.objects.filter(is_current=True).order_by()
    waited = current.filter(stage=PredictionStage.QUEUED, started_at__isnull=True)
    started = waited.filter(
        job__status__in=[JobStatus.RUNNING, *JOB_TERMINAL], job__started_at__gte=F("made_at")
    )
    _note(_ids(started), column="started_at", among=Q(stage=PredictionStage.QUEUED))
    ended = current.filter(job__status__in=JOB_TERMINAL)
    run = Q(stage=PredictionStage.QUEUED, started_at=F("job__started_at"))
    run |= Q(stage=PredictionStage.ACTIVE, made_at__gte=F("job__started_at") - _CLAIM)
    _note(_ids(ended.filter(job__status=JobStatus.COMPLETED)), column="ended_at", among=run)
    over = _ids(ended)
    for at in range(0, len(over), _AT_ONCE):
        Prediction.objects.filter(job__in=over[at : at + _AT_ONCE]).update(is_current=False)


def _ids(rows: QuerySet[Prediction]) -> list[UUID]:
    return list(rows.values_list("job_id", flat=True)[:_MOST])


def _note(job_ids: Sequence[UUID], *, column: str, among: Q) -> None:
    """Copy when it came from the jobs to their estimates, as far as there is nothing yet."""
    when = {"started_at": "started_at", "ended_at": "completed_at"}[column]
    came = Subquery(BuildJob.objects.filter(pk=OuterRef("job")).values(when)[:1])
    for at in range(0, len(job_ids), _AT_ONCE):
        rows = Prediction.objects.filter(
            among, job__in=job_ids[at : at + _AT_ONCE], **{f"{column}__isnull": True}
        )
        rows.update(**{column: came})
