"""Seals logs: brings one that has ended from rows into an object of the storage, and removes what nobody needs.

It owns the table SealedLog. A log is in rows until the moment of one guarded transaction, and nothing that a
crash leaves before or after it loses a byte: what was begun is removed later, what is left of the rows too.
Two who seal the same log write two objects, of which one is published. How a log is read is store.py's matter.
"""

import hashlib
import logging
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from jobs.logs import objects, store
from jobs.logs.outline import Outliner, pack_outline
from jobs.logs.pieces import LogGap, Piece
from jobs.logs.sealed import Writer, open_sealed
from jobs.models import Attempt, LogChunk, SealedLog
from jobs.states import ATTEMPT_TERMINAL

logger = logging.getLogger(__name__)

# How long somebody who has begun is left alone, longer than a task may take; and how soon a log that could not be
# sealed is tried again.
BUSY = timedelta(minutes=15)
# A longer log is sealed by a task of its own as soon as it ends, and with the others when that was lost.
LONG_BYTES = 1 << 20
GRACE = timedelta(minutes=1)
# At most 4 MiB of rows a transaction: nobody else can write meanwhile on SQLite.
ROWS_AT_ONCE = 64
_MOST = 100


@dataclass(frozen=True, slots=True)
class _Written:
    size: int
    lines: int
    sha256: bytes
    index: bytes
    outline: bytes


def seal_log(attempt_id: uuid.UUID) -> bool:
    """Seal the log of an attempt that has ended; whether this call did. Again, late or twice: nothing changes.

    A log that cannot be sealed stays in rows, and is tried again after a while.
    """
    attempt = Attempt.objects.filter(pk=attempt_id, status__in=ATTEMPT_TERMINAL).first()
    if attempt is None:
        return False
    begun = SealedLog.objects.filter(attempt=attempt)
    if begun.filter(published_at__isnull=False).exists():
        _drop_rows(attempt)
        return False
    if not attempt.log_size or begun.filter(begun_at__gt=timezone.now() - BUSY).exists():
        return False
    try:
        draft = SealedLog.objects.create(attempt=attempt, storage_key=objects.new_key(attempt.pk))
    except IntegrityError:  # the attempt was deleted since it was read
        return False
    try:
        written = _write(attempt, draft)
        published = _publish(attempt, draft, written)
    except (OSError, LogGap) as error:
        # The row stays, so that the next try is not at once; with it goes what cannot be removed now.
        with suppress(OSError):
            objects.remove(draft.storage_key)
        extra = {"action": "log.seal", "attempt": str(attempt.pk), "error": str(error)}
        logger.error("A log could not be sealed and stays in the database", extra=extra)
        return False
    if not published:
        _discard(draft)
        return False
    _drop_rows(attempt)
    return True


def _write(attempt: Attempt, draft: SealedLog) -> _Written:
    """Write the object, and read it again from what was written: only then may the rows go."""
    digest, outliner = hashlib.sha256(), Outliner()
    with objects.create(draft.storage_key) as target:
        writer = Writer(target.write)
        for piece in store.read_pieces(attempt, start=0, end=attempt.log_size):
            digest.update(piece.data)
            outliner.feed(piece.data, at=piece.at)
            writer.feed(piece)
        index = writer.finish()
    outliner.finish()
    if (writer.size, writer.lines) != (attempt.log_size, attempt.log_lines):
        raise LogGap(attempt.pk, f"line {attempt.log_lines}")
    sealed = open_sealed(attempt.pk, storage_key=draft.storage_key, size=writer.size, index=index)
    if _sha256(sealed.read_pieces(start=0, end=writer.size)) != digest.digest():
        raise LogGap(attempt.pk, "byte in the storage that was just written there")
    outline = pack_outline(outliner.outline())
    return _Written(writer.size, writer.lines, digest.digest(), index, outline)


def _sha256(pieces: Iterable[Piece]) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece.data)
    return digest.digest()


def _publish(attempt: Attempt, draft: SealedLog, written: _Written) -> bool:
    """From here on it is read. False, and nothing changes, when another was faster or the attempt is gone."""
    try:
        with transaction.atomic():
            same = Attempt.objects.filter(
                pk=attempt.pk,
                status__in=ATTEMPT_TERMINAL,
                log_size=written.size,
                log_lines=written.lines,
            )
            mine = SealedLog.objects.filter(pk=draft.pk, attempt=attempt, published_at__isnull=True)
            if not same.exists() or not mine.update(
                published_at=timezone.now(),
                size=written.size,
                index=written.index,
                outline=written.outline,
            ):
                return False
            store.drop_rows(attempt.pk, most=ROWS_AT_ONCE)
    except IntegrityError:
        return False
    return True


def _drop_rows(attempt: Attempt) -> None:
    """Half of the time is the others': whoever waits for SQLite's one lock does not stand in a line."""
    begin = time.monotonic()
    while store.drop_rows(attempt.pk, most=ROWS_AT_ONCE) == ROWS_AT_ONCE:
        time.sleep(time.monotonic() - begin)
        begin = time.monotonic()


def _discard(draft: SealedLog) -> None:
    """Remove what nobody reads, the object first: without its row nobody would know of it.

    It is taken from whoever may still write it, who then publishes nothing. What cannot be removed now is `_left`
    again after a while.
    """
    unread = SealedLog.objects.filter(Q(published_at__isnull=True) | Q(attempt__isnull=True), pk=draft.pk)
    if not unread.update(attempt=None, published_at=None, begun_at=timezone.now()):
        return
    try:
        objects.remove(draft.storage_key)
    except OSError as error:
        extra = {"action": "log.discard", "key": draft.storage_key, "error": str(error)}
        logger.warning("What is left of a log could not be removed from the storage", extra=extra)
        return
    SealedLog.objects.filter(pk=draft.pk).delete()


# ---- many at once, and what was left ----------------------------------------------------------------------


def is_long(attempt: Attempt) -> bool:
    """Whether its log is worth a task of its own: most logs are short, and a task costs more than to seal one."""
    return attempt.log_size > LONG_BYTES


def seal_all(*, seconds: float) -> int:
    """Seal what is `unsealed` and remove what nobody needs, for about so long; how many logs were sealed."""
    deadline = time.monotonic() + seconds
    for draft in _left()[:_MOST]:
        _discard(draft)
    sealed, before = 0, -1
    while sealed > before:  # until a turn gets nowhere
        before = sealed
        for attempt_id in unsealed(most=_MOST):
            if time.monotonic() > deadline:
                return sealed
            sealed += seal_log(attempt_id)
    return sealed


def has_work() -> bool:
    """Whether there is anything for `seal_all` to do."""
    return _left().exists() or bool(unsealed(most=1))


def unsealed(*, most: int) -> list[uuid.UUID]:
    """Attempts that have ended with rows, that nobody seals just now, and that have no task of their own."""
    now = timezone.now()
    begun = SealedLog.objects.filter(begun_at__gt=now - BUSY, published_at__isnull=True)
    busy = begun.filter(attempt__isnull=False)
    shared = Q(attempt__log_size__lte=LONG_BYTES) | Q(attempt__completed_at__lt=now - GRACE)
    rows = LogChunk.objects.filter(shared, offset=0, attempt__status__in=ATTEMPT_TERMINAL)
    return list(rows.exclude(attempt__in=busy.values("attempt")).values_list("attempt", flat=True)[:most])


def _left() -> QuerySet[SealedLog]:
    """What nobody reads and nobody can be writing: drafts of some age, whose attempts may be gone, and the logs of
    attempts that are gone."""
    abandoned = Q(published_at__isnull=True, begun_at__lt=timezone.now() - BUSY)
    orphaned = Q(published_at__isnull=False, attempt__isnull=True)
    return SealedLog.objects.filter(abandoned | orphaned).order_by("begun_at")
