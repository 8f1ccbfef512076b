"""Keeps what each submitter was served of each class, for fairness.py to decide by. Nobody else writes FairShare.

Only starts for which somebody else waited, too, are counted. A row that is lost costs somebody a turn.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from uuid import UUID

from django.db.models import F, FloatField, QuerySet, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from buildboard.core.models import User
from jobs.models import FairShare
from jobs.queue.fairness import USUAL_WEIGHT, Shares

KEPT = timedelta(days=7)  # of a class for which nobody had to wait any more


def read_shares(contested: Mapping[str, Iterable[UUID]]) -> Shares:
    """What these submitters were served of these classes, and their weights. Two queries; none for none."""
    if not contested:
        return Shares()
    served: dict[str, dict[UUID, float]] = {}
    rows = FairShare.objects.filter(needs_key__in=contested).values_list("needs_key", "submitter", "served")
    for key, submitter, amount in rows:
        served.setdefault(key, {})[submitter] = amount
    submitters = {one for ones in (*contested.values(), *served.values()) for one in ones}
    others = User.objects.filter(pk__in=submitters).exclude(share_weight=USUAL_WEIGHT).order_by()
    return Shares(served, dict(others.values_list("pk", "share_weight")))


def note_served(started: Iterable[tuple[str, UUID]], *, contested: Mapping[str, Iterable[UUID]]) -> None:
    """Count these starts, a class and a submitter each, for as far as the class is contested.

    A few statements for each pair, and none when nothing was contested. Several dispatchers may do it at once.
    """
    counts = Counter(one for one in started if one[0] in contested)
    if not counts:
        return
    shares = read_shares({key: contested[key] for key, _ in counts})
    now = timezone.now()
    FairShare.objects.bulk_create(
        # In one order by all: two dispatchers that insert the same rows would else wait for each other for good.
        [FairShare(needs_key=key, submitter=submitter, updated_at=now) for key, submitter in sorted(counts)],
        ignore_conflicts=True,
    )
    for (key, submitter), count in sorted(counts.items()):
        floor = shares.floor_of(key, among=contested[key])
        given = count / shares.weight_of(submitter)
        from_here = Greatest(F("served"), Value(floor, output_field=FloatField()))
        FairShare.objects.filter(needs_key=key, submitter=submitter).update(
            served=from_here + given, updated_at=now
        )


def outworn_shares() -> QuerySet[FairShare]:
    """Those of classes for which nobody had to wait in the last days, to be pruned."""
    return FairShare.objects.filter(updated_at__lt=timezone.now() - KEPT)
