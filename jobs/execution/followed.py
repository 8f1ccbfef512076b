"""One attempt that is being followed: its row, its provider, its masker, and how far its log was taken in."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs import lifecycle
from jobs.execution.start import limits_of, masked_values_of
from jobs.logs import limit, store
from jobs.logs.masking import Masker, build_masker
from jobs.models import Attempt
from jobs.providers.base import BLOCK_BYTES, BuildProvider, Limits, Metadata, Report, build_id_of
from jobs.states import AttemptStatus, Phase

CANCEL_AGAIN_SECONDS = 5.0


class Followed:
    """What a follower holds of one attempt. The row is read anew each round: it is the truth, this is not."""

    def __init__(self, attempt: Attempt, provider: BuildProvider) -> None:
        self.attempt = attempt
        self.provider = provider
        self.build_id = build_id_of(provider.name, identifier=str(attempt.pk))
        self.started = attempt.status == AttemptStatus.RUNNING
        self.sent_before = attempt.submitted_at is not None
        self.send_after = 0.0  # on the monotonic clock: when a start that was not answered is sent again
        self.metadata: Metadata | None = None
        self._cancel_sent = 0.0
        self._tail_from: int | None = None  # set once the log is at its limit

    def renew(self, attempt: Attempt, provider: BuildProvider) -> bool:
        """Take the row as it is now, and the way there; whether somebody watches who did not when it was read last.

        The build's secrets do not change.
        """
        was_watched = self.watched
        self.attempt = attempt
        self.provider = provider
        return self.watched and not was_watched

    @property
    def limits(self) -> Limits:
        """The job's time limits."""
        return limits_of(self.attempt.job)

    @cached_property
    def masker(self) -> Masker:
        """Masks the secrets that this very attempt was given, whoever follows it."""
        return build_masker(masked_values_of(self.attempt))

    @property
    def cancel_wished(self) -> bool:
        """Whether somebody asked for the end."""
        return self.attempt.job.cancel_requested_at is not None

    @property
    def cancel_due(self) -> bool:
        """Whether the wish is to be sent (again): a call may have been lost."""
        return self.cancel_wished and time.monotonic() - self._cancel_sent > CANCEL_AGAIN_SECONDS

    def send_cancel(self) -> None:
        """Pass the wish on; the build's own end confirms it."""
        self.provider.cancel(self.build_id)
        self._cancel_sent = time.monotonic()

    @property
    def watched(self) -> bool:
        """Whether a browser shows this log now."""
        until = self.attempt.watched_until
        return until is not None and until > timezone.now()

    @contextmanager
    def one_transaction(self) -> Iterator[None]:
        """What is kept meanwhile is in the database when this ends; an error takes it back there and here.

        Else a build whose end failed would look as if all of its log were stored, though it is not any more.
        """
        before = self.attempt.source_read, self.attempt.log_size, self._tail_from
        try:
            with transaction.atomic():
                yield
        except BaseException:
            self.attempt.source_read, self.attempt.log_size, self._tail_from = before
            raise

    def keep(self, report: Report) -> bool:
        """Store what a report brought: phase, commit, log bytes. True when bytes came.

        Bytes that are kept already, by this or by another follower, are not kept twice. Behind a gap nothing is:
        the next round reads how far it is.
        """
        self._keep_phase(report)
        known = self.offset - report.offset
        if not 0 <= known <= len(report.data):
            return False
        if known:
            report = replace(report, offset=self.offset, data=report.data[known:])
        whole = report.offset + len(report.data) >= report.size
        ended = report.status.is_final and whole
        if self._tail_from is not None:
            return ended and self._close(report)
        room = settings.MAX_LOG_BYTES
        head = limit.head(self.masker, report.data, log_size=self.attempt.log_size, limit=room, final=ended)
        if head.consumed and not self._append(head.kept, head.consumed):
            return False
        if head.full:  # only now: what follows is not read any more
            self._tail_from = self._next_tail(report)
        return bool(head.consumed)

    @property
    def offset(self) -> int:
        """Where to read the source's log from: behind what is decided, or, past the limit, near its end."""
        return self.attempt.source_read if self._tail_from is None else self._tail_from

    def reads_on_at(self, report: Report) -> int | None:
        """Where to read the log on while this report is being kept; None when it brought all, or fills the log.

        What masking may hold back is read once more, so a short answer is none to read on from.
        """
        fills = len(report.data) >= settings.MAX_LOG_BYTES - self.attempt.log_size
        short = len(report.data) < self.masker.longest + BLOCK_BYTES
        if fills or short or not self.continues(report):
            return None
        return report.reads_on_at(self.masker.longest)

    def continues(self, report: Report) -> bool:
        """Whether a report can be kept: nothing is missing before it, and the log is not at its limit."""
        return report.offset <= self.offset and self._tail_from is None

    def _close(self, report: Report) -> bool:
        """Past the limit, at the end: one marker and the last bytes, in one append over all the rest."""
        if self._tail_from != self._next_tail(report):
            self._tail_from = self._next_tail(report)
            return False  # the next poll brings the end
        source_read = self.attempt.source_read
        closing = limit.closing(self.masker, report.data, source_read=source_read, length=report.size)
        return self._append(closing.kept, closing.consumed, omitted=closing.omitted)

    def _next_tail(self, report: Report) -> int:
        return limit.tail_start(self.masker, source_read=self.attempt.source_read, length=report.size)

    def _append(self, kept: bytes, consumed: int, *, omitted: int = 0) -> bool:
        appended = store.append(
            self.attempt.pk,
            lease_id=self.attempt.lease_id,
            source_read=self.attempt.source_read,
            log_size=self.attempt.log_size,
            kept=kept,
            consumed=consumed,
            omitted=omitted,
        )
        if appended is None:
            return False
        self.attempt.source_read, self.attempt.log_size = appended.source_read, appended.log_size
        return True

    def has_all(self, report: Report) -> bool:
        """Whether the whole log of a finished build is stored."""
        return self.attempt.source_read >= report.size

    def _keep_phase(self, report: Report) -> None:
        commit = report.commit if report.commit != self.attempt.resolved_commit else ""
        # What reports has begun, though the row in hand may be of before that.
        known = Phase.CHECKOUT if self.attempt.phase == Phase.CONNECTING else Phase(self.attempt.phase)
        later = known == Phase.CHECKOUT and report.phase == Phase.BUILDING
        if later or commit:
            wanted = Phase.BUILDING if later else known
            lifecycle.set_phase(self.attempt, phase=wanted, resolved_commit=commit)
            self.attempt.phase = wanted
            self.attempt.resolved_commit = report.commit
