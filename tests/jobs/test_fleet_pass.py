"""What is remembered from pass to pass never differs from what is judged anew."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobs.execution.fleet_pass import FleetPass
from jobs.needs import Needs
from jobs.queue.choice import Judged, choose
from jobs.queue.score import usual_scoring
from servers.fleet import ServerFacts
from servers.states import ServerStatus
from tests.jobs.fleets import NOW, facts

NEEDS = [Needs("x86_64"), Needs("aarch64"), Needs("x86_64", memory_mb=2048)]
servers = st.builds(
    facts,
    name=st.sampled_from(["one", "two", "three"]),
    status=st.sampled_from([ServerStatus.ONLINE, ServerStatus.OFFLINE]),
    architectures=st.sampled_from(
        [frozenset({"x86_64"}), frozenset({"aarch64"}), frozenset({"x86_64", "aarch64"})]
    ),
    held=st.integers(0, 4),
    cpu_percent=st.sampled_from([None, 10.0, 99.0]),
    starts_refused_until=st.sampled_from([None, NOW + timedelta(seconds=30)]),
)
fleets = st.lists(servers, unique_by=lambda server: server.id).map(
    lambda fleet: {one.id: one for one in sorted(fleet, key=lambda one: one.name)}
)


@given(st.lists(st.tuples(fleets, st.integers(0, 60)), min_size=2, max_size=4), st.sampled_from(NEEDS))
def test_renewed_judgement_is_the_same_as_a_new_one(
    looks: list[tuple[dict[object, ServerFacts], int]], needs: Needs
) -> None:
    judged = Judged([], needs=needs, now=NOW)
    before: dict[object, ServerFacts] = {}
    waited = 0.0

    for number, (fleet, seconds) in enumerate(looks):
        kept = {key: before[key] if before.get(key) == one else one for key, one in fleet.items()}
        scoring = usual_scoring(waiting={one.id: float(number) for one in fleet.values()})
        now, before, changes, had = NOW + timedelta(seconds=seconds), kept, judged.changes, judged.choice
        judged.renew(kept, now=now, scoring=scoring)  # type: ignore[arg-type]  # the keys are ids

        new = choose(fleet.values(), needs=needs, now=now, waited_seconds=waited, scoring=scoring)
        assert judged.choice == new
        if judged.changes == changes:
            assert judged.choice.refusals == had.refusals


def test_servers_that_are_as_they_were_are_the_same_objects() -> None:
    first = FleetPass([facts("one"), facts("two")], before={}, judged={}, scoring=usual_scoring())
    busy = replace(facts("two"), held=1)

    second = FleetPass([facts("one"), busy], before=first.servers, judged={}, scoring=usual_scoring())

    one, two = (facts(name).id for name in ("one", "two"))
    assert second.servers[one] is first.servers[one]
    assert second.servers[two] is busy


def test_class_is_judged_once_and_known_by_the_next_pass() -> None:
    fleet, needs = [facts("one")], NEEDS[0]
    first = FleetPass(fleet, before={}, judged={}, scoring=usual_scoring())
    judged = first.judge(needs)
    assert first.judge(needs) is judged

    second = FleetPass(fleet, before=first.servers, judged=first.classes, scoring=usual_scoring())
    assert second.judge(needs) is judged
    assert second.judge(NEEDS[1]) is not judged
