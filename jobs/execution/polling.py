"""Asks a server about its builds: many in one question, and those that would spoil the answer for the rest alone.

An answer that cannot be read, or does not come in time, says nothing of which build is to blame, so after it each
is asked alone, in a thread of its own; the one that fails there too stays alone, at a growing distance. It is not
in charge of what a report means (follow.py).
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID, uuid4

from jobs.execution.ahead import Ahead
from jobs.execution.followed import Followed
from jobs.providers.base import BuildProvider, ProviderError, ProviderGarbled, Report, build_id_of

logger = logging.getLogger(__name__)

# Of all builds of a server in one reply, which is held in memory; and of one build: at most, so that commits stay
# short, and at least, so that the end of a log over its limit fits, whatever its secrets are.
REPLY_BYTES = 16 << 20
MOST_BYTES = 8 << 20
LEAST_BYTES = 1 << 20
MOST_TOGETHER = 32  # in one question: times LEAST_BYTES less than what a transport takes as a reply
ALONE_SECONDS = 2.0
MOST_ALONE_SECONDS = 60.0
PARALLEL_ALONE = 3
GOOD_AGAIN = 15  # answers in a row, after which a build that failed alone is asked with the others again


@dataclass
class _Doubt:
    """A build that is asked alone. It is only one of many suspects until it fails by itself."""

    failures: int = 0
    good: int = 0
    ask_at: float = 0.0
    answer: Future[Report | ProviderError] | None = None

    def fail(self) -> None:
        self.failures += 1
        self.good = 0
        self.ask_at = time.monotonic() + min(MOST_ALONE_SECONDS, ALONE_SECONDS * 2 ** min(self.failures, 10))

    def pass_(self) -> bool:
        """One good answer; whether it is cleared by it."""
        self.good += 1
        self.ask_at = time.monotonic() + ALONE_SECONDS
        return not self.failures or self.good >= GOOD_AGAIN


@dataclass(frozen=True)
class Answer:
    """What one build answered: a report, or why there is none that can be read."""

    one: Followed
    report: Report | None
    error: str = ""


class Poller:
    """The questions of one follower, which alone calls this. `wake` is called, by any thread, at a late answer."""

    def __init__(self, name: str, *, wake: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(PARALLEL_ALONE, thread_name_prefix=f"alone-{name}")
        self._ahead = Ahead(name, wake=wake)
        self._wake = wake
        self._doubts: dict[UUID, _Doubt] = {}

    def close(self, *, wait: bool = False) -> None:
        """Ask nothing more."""
        self._pool.shutdown(wait=wait, cancel_futures=True)
        self._ahead.close(wait=wait)

    def read_on(self, one: Followed, report: Report) -> bool:
        """Ask for what follows this report, before it is kept; whether what follows comes by itself."""
        if one.attempt.pk not in self._doubts:
            self._ahead.read_on(one, report)
        return self._ahead.is_reading(one)

    def ask(self, provider: BuildProvider, group: Sequence[Followed]) -> list[Answer]:
        """What these builds of one provider answer now; those in doubt are asked meanwhile (`late_answers`).

        Raises ProviderUnreachable when nothing comes from there at all.
        """
        now = time.monotonic()
        for one in group:
            doubt = self._doubts.get(one.attempt.pk)
            if doubt is not None and doubt.answer is None and now >= doubt.ask_at:
                doubt.answer = self._pool.submit(_ask_alone, provider, one.build_id, one.offset)
                doubt.answer.add_done_callback(lambda _: self._wake())
        asked = [one for one in group if one.attempt.pk not in self._doubts]
        together = [one for one in asked if not self._ahead.is_reading(one)]
        parts = (together[at : at + MOST_TOGETHER] for at in range(0, len(together), MOST_TOGETHER))
        return [answer for part in parts for answer in self._ask_together(provider, part)]

    def late_answers(self, followed: dict[UUID, Followed]) -> list[Answer]:
        """What those that were asked alone have answered since; forgets who is not followed any more."""
        for gone in self._doubts.keys() - followed.keys():
            del self._doubts[gone]
        self._ahead.keep_to(followed)
        found = self._read_ahead(followed)
        for attempt_id, doubt in list(self._doubts.items()):
            if doubt.answer is None or not doubt.answer.done():
                continue
            result, doubt.answer = doubt.answer.result(), None
            found.append(self._judge(followed[attempt_id], result))
        return found

    def _read_ahead(self, followed: dict[UUID, Followed]) -> list[Answer]:
        """What came of reading on. That nothing comes from there at all, the next question about all finds out."""
        taken = self._ahead.taken()
        if taken is None:
            return []
        attempt_id, result = taken
        if isinstance(result, ProviderGarbled):
            self._doubts[attempt_id] = _Doubt()
        return [self._judge(followed[attempt_id], result)] if isinstance(result, Report) else []

    def _ask_together(self, provider: BuildProvider, part: Sequence[Followed]) -> list[Answer]:
        try:
            reports = provider.poll(
                [(one.build_id, one.offset) for one in part],
                max_bytes=max(LEAST_BYTES, min(MOST_BYTES, REPLY_BYTES // len(part))),
            )
        except ProviderGarbled as error:
            check_reached(provider)
            logger.warning("Each build is asked alone: %s", error, extra={"action": "poll"})
            if len(part) == 1:
                return [self._judge(part[0], error)]
            self._doubts.update({one.attempt.pk: _Doubt() for one in part})
            return []
        known = {one.build_id: one for one in part}
        return [self._judge(known[report.build_id], report) for report in reports]

    def _judge(self, one: Followed, result: Report | ProviderError) -> Answer:
        if isinstance(result, Report) and result.readable:
            doubt = self._doubts.get(one.attempt.pk)
            if doubt is not None and doubt.pass_():
                del self._doubts[one.attempt.pk]
            return Answer(one, result)
        error = str(result) if isinstance(result, ProviderError) else "its records could not be read in time"
        self._doubts.setdefault(one.attempt.pk, _Doubt()).fail()
        return Answer(one, None, error)


def check_reached(provider: BuildProvider) -> None:
    """Ask about a build that nobody knows. Raises ProviderUnreachable when there is no answer to that either."""
    provider.status(build_id_of(provider.name, identifier=str(uuid4())))


def _ask_alone(provider: BuildProvider, build_id: str, offset: int) -> Report | ProviderError:
    try:
        return provider.poll([(build_id, offset)], max_bytes=LEAST_BYTES)[0]
    except ProviderError as error:
        return error
