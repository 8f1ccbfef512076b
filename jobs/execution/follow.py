"""Follows the active attempts of one server: starts them, reads their logs, ends them. One thread a server.

Two followers at once, or one killed anywhere, lose and repeat nothing: starts are idempotent by attempt,
offsets move by compare-and-set, ends are guarded by the lease id. It never invents a result.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.utils import timezone

from jobs import lifecycle
from jobs.errors import JobError
from jobs.execution import collect
from jobs.execution.followed import Followed
from jobs.execution.marker import CrashMarker
from jobs.execution.outcome import judge_lost
from jobs.execution.reattach import Tally
from jobs.execution.start import CannotStart, change_of, prepare_start
from jobs.lifecycle import Outcome
from jobs.models import Attempt, BuildJob
from jobs.providers.base import BuildProvider, ProviderError, ProviderRefused, ProviderUnreachable, Report
from jobs.providers.registry import connect
from jobs.states import AttemptStatus, ErrorCategory
from servers import health
from servers.connections import open_client
from servers.models import BuildServer
from servers.transport import HelperRefused, TransportError

logger = logging.getLogger(__name__)

FAST_SECONDS = 0.1
SLOW_SECONDS = 2.0
IDLE_SECONDS = 1.0
EAGER_SECONDS = 3.0
# Of all builds of a server in one reply, which is held in memory; and of one build: at most, so that commits stay
# short, and at least, so that the end of a log over its limit fits, whatever its secrets are.
REPLY_BYTES = 16 << 20
MOST_BYTES = 8 << 20
LEAST_BYTES = 1 << 20
MOST_CRASHES = 3
LOST_MARGIN_SECONDS = 600
RELEASE_DELAY_SECONDS = 10
UNANSWERED_SECONDS = 60
FORGET_AGAIN_SECONDS = 30
PARALLEL_STARTS = 4
PROBE_SECONDS = 60


class ServerFollower(threading.Thread):
    """One server's thread. `wake` makes it look at once; `stop` ends it within a second, builds going on."""

    def __init__(self, server_id: UUID, *, name: str) -> None:
        super().__init__(name=f"follow-{name}", daemon=True)
        self.server_id = server_id
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._followed: dict[UUID, Followed] = {}
        self._providers: dict[str, BuildProvider] = {}
        self._pace = FAST_SECONDS
        self._eager_until = 0.0
        self._forget_after = 0.0
        self._probe_after = 0.0
        self._probing: Future[dict[str, str] | None] | None = None
        self._reached = False
        self._behind = False
        self._marker = CrashMarker(server_id)
        self._crashed = self._marker.left_by_last()
        self._tally: Tally | None = Tally(server_id)
        self._starts = ThreadPoolExecutor(PARALLEL_STARTS + 1, thread_name_prefix=f"start-{name}")

    def wake(self) -> None:
        """Something of this server changed: look now."""
        self._bell.set()

    def stop(self) -> None:
        """End soon; builds go on."""
        self._stopping.set()
        self._bell.set()

    def run(self) -> None:
        """Until stopped: one round after the other; a database that is away only delays."""
        try:
            while not self._stopping.is_set():
                self._bell.clear()
                try:
                    self.round()
                except (DatabaseError, InterfaceError) as error:
                    logger.warning("The database did not answer: %s", error, extra={"action": "follow"})
                    connections["default"].close()
                    self._stopping.wait(1.0)
                    continue
                self._bell.wait(self._wait_seconds())
        finally:
            self._starts.shutdown(wait=False, cancel_futures=True)
            for provider in self._providers.values():
                provider.close()
            self._marker.close()
            connections.close_all()

    def round(self) -> None:
        """Look at the attempts of this server once, and do what each needs next."""
        self._behind = False
        self._probe()
        self._refresh()
        self._start()
        self._poll()
        self._forget()

    def _probe(self) -> None:
        """Ask the server what it is and has, in a thread of its own: a slow compiler must not delay a log."""
        if self._probing is not None and self._probing.done():
            facts, self._probing = self._probing.result(), None
            if facts is not None:
                health.apply_probe(self.server_id, facts=facts)
        if self._probing is None and time.monotonic() >= self._probe_after:
            self._probe_after = time.monotonic() + PROBE_SECONDS
            server = BuildServer.objects.get(pk=self.server_id)
            self._probing = self._starts.submit(_ask_probe, server)

    # ---- what there is to do ----------------------------------------------------------------------------

    def _refresh(self) -> None:
        rows = Attempt.objects.active().filter(server_id=self.server_id).select_related("job", "server")
        attempts = {attempt.pk: attempt for attempt in rows}
        for gone in self._followed.keys() - attempts.keys():
            del self._followed[gone]
        for attempt_id, attempt in attempts.items():
            if attempt_id in self._followed:
                self._followed[attempt_id].renew(attempt)
            else:
                self._followed[attempt_id] = Followed(attempt, self._provider(attempt.job.provider, attempt))
                self._eager_until = time.monotonic() + EAGER_SECONDS

    def _provider(self, name: str, attempt: Attempt) -> BuildProvider:
        if name not in self._providers:
            server = attempt.server or BuildServer.objects.get(pk=self.server_id)
            self._providers[name] = connect(name, server=server)
        return self._providers[name]

    def _start(self) -> None:
        """Send the starts that are not answered yet, several at once; only this thread writes rows."""
        claimed = [one for one in list(self._followed.values()) if not one.started]
        ready = [one for one in claimed if self._guarded(one, self._prepare) and one.metadata]
        for one, error in zip(ready, self._starts.map(_send_start, ready), strict=True):
            self._guarded(one, partial(self._take_answer, error=error))

    def _prepare(self, one: Followed) -> None:
        """Gather what is to be sent; a job that nobody wants any more is not sent at all."""
        if one.cancel_wished and (not one.sent_before or one.provider.cancel(one.build_id, claim=True)):
            outcome = Outcome(
                AttemptStatus.CANCELLED, None, ErrorCategory.CANCELLED, "Cancelled before it started"
            )
            lifecycle.finish_attempt(one.attempt, outcome=outcome)
            self._followed.pop(one.attempt.pk, None)
        elif one.metadata is None or one.sent_before:
            one.metadata = prepare_start(one.attempt)

    def _take_answer(self, one: Followed, *, error: ProviderError | None) -> None:
        """A start was answered, refused, or not answered; only what surely runs not is given back."""
        if error is None:
            self._note_reached()
            lifecycle.start_attempt(one.attempt)
            one.started = True
        elif isinstance(error, ProviderRefused) or (error.nothing_sent and not one.sent_before):
            later = timezone.now() + timedelta(seconds=RELEASE_DELAY_SECONDS)
            lifecycle.release_attempt(one.attempt, reason=str(error), not_before=later)
            self._followed.pop(one.attempt.pk, None)
        else:
            one.sent_before = True
            self._give_back_if_never_started(one)
        if isinstance(error, ProviderUnreachable):
            self._note_unreachable(error)

    def _give_back_if_never_started(self, one: Followed) -> None:
        """An unanswered start is repeated; after a minute its server must say that it never began."""
        sent_at = one.attempt.submitted_at or timezone.now()
        if timezone.now() - sent_at > timedelta(seconds=UNANSWERED_SECONDS) and one.provider.cancel(
            one.build_id, claim=True
        ):
            lifecycle.release_attempt(
                one.attempt, reason=f"{one.attempt.server_name} did not answer the start."
            )
            self._followed.pop(one.attempt.pk, None)

    def _poll(self) -> None:
        by_provider: dict[str, list[Followed]] = {}
        for one in self._followed.values():
            if one.started:
                by_provider.setdefault(one.attempt.job.provider, []).append(one)
        for name, group in by_provider.items():
            self._poll_group(self._providers[name], group)

    def _poll_group(self, provider: BuildProvider, group: list[Followed]) -> None:
        for one in group:
            if one.cancel_due:
                self._guarded(one, Followed.send_cancel)
        try:
            asked = [(one.build_id, one.offset) for one in group]
            reports = provider.poll(
                asked, max_bytes=max(LEAST_BYTES, min(MOST_BYTES, REPLY_BYTES // len(asked)))
            )
        except ProviderUnreachable as error:
            self._note_unreachable(error)
            for one in group:
                self._guarded(one, self._give_up_if_long_gone)
            return
        self._note_reached()
        known = {one.build_id: one for one in group}
        for report in reports:
            self._guarded(known[report.build_id], partial(self._take_in, report=report))
        if self._tally is not None:
            self._tally.report()
            self._tally = None

    def _take_in(self, one: Followed, *, report: Report) -> None:
        """Keep what one report brought; at its end, the outcome."""
        if self._tally is not None:
            self._tally.count(one, report)
        if not report.exists:
            self._vanished(one)
            return
        if one.keep(report):
            if one.attempt.job.follow_crashes:
                BuildJob.objects.filter(pk=one.attempt.job_id).update(follow_crashes=0)
            self._eager_until = time.monotonic() + EAGER_SECONDS
            self._behind = self._behind or not one.has_all(report)
        if one.watched:
            self._eager_until = max(self._eager_until, time.monotonic() + 1)
        if report.status.is_final and one.has_all(report):
            collect.finish(one, report)
            self._bell.set()  # its slot is free, its directory can go

    def _vanished(self, one: Followed) -> None:
        message = f"{one.attempt.server_name} knows nothing of this build any more; its directory is gone."
        collect.end(one, judge_lost(phase=one.attempt.phase, message=message))

    def _give_up_if_long_gone(self, one: Followed) -> None:
        since = one.attempt.unreachable_since or timezone.now()
        limit = timedelta(seconds=one.limits.timeout_seconds + LOST_MARGIN_SECONDS)
        began = one.attempt.started_at or one.attempt.created_at
        now = timezone.now()
        if (
            one.limits.timeout_seconds
            and now > began + limit
            and now > since + timedelta(seconds=LOST_MARGIN_SECONDS)
        ):
            message = (
                f"{one.attempt.server_name} was not reachable past the build's time limit; presumed lost."
            )
            collect.end(one, judge_lost(phase=one.attempt.phase, message=message))

    def _forget(self) -> None:
        """Remove from the server what finished attempts left there; a failure is tried again later."""
        if time.monotonic() < self._forget_after:
            return
        rows = Attempt.objects.filter(
            server_id=self.server_id, cleaned_at__isnull=True, completed_at__isnull=False
        )
        for attempt in rows.select_related("job", "server").order_by("completed_at")[:20]:
            try:
                collect.forget(attempt, self._provider(attempt.job.provider, attempt))
            except ProviderError as error:
                logger.info("%s", error, extra={"action": "forget", "attempt": str(attempt.pk)})
                self._forget_after = time.monotonic() + FORGET_AGAIN_SECONDS
                return

    # ---- guards -----------------------------------------------------------------------------------------

    def _guarded(self, one: Followed, act: Callable[[Followed], object]) -> bool:
        """Do one thing for one attempt; what goes wrong there never stops the others. Three times: set aside."""
        self._marker.begin(one.attempt.pk)
        try:
            if self._crashed == one.attempt.pk:
                self._crashed = None
                self._count_crash(one, "its process ended")
            act(one)
        except (OperationalError, InterfaceError):  # the database is away: no fault of this attempt
            raise
        except CannotStart as error:
            outcome = Outcome(AttemptStatus.FAILED, None, error.category, str(error))
            lifecycle.finish_attempt(one.attempt, outcome=outcome)
            self._followed.pop(one.attempt.pk, None)
            return False
        except JobError as error:  # another holder was faster: the next round reads how things are
            logger.info("%s", error, extra={"action": "follow", "attempt": str(one.attempt.pk)})
            self._followed.pop(one.attempt.pk, None)
            return False
        except ProviderUnreachable as error:
            self._note_unreachable(error)
            return False
        except Exception as error:  # the outermost frame of following this attempt
            logger.exception("Following failed", extra={"action": "follow", "attempt": str(one.attempt.pk)})
            self._count_crash(one, f"{type(error).__name__}: {error}")
            return False
        finally:
            self._marker.end()
        return True

    def _count_crash(self, one: Followed, error: str) -> None:
        """Count a failure of the board's own against this job; progress in between takes them back."""
        crashes = one.attempt.job.follow_crashes + 1
        BuildJob.objects.filter(pk=one.attempt.job_id).update(follow_crashes=crashes)
        if crashes >= MOST_CRASHES:
            message = f"The board failed {crashes} times while it followed this build: {error}"
            one.send_cancel()
            outcome = Outcome(AttemptStatus.FAILED, None, ErrorCategory.SYSTEM, one.masker.mask_text(message))
            lifecycle.finish_attempt(one.attempt, outcome=outcome)
            self._followed.pop(one.attempt.pk, None)

    def _note_reached(self) -> None:
        if not self._reached:
            health.note_reached(self.server_id)
            Attempt.objects.active().filter(server_id=self.server_id, unreachable_since__isnull=False).update(
                unreachable_since=None
            )
            self._reached = True

    def _note_unreachable(self, error: Exception) -> None:
        self._reached = False
        health.note_unreachable(self.server_id, reason=str(error))
        Attempt.objects.active().filter(server_id=self.server_id, unreachable_since__isnull=True).update(
            unreachable_since=timezone.now()
        )
        self._pace = SLOW_SECONDS

    def _wait_seconds(self) -> float:
        """0.1 s while bytes flow or somebody watches, backing off to 2 s; a second when there is nothing.

        None at all while a log is longer than what one reply brought.
        """
        if not self._followed:
            return IDLE_SECONDS
        if self._behind:
            return 0.0
        eager = time.monotonic() < self._eager_until and self._reached
        self._pace = FAST_SECONDS if eager else min(SLOW_SECONDS, self._pace * 1.5)
        return self._pace


def _ask_probe(server: BuildServer) -> dict[str, str] | None:
    """One probe, in a thread of the pool: no rows here. None when the server did not answer."""
    try:
        return open_client(server).probe()
    except (TransportError, HelperRefused) as error:
        logger.info("%s was not probed: %s", server.name, error, extra={"action": "probe"})
        return None


def _send_start(one: Followed) -> ProviderError | None:
    """Send one start, in a thread of the pool: no rows here."""
    if one.metadata is None:
        return None
    try:
        one.provider.trigger(change_of(one.attempt.job), one.metadata)
    except ProviderError as error:
        return error
    return None
