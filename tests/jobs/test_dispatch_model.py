"""A board's whole queue and fleet as a model: the real lifecycle, two dispatchers that remember, and the database.

Builds are plays of the fake provider. What only time does is done to the rows. test_choice_model.py holds the pure
choice alone, test_dispatchers.py real processes beside each other.
"""

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from buildboard.core.audit import BOARD, Actor
from buildboard.core.models import User
from jobs import lifecycle
from jobs.diagnosis.hosts import judge_ended_canaries, judge_server
from jobs.errors import IllegalTransition
from jobs.execution import collect, dispatch
from jobs.execution.dispatch import Dispatcher
from jobs.execution.expire import expire_jobs
from jobs.execution.fleet_pass import KEPT_OF_A_CLASS
from jobs.execution.followed import Followed
from jobs.execution.outcome import judge_lost
from jobs.execution.removal import finish_removals, remove_by_force
from jobs.execution.start import change_of
from jobs.execution.sweep import fit_all_slots
from jobs.models import Attempt, BuildJob, Refusal
from jobs.needs import key_of, needs_of
from jobs.providers.base import Metadata
from jobs.providers.fake import FakeProvider
from jobs.queue.choice import choose
from jobs.queue.experience import Experience
from jobs.queue.order import ready_jobs
from jobs.queue.refusals import look_of
from jobs.queue.score import Past
from jobs.queue.verdicts import ServerVerdict, Verdict, judge_fleet
from jobs.states import JOB_TERMINAL, AttemptStatus, JobStatus, Priority
from jobs.states import Phase as BuildPhase
from servers import health
from servers.drains import end_what_is_over, set_draining, set_maintenance
from servers.errors import ServerConflict
from servers.fleet import ServerFacts, Tools, load_fleet
from servers.models import NEVER, BuildServer, ServerLease, Slot
from servers.quarantine import set_quarantine
from servers.removals import withdraw_removal
from servers.states import ServerStatus
from tests.factories import make_server, make_user

OPERATOR = Actor("olga", "page")
PLAYS = ["", "exit=127", "lost", "seconds=100000"]
X86, ARM = ["x86_64"], ["aarch64"]
FLEET = [(2, X86), (1, [*X86, *ARM]), (1, ARM)]
WANTED = ["x86_64", "x86_64", "aarch64", "s390x"]
MEANWHILE = ["", "one is drained", "another dispatches", "another is faster"]
MOST_ROUNDS = 4  # of one job: two attempts, one that was excused, and one for luck
any_number = st.integers(0, 11)


class QueueAndFleet(RuleBasedStateMachine):
    """Rules are what may happen on a board; invariants what must hold whenever nothing does."""

    def __init__(self) -> None:
        super().__init__()
        self.world = transaction.atomic()
        self.world.__enter__()
        self.provider = FakeProvider()
        self.dispatchers = Dispatcher(), Dispatcher()
        self.steps = 0
        self.ended: dict[UUID, str] = {}
        self.submitted: set[UUID] = set()
        self.people: list[User] = []

    @initialize(jobs=st.integers(0, 6), play=st.sampled_from(PLAYS), meanwhile=st.sampled_from(MEANWHILE))
    def begin(self, jobs: int, play: str, meanwhile: str) -> None:
        self.people = [make_user("submitter") for _ in range(2)]
        for slots, architectures in FLEET:
            self.add(slots, architectures)
        for number in range(jobs):
            self.submit("x86_64", Priority.NORMAL, play, again=True, who=number % 2, jobs=1)
        self.dispatch(0, is_whole=True, meanwhile=meanwhile)

    # ---- what people do ----
    @rule(
        architecture=st.sampled_from(WANTED),
        priority=st.sampled_from(Priority),
        play=st.sampled_from(PLAYS),
        again=st.booleans(),
        who=st.integers(0, 1),
        jobs=st.integers(1, 3),
    )
    def submit(
        self, architecture: str, priority: Priority, play: str, again: bool, who: int, jobs: int
    ) -> None:
        fields = {
            "source_repository": f"https://git.example/{who}.git",
            "target_architecture": architecture,
            "priority": priority,
            "provider": "fake",
            "labels": {"fake": play},
            "spec": {"retry_on": ["exit_code", "lost"]} if again else {},
        }
        key = key_of(needs_of(BuildJob(**fields)))
        for _ in range(jobs):
            job = lifecycle.submit_job({**fields, "needs_key": key}, actor=OPERATOR, user=self.people[who])
            self.submitted.add(job.pk)

    @precondition(lambda self: self.submitted)
    @rule(which=any_number)
    def cancel(self, which: int) -> None:
        """Whatever it does; what has ended already stays as it is."""
        jobs = BuildJob.objects.order_by("created_at", "pk")
        with suppress(IllegalTransition):
            lifecycle.request_cancel(jobs[which % len(jobs)], actor=OPERATOR)

    # ---- what builds do ----
    @precondition(lambda self: self.submitted)
    @rule(most=st.integers(1, 4), is_reached=st.sampled_from([True, True, False]))
    def follow(self, most: int, is_reached: bool) -> None:
        """As followers do, who end what is over and start what was claimed, or cannot reach its server."""
        for attempt in self.active(AttemptStatus.RUNNING)[:most]:
            self.end(attempt)
        for attempt in self.active(AttemptStatus.CLAIMED)[:most]:
            if is_reached:
                self.start(attempt)
            else:
                lifecycle.release_attempt(attempt, reason="Nothing was sent.")

    def active(self, status: AttemptStatus) -> list[Attempt]:
        rows = Attempt.objects.filter(status=status).select_related("job", "server")
        return list(rows.order_by("created_at", "pk"))

    def start(self, attempt: Attempt) -> None:
        lifecycle.mark_submitted(attempt)
        labels = {str(name): str(value) for name, value in attempt.job.labels.items()}
        self.provider.trigger(change_of(attempt.job), Metadata(attempt_id=str(attempt.pk), labels=labels))
        lifecycle.start_attempt(attempt)
        lifecycle.set_phase(attempt, phase=BuildPhase.BUILDING)

    def end(self, attempt: Attempt) -> None:
        """Some plays go on until the wish to cancel is passed on. Then comes the short task."""
        one = Followed(attempt, self.provider)
        if one.cancel_wished:
            one.send_cancel()
        report = self.provider.poll([(one.build_id, 0)], max_bytes=1000)[0]
        if not report.exists:
            collect.end(one, judge_lost(phase=attempt.phase, message="It is gone."))
        elif report.status.is_final:
            collect.finish(one, report)
        else:
            return
        self.provider.forget([one.build_id])
        collect.note_forgotten([attempt.pk])
        judge_server(attempt.pk)

    # ---- what servers do, and people with them ----
    def add(self, slots: int, architectures: list[str]) -> None:
        server = make_server(max_concurrent_builds=slots, architectures=architectures)
        until = timezone.now() + timedelta(days=1)
        ServerLease.objects.update_or_create(server=server, defaults={"runner": "all", "until": until})

    @rule(
        which=any_number, what=st.sampled_from(["leave", "drain", "maintain", "quarantine", "try", "remove"])
    )
    def take_out(self, which: int, what: str) -> None:
        server = self.server(which)
        if what == "leave":
            health.note_unreachable(server.pk, reason="It does not answer.")
        elif what == "drain":
            with suppress(ServerConflict):  # it is being removed
                set_draining(server.pk, enabled=True, actor=OPERATOR, reason="A new disk.")
        elif what == "maintain":
            set_maintenance(server.pk, enabled=True, actor=OPERATOR, reason="A new disk.")
        elif what == "quarantine":
            set_quarantine(server.pk, enabled=True, actor=OPERATOR, reason="It fails.")
        elif what == "try":
            now = timezone.now()
            set_quarantine(server.pk, enabled=True, actor=OPERATOR, reason="It failed.", until=now)
        elif not BuildServer.objects.filter(removal_requested_at__isnull=False).exists():
            # It is gone once nothing of its builds runs; another one takes its place.
            remove_by_force(server, actor=OPERATOR, confirm=server.name)
            self.add(server.max_concurrent_builds, server.architectures)

    @rule(which=any_number, slots=st.integers(1, 3))
    def put_back(self, which: int, slots: int) -> None:
        """With another limit."""
        server = self.server(which)
        BuildServer.objects.filter(pk=server.pk).update(max_concurrent_builds=slots)
        fit_all_slots()
        self.bring_back(server)

    def server(self, which: int) -> BuildServer:
        servers = BuildServer.objects.order_by("created_at", "pk")
        return servers[which % len(servers)]

    def bring_back(self, server: BuildServer) -> None:
        withdraw_removal(server, actor=OPERATOR)
        set_draining(server.pk, enabled=False, actor=OPERATOR)
        set_maintenance(server.pk, enabled=False, actor=OPERATOR)
        set_quarantine(server.pk, enabled=False, actor=OPERATOR)
        health.note_reached(server.pk)

    # ---- what the board does ----
    @rule(which=st.integers(0, 1), is_whole=st.booleans(), meanwhile=st.sampled_from(MEANWHILE))
    def dispatch(self, which: int, is_whole: bool, meanwhile: str) -> None:
        """One pass; perhaps something happens once it has read the fleet, or found that its first job still waits."""
        others: list[Attempt] = []
        dispatcher, other = self.dispatchers[which], self.dispatchers[1 - which]
        experience = dispatcher._experience

        def read_then_wait(*, tools: Tools | None = None) -> list[ServerFacts]:
            fleet = load_fleet(tools=tools)
            if meanwhile == "one is drained":
                self.take_out(which, what="drain")
            elif meanwhile == "another dispatches":
                with mock.patch.object(dispatch, "load_fleet", load_fleet):
                    others.extend(other.dispatch())
            return fleet

        def wait_then_read(*args: Any, **kwargs: Any) -> Past:
            if meanwhile == "another is faster":
                others.extend(other.dispatch())
            return Experience.of(experience, *args, **kwargs)

        with (
            mock.patch.object(dispatch, "load_fleet", read_then_wait),
            mock.patch.object(experience, "of", wait_then_read),
        ):
            claimed = dispatcher.dispatch(explain=is_whole)
        self.check_claims([*others, *claimed])

    @rule()
    def look(self) -> None:
        """Both look at the whole queue; then nobody waits whom a server would take, and all know why they wait."""
        self.let_all_be_due()  # else something might become due between the looks and the question
        for dispatcher in self.dispatchers:
            self.check_claims(dispatcher.dispatch())
        fleet, now = load_fleet(), timezone.now()
        told: dict[UUID, set[tuple[UUID | None, str]]] = {}
        for job_id, server_id, condition in Refusal.objects.filter(until__isnull=True).values_list(
            "job", "server", "condition"
        ):
            told.setdefault(job_id, set()).add((server_id, condition))
        waiting = ready_jobs()
        for job in waiting:
            choice = choose(fleet, needs=job.needs, now=now, waited_seconds=job.waited_seconds(now))
            assert choice.able == []
            if job.id in told:
                assert told[job.id] == look_of(choice.refusals, fleet_empty=not fleet).keys()
        assert told.keys() <= {job.id for job in waiting}
        told_of_class = Counter(job.key for job in waiting if job.id in told)
        for key, count in Counter(job.key for job in waiting).items():
            assert told_of_class[key] >= min(count, KEPT_OF_A_CLASS)

    def check_claims(self, attempts: list[Attempt]) -> None:
        """Whoever was given something is in service and within its limit; on trial it has one build."""
        assert len({attempt.job_id for attempt in attempts}) == len(attempts)
        for server in BuildServer.objects.filter(pk__in=[attempt.server_id for attempt in attempts]):
            assert Attempt.objects.active().filter(server=server).count() <= server.max_concurrent_builds
            assert (server.enabled, server.draining) == (True, False)
            assert server.status == ServerStatus.ONLINE
            if server.quarantined_since is not None:
                assert [one.pk for one in attempts if one.server_id == server.pk] == [server.canary_id]

    def let_all_be_due(self) -> None:
        """What was to wait has waited: retries, quarantines with an end."""
        past = timezone.now() - timedelta(seconds=1)
        BuildJob.objects.filter(not_before__isnull=False).update(not_before=past)
        BuildServer.objects.filter(quarantined_until__lt=NEVER).update(quarantined_until=past)
        Attempt.objects.filter(completed_at__isnull=False).update(completed_at=past - timedelta(minutes=1))

    @rule()
    def pass_time(self) -> None:
        self.let_all_be_due()
        for repair in (judge_ended_canaries, end_what_is_over, finish_removals, expire_jobs):
            repair()

    @invariant()
    def the_board_goes_on(self) -> None:
        """After each step a little, whatever the rules: hypothesis leaves some of them out of each example."""
        self.steps += 1
        if self.steps % 4 == 1:
            self.check_claims(self.dispatchers[self.steps // 4 % 2].dispatch(explain=False))
        elif self.steps % 4 == 3:
            self.follow(2, is_reached=True)

    # ---- what must hold ----
    @invariant()
    def every_active_job_has_one_attempt_and_that_one_slot(self) -> None:
        active = list(Attempt.objects.active().values_list("job", "pk", "server", "status"))
        jobs = BuildJob.objects.filter(status__in=[JobStatus.CLAIMED, JobStatus.RUNNING])
        assert sorted((row[0], row[3]) for row in active) == sorted(jobs.values_list("pk", "status"))
        held = Slot.objects.filter(holder__isnull=False).values_list("holder", "server")
        assert sorted(held) == sorted((row[1], row[2]) for row in active)

    @invariant()
    def what_ended_stays_as_it_ended_and_nothing_is_forgotten(self) -> None:
        status = dict(BuildJob.objects.values_list("pk", "status"))
        self.submitted |= status.keys()  # victims of a bad server are queued again as new jobs
        assert status.keys() == self.submitted
        assert {job_id: status[job_id] for job_id in self.ended} == self.ended
        self.ended = {job_id: found for job_id, found in status.items() if found in JOB_TERMINAL}

    @invariant()
    def every_queued_job_can_be_taken_or_is_told_why_not(self) -> None:
        for verdicts in self.verdicts():
            assert verdicts
            for one in verdicts:
                assert one.verdict is Verdict.ELIGIBLE or all(one.reasons)
                assert one.reasons or one.verdict is Verdict.ELIGIBLE

    def verdicts(self) -> list[list[ServerVerdict]]:
        needs = {needs_of(job) for job in BuildJob.objects.queued()}
        fleet = load_fleet() if needs else []
        return [judge_fleet(fleet, needs=one, now=timezone.now()) for one in needs]

    def teardown(self) -> None:
        """Once all servers are back, whatever one of them fits comes to its end; the rest can never be built."""
        try:
            self.look()
            for server in BuildServer.objects.all():
                self.bring_back(server)
            for number in range(MOST_ROUNDS * len(self.submitted)):
                if not BuildJob.objects.unfinished().exclude(target_architecture="s390x").exists():
                    break
                self.play_round(self.dispatchers[number % 2])
            left = BuildJob.objects.unfinished().values_list("status", "target_architecture")
            assert set(left) <= {(JobStatus.QUEUED, "s390x")}
            self.look()
            self.what_ended_stays_as_it_ended_and_nothing_is_forgotten()
            assert not any(one.fits for verdicts in self.verdicts() for one in verdicts)
        finally:
            transaction.set_rollback(True)
            self.world.__exit__(None, None, None)

    def play_round(self, dispatcher: Dispatcher) -> None:
        self.pass_time()
        self.check_claims(dispatcher.dispatch())
        most = len(self.submitted)
        self.follow(most, is_reached=True)
        for attempt in self.active(AttemptStatus.RUNNING):
            if attempt.job.labels["fake"].startswith("seconds="):
                lifecycle.request_cancel(attempt.job, actor=BOARD)
        self.follow(most, is_reached=True)


@pytest.mark.django_db
@pytest.mark.slow
def test_whatever_happens_no_server_is_overfull_no_job_runs_twice_and_none_is_forgotten() -> None:
    run_state_machine_as_test(
        QueueAndFleet,
        settings=settings(
            max_examples=12,
            stateful_step_count=22,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
