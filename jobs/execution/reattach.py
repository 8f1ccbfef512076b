"""Says what a follower found when it took a server over: how many builds went on, ended meanwhile, or are gone."""

import logging
from collections.abc import Collection
from uuid import UUID

from buildboard.core.audit import record_event
from jobs.execution.followed import Followed
from jobs.models import Attempt
from jobs.providers.base import Report

logger = logging.getLogger(__name__)


class Tally:
    """Counts the attempts of one server that were running before this follower began."""

    def __init__(self, server_id: UUID) -> None:
        self._server_id = server_id
        self._before = set(
            Attempt.objects.active()
            .filter(server_id=server_id, started_at__isnull=False)
            .values_list("pk", flat=True)
        )
        self._found = {"re-attached": 0, "finished while away": 0, "lost": 0}

    def count(self, one: Followed, report: Report) -> None:
        """One report of the first answer."""
        if one.attempt.pk not in self._before:
            return
        self._before.discard(one.attempt.pk)
        word = (
            "lost"
            if not report.exists
            else "finished while away"
            if report.status.is_final
            else "re-attached"
        )
        self._found[word] += 1

    def is_whole(self, followed: Collection[UUID]) -> bool:
        """Whether each of them that is still to be followed has answered."""
        return self._before.isdisjoint(followed)

    def report(self) -> None:
        """Write it as an event of the server and into the log, if there was anything."""
        if not any(self._found.values()):
            return
        text = ", ".join(f"{number} {word}" for word, number in self._found.items())
        record_event(
            "server", subject_id=self._server_id, kind="reattached", reason=text, data=dict(self._found)
        )
        logger.info(
            "Took over a server: %s", text, extra={"action": "reattach", "server": str(self._server_id)}
        )
