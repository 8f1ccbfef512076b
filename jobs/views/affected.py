"""Which jobs a server that is away holds up, to be named beside the alarm about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from buildboard.core.auth import Principal
from jobs.models import Attempt, BuildJob
from servers.models import BuildServer

_NAMED = 3


@dataclass(frozen=True)
class Affected:
    """How many jobs were running or being started there, and the first of them."""

    count: int
    jobs: Sequence[BuildJob]

    @property
    def more(self) -> int:
        """Those that are not named."""
        return self.count - len(self.jobs)


def affected_among(attempts: Sequence[Attempt]) -> Affected:
    """Of active attempts of one server that were read already, the oldest first."""
    return Affected(len(attempts), [attempt.job for attempt in attempts[:_NAMED]])


def affected_on(servers: Iterable[BuildServer], *, principal: Principal) -> dict[UUID, Affected]:
    """By server, for few servers; one that holds up nothing is left out. One query, none for no server."""
    ids = [server.pk for server in servers]
    if not ids:
        return {}
    rows = Attempt.objects.visible_to(principal).active().filter(server_id__in=ids)
    found: dict[UUID, list[Attempt]] = {}
    for attempt in rows.select_related("job").defer("job__spec").order_by("created_at"):
        if attempt.server_id is not None:
            found.setdefault(attempt.server_id, []).append(attempt)
    return {server_id: affected_among(attempts) for server_id, attempts in found.items()}
