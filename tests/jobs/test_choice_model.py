"""A fleet and its queue as a model: jobs come and end, servers go and return, and in between is dispatched.

Everything that decides is the board's own (order by rank, Judged, the score); what only happens is played.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobs.models.rank import rank_of
from jobs.needs import Needs
from jobs.queue.choice import Judged
from jobs.queue.conditions import Kind, judge
from jobs.queue.score import Scoring, usual_scoring, waiting_for_each
from jobs.states import Priority
from servers.fleet import ServerFacts, ToolchainFacts
from servers.states import ServerStatus
from tests.jobs.fleets import NOW, facts

AGEING_SECONDS = 600
ARM_TOOLS = (ToolchainFacts("gcc", "12", "aarch64"),)
NEEDS = [
    Needs("x86_64"),
    Needs("aarch64"),
    Needs("aarch64", "gcc"),
    Needs("x86_64", labels=(("disk", "nvme"),)),
    Needs("x86_64", server="big"),
    Needs("x86_64", server="big", fallback=True),
    Needs("s390x"),
]
FLEET = [
    facts("big", slots=4, labels={}),
    facts("small", slots=1),
    facts("arm", slots=2, architectures=frozenset({"aarch64"})),
    facts("cross", slots=2, toolchains=ARM_TOOLS, labels={}),
]


COOL: dict[str, Any] = {"memory_percent": 0.0, "cpu_percent": 0.0}
WELL: dict[str, Any] = {"quarantined_since": None, "quarantined_until": None, "canary_id": None}


@dataclass(frozen=True)
class Job:
    """One that waits."""

    id: UUID
    needs: Needs
    rank: int
    since: datetime


class QueueAndFleet(RuleBasedStateMachine):
    """Rules are what may happen; invariants what must hold whenever nothing does."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.count = 0
        self.queue: list[Job] = []
        self.running: dict[UUID, UUID] = {}
        self.done: set[UUID] = set()
        self.fleet: dict[UUID, ServerFacts] = {}

    @initialize(count=st.integers(1, len(FLEET)))
    def begin(self, count: int) -> None:
        self.fleet = {server.id: server for server in FLEET[:count]}

    # ---- what people and builds do ----
    @rule(needs=st.sampled_from(NEEDS), priority=st.sampled_from(Priority), jobs=st.integers(1, 4))
    def submit(self, needs: Needs, priority: Priority, jobs: int) -> None:
        for _ in range(jobs):
            self.count += 1
            rank = rank_of(self.now, priority=priority, ageing=AGEING_SECONDS)
            self.queue.append(Job(UUID(int=self.count), needs, rank, self.now))

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 100))
    def finish(self, which: int) -> None:
        job_id = list(self.running)[which % len(self.running)]
        server = self.fleet[self.running.pop(job_id)]
        if server.canary_id == job_id:
            server = replace(server, **WELL)
        self.fleet[server.id] = replace(server, held=server.held - 1)
        self.done.add(job_id)

    @precondition(lambda self: self.queue)
    @rule(which=st.integers(0, 100))
    def cancel(self, which: int) -> None:
        self.done.add(self.queue.pop(which % len(self.queue)).id)

    @rule(seconds=st.sampled_from([1, 59, 61, 3600]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # ---- what servers do ----
    def change(self, which: int, **fields: Any) -> None:
        server = list(self.fleet.values())[which % len(self.fleet)]
        self.fleet[server.id] = replace(server, **fields)

    @rule(which=st.integers(0, 3), status=st.sampled_from(ServerStatus))
    def be(self, which: int, status: ServerStatus) -> None:
        self.change(which, status=status)

    @rule(which=st.integers(0, 3), draining=st.booleans())
    def drain(self, which: int, draining: bool) -> None:
        self.change(which, draining=draining)

    @rule(which=st.integers(0, 3), slots=st.integers(1, 4))
    def limit(self, which: int, slots: int) -> None:
        self.change(which, slots=slots)

    @rule(which=st.integers(0, 3), percent=st.sampled_from([0.0, 50.0, 95.0]))
    def heat(self, which: int, percent: float) -> None:
        self.change(which, cpu_percent=percent)

    @rule(which=st.integers(0, 3), percent=st.sampled_from([50.0, 95.0]))
    def fill_memory(self, which: int, percent: float) -> None:
        self.change(which, memory_percent=percent)

    @rule(which=st.integers(0, 3))
    def quarantine(self, which: int) -> None:
        until = self.now + timedelta(minutes=1)
        self.change(which, quarantined_since=self.now, quarantined_until=until, canary_id=None)

    # ---- what the dispatcher does ----
    @rule()
    def dispatch(self) -> None:
        """One pass in order; afterwards nobody waits whom some server would take, and all know why they wait."""
        scoring = usual_scoring(
            waiting=waiting_for_each((1, self.judged(job).within_reach) for job in self.queue)
        )
        for job in sorted(self.queue, key=lambda one: (one.rank, one.since, one.id)):
            server = self.judged(job, scoring).best(job_id=job.id)
            assert server == self.judged(job, scoring).best(job_id=job.id)
            if server is not None:
                self.claim(job, server)
        for job in self.queue:
            choice = self.judged(job, scoring).choice
            assert choice.able == []
            assert {server.id for server, _ in choice.refusals} == self.fleet.keys()

    def judged(self, job: Job, scoring: Scoring | None = None) -> Judged:
        waited = (self.now - job.since).total_seconds()
        return Judged(
            self.fleet.values(), needs=job.needs, now=self.now, waited_seconds=waited, scoring=scoring
        )

    def claim(self, job: Job, server: ServerFacts) -> None:
        assert server.held < server.slots
        assert all(not one.hard for one in judge(server, needs=job.needs, now=self.now))
        assert server.canary_id is None, "one build decides about a quarantine"
        self.queue.remove(job)
        self.running[job.id] = server.id
        self.fleet[server.id] = server.with_one_more(job.id)

    # ---- what must hold ----
    @invariant()
    def every_slot_that_is_held_is_held_by_one_running_job(self) -> None:
        holders = list(self.running.values())
        assert {server.id: server.held for server in self.fleet.values() if server.held} == {
            server_id: holders.count(server_id) for server_id in set(holders)
        }

    @invariant()
    def no_job_is_lost_or_in_two_places(self) -> None:
        everywhere = [*(job.id for job in self.queue), *self.running, *self.done]
        assert sorted(everywhere) == [UUID(int=number) for number in range(1, self.count + 1)]

    def teardown(self) -> None:
        """Once all servers are back, each job that one of them fits is started within as many rounds as jobs wait."""
        for which in range(len(self.fleet)):
            self.change(which, status=ServerStatus.ONLINE, draining=False, **COOL, **WELL)
        for _ in range(len(self.queue) + 1):
            while self.running:
                self.finish(0)
            self.dispatch()
        for job in self.queue:
            refused = [judge(server, needs=job.needs, now=self.now) for server in self.fleet.values()]
            assert all(any(one.kind is Kind.IMPOSSIBLE for one in found) for found in refused)


QueueAndFleet.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestQueueAndFleet = QueueAndFleet.TestCase
