"""Turns between submitters: pure, so looked for counterexamples."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from jobs.queue.fairness import Shares, contested, heads_of, in_turn

LEVEL_MS = 1000
ANN, BOB, CID = (UUID(int=number) for number in (1, 2, 3))
PEOPLE = [ANN, BOB, CID]


@dataclass(frozen=True)
class Job:
    """`number` tells apart two of one rank."""

    number: int
    submitter: UUID
    rank_ms: int = 0
    key: str = "x86_64"


def queue_of(*submitters: UUID, key: str = "x86_64") -> list[Job]:
    return [Job(number, submitter, key=key) for number, submitter in enumerate(submitters)]


def turns(jobs: Sequence[Job], *, shares: Shares | None = None, now_ms: int = 0) -> list[Job]:
    return in_turn(jobs, shares=shares or Shares(), now_ms=now_ms, level_ms=LEVEL_MS)


def names(jobs: Sequence[Job]) -> str:
    return "".join({ANN: "A", BOB: "B", CID: "C"}[job.submitter] for job in jobs)


def test_who_floods_the_queue_takes_every_other_turn_as_long_as_somebody_else_waits() -> None:
    assert names(turns(queue_of(ANN, ANN, ANN, ANN, ANN, BOB, BOB))) == "ABABAAA"
    assert names(turns(queue_of(ANN, ANN, ANN, BOB, CID))) == "ABCAA"


def test_weights_are_starts_to_one_of_a_submitter_without() -> None:
    shares = Shares(weights={ANN: 3})

    order = turns(queue_of(*[BOB] * 4, *[ANN] * 9), shares=shares)

    assert names(order[:8]).count("A") == 6
    assert names(order) == "BAAABAAABAAAB"


def test_what_was_served_before_counts_but_no_more_than_a_turn() -> None:
    jobs = queue_of(ANN, ANN, ANN, BOB, BOB, BOB)

    assert names(turns(jobs, shares=Shares(served={"x86_64": {ANN: 7.0, BOB: 6.0}}))) == "BABABA"
    assert names(turns(jobs, shares=Shares(served={"x86_64": {ANN: 700.0, BOB: 6.0}}))) == "BABABA"
    assert names(turns(jobs, shares=Shares(served={"aarch64": {ANN: 700.0}}))) == "ABABAB"


def test_turns_are_taken_within_a_class_and_a_level_and_move_nobody_else() -> None:
    old = [Job(number, ANN, rank_ms=-LEVEL_MS - number) for number in (2, 1)]
    other = Job(3, CID, rank_ms=-5, key="aarch64")
    new = [Job(4, ANN, rank_ms=-3), Job(5, ANN, rank_ms=-2), Job(6, BOB, rank_ms=-1)]

    assert turns([*old, other, *new]) == [*old, other, new[0], new[2], new[1]]


def test_only_classes_that_several_wait_for_are_contested() -> None:
    jobs = [*queue_of(ANN, BOB), *queue_of(ANN, ANN, key="arm")]

    assert contested(jobs) == {"x86_64": {ANN, BOB}}


jobs_by_rank = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.integers(0, 5 * LEVEL_MS), st.sampled_from(["x86_64", "arm"])),
    max_size=30,
).map(
    lambda rows: sorted(
        (Job(number, who, rank, key) for number, (who, rank, key) in enumerate(rows)),
        key=lambda job: (job.rank_ms, job.number),
    )
)
shares_of_all = st.builds(
    Shares,
    served=st.dictionaries(
        st.sampled_from(["x86_64", "arm"]), st.dictionaries(st.sampled_from(PEOPLE), st.floats(0, 50))
    ),
    weights=st.dictionaries(st.sampled_from(PEOPLE), st.integers(1, 5)),
)


@given(jobs_by_rank, shares_of_all, st.integers(0, LEVEL_MS))
def test_no_job_is_lost_and_each_class_keeps_its_places(jobs: list[Job], shares: Shares, now_ms: int) -> None:
    order = turns(jobs, shares=shares, now_ms=now_ms)

    assert sorted(order, key=jobs.index) == jobs
    levels = [(job.key, (now_ms - job.rank_ms) // LEVEL_MS) for job in jobs]
    assert [(job.key, (now_ms - job.rank_ms) // LEVEL_MS) for job in order] == levels
    assert order == turns(jobs, shares=shares, now_ms=now_ms)


@given(jobs_by_rank, shares_of_all)
def test_what_one_submitted_first_goes_first_within_a_level(jobs: list[Job], shares: Shares) -> None:
    order = turns(jobs, shares=shares)

    of_each: dict[tuple[UUID, str], list[int]] = defaultdict(list)
    for job in order:
        of_each[job.submitter, job.key].append(jobs.index(job))
    assert all(places == sorted(places) for places in of_each.values())


@given(
    st.dictionaries(st.sampled_from(PEOPLE), st.integers(1, 25), min_size=2),
    st.dictionaries(st.sampled_from(PEOPLE), st.integers(1, 5)),
    st.randoms(use_true_random=False),
)
def test_shares_are_never_more_than_a_turn_apart_while_all_wait(
    counts: dict[UUID, int], weights: dict[UUID, int], random: object
) -> None:
    submitters = [who for who, count in counts.items() for _ in range(count)]
    random.shuffle(submitters)  # type: ignore[attr-defined]  # hypothesis' own Random
    shares = Shares(weights=weights)

    order = turns(queue_of(*submitters), shares=shares)

    given_to: Counter[UUID] = Counter()
    for job in order:
        given_to[job.submitter] += 1
        if any(given_to[who] == count for who, count in counts.items()):
            break  # that one waits no more
        for one in counts:
            for other in counts:
                mine, theirs = (given_to[who] / shares.weight_of(who) for who in (one, other))
                assert abs(mine - theirs) <= 1 / shares.weight_of(one) + 1 / shares.weight_of(other) + 1e-9


AGEING = 10


class Board:
    """One slot; a job is started at each tick, in the order of the queue, and what was served is kept."""

    def __init__(self, weights: dict[UUID, int]) -> None:
        self.waiting: list[Job] = []
        self.shares = Shares(served={"x86_64": {}}, weights=weights)

    def start_one(self, *, now: int) -> Job | None:
        """As dispatch and shares.py do it."""
        self.waiting.sort(key=lambda job: (job.rank_ms, job.number))
        order = in_turn(self.waiting, shares=self.shares, now_ms=now, level_ms=AGEING)
        if not order:
            return None
        rivals = contested(self.waiting)
        if "x86_64" in rivals:
            served = dict(self.shares.served["x86_64"])
            so_far = max(
                served.get(order[0].submitter, 0.0), self.shares.floor_of("x86_64", among=rivals["x86_64"])
            )
            served[order[0].submitter] = so_far + 1 / self.shares.weight_of(order[0].submitter)
            self.shares = Shares(served={"x86_64": served}, weights=self.shares.weights)
        self.waiting.remove(order[0])
        return order[0]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=120, max_size=120),
    st.lists(st.integers(0, 3), max_size=15),
    st.dictionaries(st.integers(0, 40).map(lambda number: UUID(int=number + 10)), st.integers(1, 5)),
)
def test_nothing_starves_however_many_urgent_jobs_of_new_people_come(
    arrivals: list[tuple[int, int]], backlog: list[int], weights: dict[UUID, int]
) -> None:
    board = Board(weights)
    board.waiting = [
        Job(-number, UUID(int=11), rank_ms=-level * AGEING) for number, level in enumerate(backlog, start=1)
    ]
    low = Job(0, ANN)
    board.waiting.append(low)

    started_at = None
    for now, (who, level) in enumerate(arrivals):
        board.waiting.append(Job(now + 1, UUID(int=who + 10), rank_ms=now - level * AGEING))
        if board.start_one(now=now) == low:
            started_at = now
            break

    # What came within four levels of it, and what was there before, may go first; nothing that came later.
    assert started_at is not None
    assert started_at <= 4 * AGEING + len(backlog)


@given(st.lists(st.sampled_from(PEOPLE), min_size=40, max_size=80), st.integers(1, 4))
def test_turns_go_on_from_pass_to_pass(submitters: list[UUID], weight: int) -> None:
    """One slot that comes free again and again gives the same shares as a look at the whole queue."""
    board = Board({ANN: weight})
    board.waiting = queue_of(*submitters)
    at_once = turns(board.waiting, shares=board.shares)

    one_by_one = []
    while (job := board.start_one(now=0)) is not None:
        one_by_one.append(job)
        if len(contested(board.waiting)) == 0:
            break

    assert one_by_one == at_once[: len(one_by_one)]


def test_heads_are_the_first_of_everybody_in_each_class() -> None:
    jobs = [*queue_of(*[ANN] * 9, BOB, BOB), Job(99, ANN, key="arm")]

    assert [job.number for job in heads_of(jobs, most=6)] == [0, 1, 9, 10, 99]
    assert [job.number for job in heads_of(jobs, most=2)] == [0, 9]
    assert heads_of([], most=5) == []
