"""Notes which server, and which build on it, can be read now, and gives up what was not for too long.

Not reachable is a state of the link, not an outcome: only past the time limit of a build, and a margin, it counts
as lost. It is not in charge of asking (polling.py).
"""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from queue import Empty, SimpleQueue
from uuid import UUID

from django.utils import timezone

from jobs.execution import collect
from jobs.execution.followed import Followed
from jobs.execution.outcome import judge_lost
from jobs.models import Attempt
from servers import health
from servers.transport import HostKeyProblem

LOST_MARGIN_SECONDS = 600


class Reach:
    """What one follower knows of the way to its server."""

    def __init__(self, server_id: UUID, *, wake: Callable[[], None]) -> None:
        self._server_id = server_id
        self._wake = wake
        self._heard: SimpleQueue[HostKeyProblem] = SimpleQueue()
        self.reached = False

    def hear(self, error: BaseException) -> None:
        """Another thread got this error: one about whose key it is does not wait for the next probe."""
        problem = _host_key_problem(error)
        if problem is not None:
            self._heard.put(problem)
            self._wake()

    def look(self) -> None:
        """Tell what other threads have heard."""
        with contextlib.suppress(Empty):
            while True:
                health.note_failure(self._server_id, error=self._heard.get_nowait())

    def note_reached(self) -> bool:
        """The server answered; whether it is news."""
        news = not self.reached
        if news:
            health.note_reached(self._server_id)
            Attempt.objects.active().filter(
                server_id=self._server_id, unreachable_since__isnull=False
            ).update(unreachable_since=None)
            self.reached = True
        return news

    def note_unreachable(self, error: Exception) -> None:
        """It did not, so nothing is known now of any build there."""
        self.reached = False
        problem = _host_key_problem(error)
        if problem is not None:
            health.note_failure(self._server_id, error=problem)
        else:
            health.note_unreachable(self._server_id, reason=str(error))
        Attempt.objects.active().filter(server_id=self._server_id, unreachable_since__isnull=True).update(
            unreachable_since=timezone.now()
        )


def _host_key_problem(error: BaseException) -> HostKeyProblem | None:
    """What a provider's error stands for, if the server showed a key that is not the accepted one."""
    cause = error.__cause__ or error
    return cause if isinstance(cause, HostKeyProblem) else None


def note_readable(one: Followed) -> None:
    """This build answered."""
    if one.attempt.unreachable_since is not None:
        Attempt.objects.active().filter(pk=one.attempt.pk).update(unreachable_since=None)
        one.attempt.unreachable_since = None


def note_unreadable(one: Followed) -> None:
    """The server answers, but not about this build."""
    if one.attempt.unreachable_since is None:
        one.attempt.unreachable_since = timezone.now()
        Attempt.objects.active().filter(pk=one.attempt.pk).update(
            unreachable_since=one.attempt.unreachable_since
        )
    give_up_if_long_gone(one)


def give_up_if_long_gone(one: Followed) -> None:
    """Presume it lost when nothing was heard of it for too long; what still runs there is ended at its return."""
    since = one.attempt.unreachable_since or timezone.now()
    limit = timedelta(seconds=one.limits.timeout_seconds + LOST_MARGIN_SECONDS)
    began = one.attempt.started_at or one.attempt.created_at
    now = timezone.now()
    if (
        one.limits.timeout_seconds
        and now > began + limit
        and now > since + timedelta(seconds=LOST_MARGIN_SECONDS)
    ):
        message = f"{one.attempt.server_name} was not reachable past the build's time limit; presumed lost."
        collect.end(one, judge_lost(phase=one.attempt.phase, message=message))
