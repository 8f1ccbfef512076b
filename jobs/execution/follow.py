"""Follows the active attempts of one server: starts them, reads their logs, ends them. One thread a server.

Two followers at once, or one killed anywhere, lose and repeat nothing: starts are idempotent by attempt,
offsets move by compare-and-set, ends are guarded by the lease id. It never invents a result.
"""

import logging
import threading
import time
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections
from django.utils import timezone

from jobs import lifecycle
from jobs.execution import collect
from jobs.execution.collecting import Collector
from jobs.execution.errands import Errands
from jobs.execution.followed import Followed
from jobs.execution.guard import Guard
from jobs.execution.outcome import judge_lost
from jobs.execution.polling import Answer, Poller
from jobs.execution.probing import Prober
from jobs.execution.reach import Reach, give_up_if_long_gone, note_readable, note_unreadable
from jobs.execution.reattach import Tally
from jobs.execution.start import prepare_start
from jobs.execution.upkeep import Upkeep
from jobs.models import Attempt, BuildJob
from jobs.outcomes import Outcome
from jobs.providers.base import (
    BuildProvider,
    ProviderError,
    ProviderGarbled,
    ProviderRefused,
    ProviderUnreachable,
    Report,
)
from jobs.providers.registry import UnknownProvider, connect
from jobs.states import AttemptStatus, ErrorCategory
from servers.connections import forget_connections, way_to
from servers.models import BuildServer
from servers.starts import note_refused_start

logger = logging.getLogger(__name__)

FRESH_SECONDS = 0.04
LIVE_SECONDS = 0.05
FAST_SECONDS = 0.1
SLOW_SECONDS = 2.0
IDLE_SECONDS = 1.0
EAGER_SECONDS = 3.0
SMALL_BYTES = 256 << 10  # taken in with what else a report says, in one transaction
RELEASE_DELAY_SECONDS = 10
UNANSWERED_SECONDS = 60


class ServerFollower(threading.Thread):
    """One server's thread. `wake` makes it look at once; `stop` ends it within a second, builds going on."""

    def __init__(self, server_id: UUID, *, name: str) -> None:
        super().__init__(name=f"follow-{name}", daemon=True)
        self.server_id = server_id
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._followed: dict[UUID, Followed] = {}
        self._left_alone: set[UUID] = set()
        self._providers: dict[str, BuildProvider] = {}
        self._way: tuple[object, ...] = ()
        self._pace = FAST_SECONDS
        self._poll_at = 0.0
        self._eager_until = 0.0
        self._live_until = 0.0
        self._behind = False
        self._guard = Guard(
            server_id, self._followed, slow_down=self._slow_down, note_unreachable=self._note_unreachable
        )
        self._tally: Tally | None = Tally(server_id)
        self._reach = Reach(server_id, wake=self.wake)
        self._errands = Errands(name, wake=self.wake, hear=self._reach.hear)
        self._collector = Collector(name, wake=self.wake, hear=self._reach.hear)
        self._prober = Prober(server_id, name=name)
        self._upkeep = Upkeep(server_id, self._errands)
        self._poller = Poller(name, wake=self.wake)

    def probe_soon(self) -> None:
        """Something of the server changed, or somebody wants to know: ask it what it is and has."""
        self._prober.hurry()
        self.wake()

    def wake(self) -> None:
        """Something of this server changed: look now."""
        self._bell.set()

    def stop(self) -> None:
        """End soon; builds go on."""
        self._stopping.set()
        self._bell.set()

    def close(self, *, wait: bool = False) -> None:
        """Begin nothing more in other threads."""
        self._errands.close(wait=wait)
        self._poller.close(wait=wait)
        self._prober.close()
        self._collector.close()

    def run(self) -> None:
        """Until stopped: one round after the other; a database that is away only delays.

        What is not foreseen ends the thread: it is told here, and the runner has another one begin anew.
        """
        try:
            while not self._stopping.is_set():
                self._bell.clear()
                try:
                    self.round(poll=time.monotonic() >= self._poll_at)
                except (DatabaseError, InterfaceError) as error:
                    logger.warning("The database did not answer: %s", error, extra={"action": "follow"})
                    connections["default"].close()
                    self._stopping.wait(1.0)
                    continue
                self._bell.wait(max(0.0, self._poll_at - time.monotonic()))
        except Exception:  # the outermost frame of this thread
            extra = {"action": "follow", "server": str(self.server_id)}
            logger.exception("Following a server failed; another thread goes on with it", extra=extra)
        finally:
            self.close()
            self._close_providers()
            forget_connections(self.server_id)  # another runner's turn; what waits for an answer here ends
            self._guard.close()
            connections.close_all()

    def round(self, *, poll: bool = True) -> None:
        """Look at the attempts of this server once, and do what each needs next.

        Without `poll` logs and ends wait for their time: a bell is mostly an echo of what was written here.
        """
        self._prober.look()
        self._reach.look()
        self._upkeep.look()
        self._refresh()
        self._start()
        self._send_cancels()
        self._take_answers(self._poller.late_answers(self._followed))
        self._collector.finish_ended(self._followed, guarded=self._guard)
        if poll:
            began = time.monotonic()
            self._behind = False
            self._poll()
            self._poll_at = time.monotonic() + self._wait_seconds(took=time.monotonic() - began)
        self._upkeep.forget(self._provider)

    # ---- what there is to do ----------------------------------------------------------------------------

    def _refresh(self) -> None:
        rows = Attempt.objects.active().filter(server_id=self.server_id)
        rows = rows.select_related("job", "server", "server__jump_host")
        # What probes found is long, and is read as often as builds change.
        attempts = {one.pk: one for one in rows.defer("server__facts", "server__jump_host__facts")}
        for gone in self._followed.keys() - attempts.keys():
            del self._followed[gone]
        providers: dict[str, BuildProvider] = {}  # all are of one server, whose row was read once
        for attempt_id, attempt in attempts.items():
            name = attempt.job.provider
            try:
                provider = providers[name] = providers.get(name) or self._provider(name, attempt)
            except UnknownProvider as error:
                self._leave_alone(attempt, error)
                continue
            if attempt_id in self._followed:
                if self._followed[attempt_id].renew(attempt, provider):
                    self._hurry()
            else:
                self._followed[attempt_id] = Followed(attempt, provider)
                self._eager_until = time.monotonic() + EAGER_SECONDS

    def _leave_alone(self, attempt: Attempt, error: UnknownProvider) -> None:
        """Its provider was taken out: what was never sent fails, of what was sent nothing is known."""
        if attempt.submitted_at is None:
            outcome = Outcome(AttemptStatus.FAILED, None, ErrorCategory.SYSTEM, str(error))
            lifecycle.finish_attempt(attempt, outcome=outcome)
        elif attempt.pk not in self._left_alone:
            self._left_alone.add(attempt.pk)
            logger.error("%s", error, extra={"action": "follow", "attempt": str(attempt.pk)})

    def _provider(self, name: str, attempt: Attempt) -> BuildProvider:
        """The provider for the server as its row is now: an accepted host key or another login key is another way."""
        server = attempt.server or BuildServer.objects.get(pk=self.server_id)
        way = way_to(server)
        if way != self._way:
            self._close_providers()
            self._way = way
        if name not in self._providers:
            self._providers[name] = connect(name, server=server)
        return self._providers[name]

    def _close_providers(self) -> None:
        for provider in self._providers.values():
            provider.close()
        self._providers.clear()

    def _start(self) -> None:
        """Send the starts that are not answered yet, several at once; only this thread writes rows."""
        for one in list(self._followed.values()):
            waits = not one.started and not self._errands.is_starting(one)
            if (
                waits
                and time.monotonic() >= one.send_after
                and self._guard(one, self._prepare)
                and one.metadata
            ):
                self._errands.start(one)
        for one, error in self._errands.answers():
            if self._followed.get(one.attempt.pk) is one:
                self._guard(one, partial(self._take_answer, error=error))

    def _prepare(self, one: Followed) -> None:
        """Gather what is to be sent; a job that nobody wants any more is not sent at all."""
        if one.cancel_wished and (not one.sent_before or one.provider.cancel(one.build_id, claim=True)):
            why = lifecycle.NEVER_STARTED
            outcome = Outcome(AttemptStatus.CANCELLED, None, ErrorCategory.CANCELLED, why)
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
            self._hurry()
        elif isinstance(error, ProviderRefused) and error.any_build:
            note_refused_start(self.server_id, reason=str(error))  # first: nothing is to be placed there
            lifecycle.release_attempt(one.attempt, reason=str(error))
            self._followed.pop(one.attempt.pk, None)
            self._prober.hurry()
        elif isinstance(error, ProviderRefused) or (error.nothing_sent and not one.sent_before):
            later = timezone.now() + timedelta(seconds=RELEASE_DELAY_SECONDS)
            lifecycle.release_attempt(one.attempt, reason=str(error), not_before=later)
            self._followed.pop(one.attempt.pk, None)
        else:
            one.sent_before = True
            one.send_after = time.monotonic() + SLOW_SECONDS
            self._give_back_if_never_started(one)
        if isinstance(error, ProviderUnreachable) and not isinstance(error, ProviderGarbled):
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

    def _send_cancels(self) -> None:
        for one in list(self._followed.values()):
            if one.started and one.cancel_due:
                self._guard(one, Followed.send_cancel)
                self._hurry()

    def _hurry(self) -> None:
        """Something begins or ends: look soon, then at a growing distance."""
        self._eager_until = time.monotonic() + EAGER_SECONDS
        self._pace = FRESH_SECONDS
        self._poll_at = min(self._poll_at, time.monotonic() + FRESH_SECONDS)

    def _poll(self) -> None:
        by_provider: dict[str, list[Followed]] = {}
        for one in self._followed.values():
            if one.started:
                by_provider.setdefault(one.attempt.job.provider, []).append(one)
        for name, group in by_provider.items():
            self._poll_group(self._providers[name], group)
        if self._tally is not None and self._tally.is_whole(self._followed.keys()):
            self._tally.report()
            self._tally = None

    def _poll_group(self, provider: BuildProvider, group: list[Followed]) -> None:
        try:
            answers = self._poller.ask(provider, group)
        except ProviderUnreachable as error:
            self._note_unreachable(error)
            for one in group:
                if not self._collector.is_collecting(one):  # its result is known
                    self._guard(one, give_up_if_long_gone)
            return
        self._note_reached()
        self._take_answers(answers)

    def _take_answers(self, answers: list[Answer]) -> None:
        for answer in answers:
            if answer.report is not None:
                self._guard(answer.one, partial(self._take_in, report=answer.report))
            else:
                extra = {"action": "poll", "attempt": str(answer.one.attempt.pk)}
                logger.warning("A build does not answer: %s", answer.error, extra=extra)
                if not self._collector.is_collecting(answer.one):  # its result is known
                    self._guard(answer.one, note_unreadable)

    def _take_in(self, one: Followed, *, report: Report) -> None:
        """Keep what one report brought; at its end, the outcome."""
        note_readable(one)
        if self._tally is not None:
            self._tally.count(one, report)
        if not report.exists:
            if not self._collector.is_collecting(one):  # its result is known
                self._vanished(one)
            return
        follows = self._poller.read_on(one, report)
        small = len(report.data) <= SMALL_BYTES
        with one.one_transaction() if small else nullcontext():
            phase = one.attempt.phase
            if one.keep(report):
                if one.attempt.job.follow_crashes:
                    BuildJob.objects.filter(pk=one.attempt.job_id).update(follow_crashes=0)
                self._eager_until = time.monotonic() + EAGER_SECONDS
                if one.watched:
                    self._live_until = self._eager_until
                self._behind = self._behind or not (follows or one.has_all(report))
            ended = report.status.is_final and one.has_all(report)
            collects = ended and collect.has_files(one, report)
            if ended and small and not collects:
                collect.finish(one, report)
                return
        if collects:
            self._collector.begin(one, report)
        elif ended:
            collect.finish(one, report)
        elif one.attempt.phase != phase:
            self._hurry()
        if one.watched:
            self._eager_until = max(self._eager_until, time.monotonic() + 1)

    def _vanished(self, one: Followed) -> None:
        message = f"{one.attempt.server_name} knows nothing of this build any more; its directory is gone."
        collect.end(one, judge_lost(phase=one.attempt.phase, message=message))

    # ---- reach and pace ----------------------------------------------------------------------------------

    def _note_reached(self) -> None:
        if self._reach.note_reached():
            self._upkeep.hurry()

    def _note_unreachable(self, error: Exception) -> None:
        if self._reach.reached:
            self._prober.hurry()  # which finds out more: another host key is an alarm
        self._reach.note_unreachable(error)
        self._slow_down()

    def _slow_down(self) -> None:
        self._pace = SLOW_SECONDS

    def _wait_seconds(self, *, took: float) -> float:
        """0.1 s while bytes flow or somebody watches, half of that when both, backing off to 2 s; a second when idle.

        Less where something begins, none at all while a log is longer than what one reply brought. `took` is how
        long the poll took: a machine that is busy is asked for a third of the time at most.
        """
        if not self._followed:
            return IDLE_SECONDS
        if self._behind:
            return 0.0
        now = time.monotonic()
        most = LIVE_SECONDS if now < self._live_until else FAST_SECONDS
        if now >= self._eager_until or not self._reach.reached:
            most = SLOW_SECONDS
        self._pace = min(most, self._pace * 1.5)
        return max(self._pace, 2 * took)
