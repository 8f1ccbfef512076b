"""Why a job waits, and what would be if: as the board shows them. Nothing is read or written here."""

from typing import Literal
from uuid import UUID

from buildboard.core.schemas import Shown, Timestamp
from jobs.schemas.estimates import EstimateShape, SecondsRange
from jobs.schemas.words import PriorityWord, StatusWord

KindWord = Literal["impossible", "offline", "busy"]


class RefusalShape(Shown):
    """One condition that a server does not meet. One that is not `hard` is passed over after a while.

    `impossible`: never as things are; `offline`: not while the server is away; `busy`: not until it has room. `since`:
    from when on it refused the job, or the first of those that ask for the same while this one waited; null while no
    look at the queue has kept that, as of servers beyond the 50 nearest, and of a job that is not queued.
    """

    condition: str
    kind: KindWord
    hard: bool
    reason: str
    since: Timestamp | None


class ServerVerdictShape(Shown):
    """How one build server stands to a job; `reasons` are sentences, none of an eligible one.

    `kind` is the worst of its refusals' kinds; null of an eligible one. `free_in` is when a busy one has a slot again,
    as far as past builds tell.
    """

    server: str
    server_id: UUID
    verdict: Literal["eligible", "busy", "refused"]
    kind: KindWord | None
    reasons: list[str]
    refusals: list[RefusalShape]
    free_in: SecondsRange | None


class SpellShape(Shown):
    """A time in which one reason stood before all others between a queued job and a server.

    `servers`: of how many servers it was the reason; `kind` is null of what no server said.
    """

    since: Timestamp
    until: Timestamp
    seconds: float
    reason: str
    kind: KindWord | None
    servers: int


class OutlookShape(Shown):
    """When a job may start and where, by what is known now.

    `kind` is null when a server could take it, or when it waits for no server; `estimated_start_at` while no server
    that fits is in service; `estimate` while no past build says how long builds take. `would_start_if` goes on behind
    "it starts when". Servers come nearest first.
    """

    summary: str
    kind: KindWord | None
    would_start_if: str | None
    estimated_start_at: Timestamp | None
    estimate: EstimateShape | None
    position: int | None
    servers: list[ServerVerdictShape]


class ExplainShape(OutlookShape):
    """What a job waits for, or does; what would start it is null unless it is queued.

    `history` is what it waited for so far, oldest first (the last 200 spells), and `waited` says the same in a phrase,
    such as `waited 14 min: 9 full, 5 draining`; empty when it did not wait.
    """

    job_id: UUID
    status: StatusWord
    waited: str
    history: list[SpellShape]


class DryRunShape(OutlookShape):
    """What would become of a job if it were submitted now.

    `queue_is_full`: the submission itself would be refused, with 429.
    """

    estimated_wait_seconds: int
    estimate_basis: Literal["history", "default"]
    total_queued: int
    queue_is_full: bool


class PassingShape(Shown):
    """What one priority would do to a queued job's place among those that wait for its architecture.

    A higher one than it has overtakes others, a lower one lets others pass; `jobs` are the first ten of these by id, in
    the order of the queue.
    """

    priority: PriorityWord
    overtakes_count: int
    lets_pass_count: int
    jobs: list[UUID]
    told: str


class PriorityPreviewShape(Shown):
    """What a change of a queued job's priority would do: each one that it does not have, highest first."""

    job_id: UUID
    priority: PriorityWord
    choices: list[PassingShape]


class EndingShape(Shown):
    """A build that runs on a server, and in how many seconds it should end; null when nobody can tell."""

    job_id: UUID
    ends_in: SecondsRange | None


class WaitChangeShape(Shown):
    """What the queued jobs of an architecture would wait with the server and without it: the median, in seconds.

    No `jobs`: none waits, and it is what one would wait that came now. `after_seconds` is null when none would start.
    """

    architecture: str
    jobs: int
    before_seconds: float
    after_seconds: float | None
    told: str


class DrainPreviewShape(Shown):
    """What draining a server, or its maintenance or removal, would do.

    `running` builds go on to their end, and `empty_in` is when the last is gone. `stranded` queued jobs fit no other
    server, the first of them by id; `held_back` ones would start with it and not without, since none besides that fits
    is in service. `changes` are empty while no past build says how long builds take (`is_told` false).
    """

    server_id: UUID
    server: str
    summary: str
    running: list[EndingShape]
    empty_in: SecondsRange | None
    stranded_count: int
    stranded_jobs: list[UUID]
    held_back_count: int
    changes: list[WaitChangeShape]
    is_told: bool
