"""The runner: one a machine. It dispatches, follows every server whose lease it holds, and sweeps.

It lives inside one task of the cluster `runner` for up to ten minutes and may be killed at any moment: whoever
comes next goes on from the rows. It is not in charge of its own restart (the supervisor is).
"""

import logging
import os
import threading
import time
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections

from buildboard.core.doorbell import Listener
from buildboard.core.heartbeat import beat, end_beat, last_beat
from buildboard.core.machine import machine_id, process_identity
from jobs.execution.checking import CheckDesk
from jobs.execution.dispatch import Dispatcher
from jobs.execution.follow import ServerFollower
from jobs.execution.requests import Requests
from jobs.execution.sweep import sweep
from jobs.queue import predictions
from servers.checks import BELL as CHECKS_BELL
from servers.leases import (
    LEASE_SECONDS,
    RENEW_SECONDS,
    HeldLease,
    acquire_leases,
    release_leases,
    renew_lease,
)
from servers.models import BuildServer

logger = logging.getLogger(__name__)

HEARTBEAT = "runner"
BEAT_SECONDS = 2.0
DEAD_SECONDS = 10.0
LOOK_SECONDS = 1.0
GAP_SECONDS = 0.02  # between two looks: every build rings several bells, and one look answers all that came
SWEEP_SECONDS = 10.0


def live_runner_here() -> bool:
    """Whether another live runner works on this machine: a fresh heartbeat of a process that is still the same."""
    found = last_beat(HEARTBEAT, machine=machine_id())
    if found is None or found.pid == os.getpid():
        return False
    return found.age_seconds < DEAD_SECONDS and found.has_process


class Runner:
    """Everything that one runner holds. `run` blocks; `stop` may be called from a signal handler."""

    def __init__(self) -> None:
        self.id = f"{machine_id()[:16]}:{os.getpid()}:{process_identity(os.getpid())}"
        self._stopping = threading.Event()
        self._leases: dict[UUID, HeldLease] = {}
        self._followers: dict[UUID, ServerFollower] = {}
        self._dispatcher = Dispatcher()
        self._checks = CheckDesk(machine=machine_id())
        self._looked_at = time.monotonic()
        self._explained_at = 0.0
        self._dispatched_at = 0.0
        self._swept_at = 0.0
        self._forecasts = Requests("jobs.tasks.foresee_queue", has_work=predictions.is_due)
        self._foreseen_at = 0.0
        self.ran_out = False

    def stop(self) -> None:
        """End within a second; builds go on."""
        self._stopping.set()

    def run(self, *, seconds: float) -> None:
        """Work until `seconds` have passed or `stop` is called, then give the leases up."""
        until = time.monotonic() + seconds
        keeper = threading.Thread(target=self._keep_alive, name="runner-heartbeat", daemon=True)
        with Listener() as listener:
            self._beat()
            keeper.start()
            try:
                while not self._stopping.is_set() and time.monotonic() < until:
                    self._look(listener.wait(LOOK_SECONDS))
                self.ran_out = not self._stopping.is_set()
            finally:
                self._stopping.set()
                self._hand_over()

    # ---- one look ---------------------------------------------------------------------------------------

    def _look(self, bells: set[str]) -> None:
        self._looked_at = time.monotonic()
        if f"stop:{machine_id()}" in bells:
            self._stopping.set()
            return
        for server_id, follower in list(self._followers.items()):  # another thread adds and removes them
            if f"probe:{server_id}" in bells:
                follower.probe_soon()
            elif f"server:{server_id}" in bells:
                follower.wake()
        due = self._is_due()
        try:
            if due or CHECKS_BELL in bells:
                self._checks.look()
            if bells and "queue" not in bells and not due:
                return
            self._stopping.wait(max(0.0, self._dispatched_at + GAP_SECONDS - time.monotonic()))
            self._dispatch(explain=due or not bells)
            self._dispatched_at = time.monotonic()
            if time.monotonic() - self._swept_at > SWEEP_SECONDS:
                self._swept_at = time.monotonic()
                sweep()
            if time.monotonic() - self._foreseen_at > predictions.EVERY_SECONDS:
                self._foreseen_at = time.monotonic()
                self._forecasts.make()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The database did not answer: %s", error, extra={"action": "runner"})
            connections["default"].close()
            self._stopping.wait(LOOK_SECONDS)

    def _is_due(self) -> bool:
        return time.monotonic() - self._explained_at > LOOK_SECONDS

    def _dispatch(self, *, explain: bool) -> None:
        if explain:
            self._explained_at = time.monotonic()
        for attempt in self._dispatcher.dispatch(explain=explain):
            follower = self._followers.get(attempt.server_id) if attempt.server_id else None
            if follower is not None:
                follower.wake()

    # ---- leases and heartbeat, in a thread of their own ----------------------------------------------------

    def _keep_alive(self) -> None:
        """Beat and hold the leases, as long as the main thread still looks."""
        renewed_at = 0.0
        try:
            while not self._stopping.is_set():
                try:
                    if time.monotonic() - self._looked_at < 3 * DEAD_SECONDS:
                        self._beat()
                    if time.monotonic() - renewed_at >= RENEW_SECONDS:
                        self._hold_leases()
                        renewed_at = time.monotonic()
                except (DatabaseError, InterfaceError) as error:
                    logger.warning("The database did not answer: %s", error, extra={"action": "runner"})
                    connections["default"].close()
                self._stopping.wait(BEAT_SECONDS)
        finally:
            connections.close_all()

    def _beat(self) -> None:
        beat(HEARTBEAT, data={"runner": self.id})

    def _hold_leases(self) -> None:
        for server_id, lease in list(self._leases.items()):
            if not renew_lease(lease, runner=self.id):
                self._followers[server_id].stop()
                del self._leases[server_id], self._followers[server_id]
            elif not self._followers[server_id].is_alive():  # it failed, and said so
                self._follow(lease)
        for lease in acquire_leases(self.id, machine=machine_id()):
            self._follow(lease)

    def _follow(self, lease: HeldLease) -> None:
        name = BuildServer.objects.filter(pk=lease.server_id).values_list("name", flat=True).first()
        if name is None:
            return  # deleted just now
        follower = ServerFollower(lease.server_id, name=name)
        self._leases[lease.server_id] = lease
        self._followers[lease.server_id] = follower
        follower.start()

    def _hand_over(self) -> None:
        """Stop following and free the leases, so that the next runner need not wait for them to run out."""
        followers = list(self._followers.values())
        for follower in followers:
            follower.stop()
        until = time.monotonic() + 1.0
        for follower in followers:
            follower.join(max(0.0, until - time.monotonic()))
        try:
            release_leases(self.id)
            end_beat(HEARTBEAT)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("Leases run out by themselves in %s s: %s", LEASE_SECONDS, error)
