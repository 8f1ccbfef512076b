"""Which queued jobs wait no longer, and what they are told. Pure functions; execution/expire.py fails them.

Two things end a wait: the job's own queue timeout, whatever it waits for; and that no server could ever take it, as
the fleet is, for BUILDBOARD_IMPOSSIBLE_SECONDS on end. That servers are busy or out of service ends none by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.queue.choice import Judged
from jobs.queue.conditions import Kind
from jobs.queue.explain import why_stuck
from jobs.queue.spans import past_words
from jobs.queue.verdicts import ServerVerdict, Verdict

MOST_REASONS = 5


@dataclass(frozen=True)
class Wait:
    """How a queued job waits. `hindrance` is a sentence on what holds it up before any server is asked; or empty."""

    since: datetime
    deadline: datetime | None = None
    impossible_since: datetime | None = None
    hindrance: str = ""


def is_impossible(judged: Judged) -> bool:
    """Whether no server could take such a job even if it were free and in service, none at all among them."""
    if judged.within_reach:
        return False
    refusals = judged.choice.refusals
    never = {server.id for server, one in refusals if one.kind is Kind.IMPOSSIBLE}
    return len(never) == len({server.id for server, _ in refusals})


def why_it_ends(
    wait: Wait, *, servers: Sequence[ServerVerdict], now: datetime, impossible_seconds: int
) -> str | None:
    """What the job is told that is failed now; None while it may wait on. `servers` are judged now, nearest first."""
    if wait.deadline is not None and wait.deadline <= now:
        told = f"It waited {past_words(now - wait.since)} for a server, longer than its queue timeout allows."
        return f"{told} {wait.hindrance or _reasons(servers)}"
    if wait.impossible_since is None or any(one.fits for one in servers):
        return None
    stood = now - wait.impossible_since
    if stood < timedelta(seconds=impossible_seconds):
        return None
    return f"For {past_words(stood)} there was no server that could ever take it. {_reasons(servers)}"


def _reasons(servers: Sequence[ServerVerdict]) -> str:
    """Why no server takes it: in short, and of those that come nearest in a sentence each."""
    if servers and servers[0].verdict is Verdict.ELIGIBLE:
        return "There is room for it now, but others stand before it in the queue."
    told = [one.told for one in servers[:MOST_REASONS]]
    more = len(servers) - len(told)
    if more:
        told.append(f"{more} more server{' does' if more == 1 else 's do'} not take it either.")
    return " ".join([*filter(None, [why_stuck(servers)]), *told])
