"""What a follower has done in threads of their own, so that a slow server or compiler delays no log: starts, the
removal of finished runs, lists. No rows are read or written here, and what an answer means is follow.py's.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connections

from jobs.execution.followed import Followed
from jobs.execution.start import change_of
from jobs.models import Attempt
from jobs.providers.base import (
    BuildProvider,
    ProviderError,
    ProviderGarbled,
    ProviderUnreachable,
    build_id_of,
)
from servers.connections import open_client
from servers.frames import RunListing
from servers.models import BuildServer
from servers.transport import HelperRefused, TransportError

logger = logging.getLogger(__name__)

PARALLEL_STARTS = 4
START_SECONDS = 0.1  # how long a round waits for starts: they usually take less, and no log waits much longer


@dataclass
class Forgotten:
    """Attempts of which the server keeps nothing any more, and those of which it still does: to be tried again.

    `is_away`: it is not there, so the rest was not tried.
    """

    attempts: list[UUID] = field(default_factory=list)
    left: list[UUID] = field(default_factory=list)
    is_away: bool = False


class Errands:
    """The threads of one follower, which alone calls this.

    Any thread calls `wake` when a slow start ended, and `hear` with an error that no answer brings to the follower.
    """

    def __init__(self, name: str, *, wake: Callable[[], None], hear: Callable[[BaseException], None]) -> None:
        self._pool = ThreadPoolExecutor(PARALLEL_STARTS + 1, thread_name_prefix=f"start-{name}")
        self._wake = wake
        self._hear = hear
        self._starts: dict[UUID, tuple[Followed, Future[ProviderError | None]]] = {}
        self._forgetting: Future[Forgotten] | None = None
        self._listing: Future[tuple[RunListing, ...] | None] | None = None

    def close(self, *, wait: bool = False) -> None:
        """Begin nothing more; what was sent may still arrive, which is as good as a lost answer."""
        self._pool.shutdown(wait=wait, cancel_futures=True)

    # ---- starts

    def is_starting(self, one: Followed) -> bool:
        """Whether its start was sent and the answer was not fetched yet."""
        return one.attempt.pk in self._starts

    def start(self, one: Followed) -> None:
        """Send a start; `answers` gives what came back."""
        self._starts[one.attempt.pk] = (one, self._pool.submit(_send_start, one))

    def answers(self) -> list[tuple[Followed, ProviderError | None]]:
        """The starts that were answered (None), refused or not answered, waiting a moment for all of them."""
        wait([future for _, future in self._starts.values()], START_SECONDS)
        ended = [attempt_id for attempt_id, (_, future) in self._starts.items() if future.done()]
        found = [self._starts.pop(attempt_id) for attempt_id in ended]
        for _, future in self._starts.values():
            future.add_done_callback(lambda _: self._wake())
        return [(one, future.result()) for one, future in found]

    # ---- removal

    @property
    def is_forgetting(self) -> bool:
        """Whether a removal goes on."""
        return self._forgetting is not None

    def forget(self, attempts: Sequence[tuple[Attempt, BuildProvider]]) -> None:
        """Remove what these finished attempts left on the server; `forgotten` tells when it is done."""
        self._forgetting = self._pool.submit(_forget, attempts, hear=self._hear)

    def forgotten(self) -> Forgotten | None:
        """What the removal came to, once."""
        if self._forgetting is None or not self._forgetting.done():
            return None
        result, self._forgetting = self._forgetting.result(), None
        return result

    # ---- what there is

    @property
    def is_listing(self) -> bool:
        """Whether the server was asked and its answer not taken yet."""
        return self._listing is not None

    def list_runs(self, server: BuildServer) -> None:
        """Ask the server for every run that it knows; `listed` gives them."""
        self._listing = self._pool.submit(_ask_list, server, hear=self._hear)

    def listed(self) -> tuple[RunListing, ...] | None:
        """What the server answered, once; None while there is nothing."""
        if self._listing is None or not self._listing.done():
            return None
        runs, self._listing = self._listing.result(), None
        return runs


def _send_start(one: Followed) -> ProviderError | None:
    if one.metadata is None:
        return None
    try:
        one.provider.trigger(change_of(one.attempt.job), one.metadata)
    except ProviderError as error:
        return error
    return None


def _forget(
    attempts: Sequence[tuple[Attempt, BuildProvider]], *, hear: Callable[[BaseException], None]
) -> Forgotten:
    """All of a provider at once. What never was sent left nothing; what was given up is ended first.

    What stops one removal does not stop the next, but for a server that is not there.
    """
    result = Forgotten([attempt.pk for attempt, _ in attempts if attempt.submitted_at is None])
    groups: dict[str, tuple[BuildProvider, dict[str, Attempt]]] = {}
    for attempt, provider in attempts:
        if attempt.submitted_at is not None:
            group = groups.setdefault(provider.name, (provider, {}))[1]
            group[build_id_of(provider.name, identifier=str(attempt.pk))] = attempt
    for provider, sent in groups.values():
        try:
            left = dict(provider.forget(list(sent)))
        except ProviderError as error:
            left = dict.fromkeys(sent, error)
        for build_id, why in left.items():
            logger.info("%s", why, extra={"action": "forget", "attempt": str(sent[build_id].pk)})
        result.attempts += [attempt.pk for build_id, attempt in sent.items() if build_id not in left]
        result.left += [sent[build_id].pk for build_id in left]
        for why in dict.fromkeys(left.values()):
            hear(why)
            result.is_away |= _says_that_nobody_is_there(why)
        if result.is_away:
            break
    return result


def _says_that_nobody_is_there(error: ProviderError) -> bool:
    return isinstance(error, ProviderUnreachable) and not isinstance(error, ProviderGarbled)


def _ask_list(server: BuildServer, *, hear: Callable[[BaseException], None]) -> tuple[RunListing, ...] | None:
    try:
        return open_client(server).list_runs()
    except (TransportError, HelperRefused) as error:
        logger.info("%s did not list its runs: %s", server.name, error, extra={"action": "list"})
        hear(error)
        return None
    finally:
        connections.close_all()  # of this thread: a jump host's jump host is read when it is needed
