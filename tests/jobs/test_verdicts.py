"""How servers stand to a job: the nearest first, each with its reasons, and how many are left step by step."""

from dataclasses import replace

from jobs.queue.conditions import Condition
from jobs.queue.verdicts import COLUMNS, ServerVerdict, Step, Verdict, judge_fleet, steps_to_one
from servers.states import ServerStatus
from tests.jobs.fleets import NOW, X86, facts

FLEET = [
    facts("arm", architectures=frozenset({"aarch64"}), group="south"),
    facts("away", status=ServerStatus.OFFLINE),
    facts("full", slots=2, held=2),
    facts("half", held=2),
    facts("idle"),
    facts("off", enabled=False, slots=1, held=1),
]


def test_every_server_is_told_the_nearest_first() -> None:
    verdicts = judge_fleet(FLEET, needs=X86, now=NOW)

    assert [(one.server.name, one.verdict.value, one.reasons) for one in verdicts] == [
        ("idle", "eligible", []),
        ("half", "eligible", []),
        ("full", "busy", ["Is full: all 2 slots are taken."]),
        ("away", "refused", ["Is offline."]),
        ("off", "refused", ["Is switched off.", "Is full: its only slot is taken."]),
        ("arm", "refused", ["Builds aarch64, not x86_64."]),
    ]
    assert [one.fits for one in verdicts] == [True] * 5 + [False]
    assert verdicts[0].told == "idle can take it now."
    assert verdicts[4].told == "off is switched off; is full: its only slot is taken."


def test_a_sentence_that_ends_by_itself_gets_no_other_stop() -> None:
    reason = "north:22 lets `build` not in. Is the public key in its authorized_keys?"
    away = facts("north", status=ServerStatus.OFFLINE, status_reason=reason)

    (verdict,) = judge_fleet([away], needs=X86, now=NOW)

    assert verdict.reasons == [f"Is offline: {reason}"]
    assert verdict.told == f"north is offline: {reason}"


def test_a_server_passed_over_for_its_cpu_is_busy_and_taken_when_no_other_may_come_free() -> None:
    hot = facts("hot", cpu_percent=99.0)

    passed_over = judge_fleet([hot, FLEET[2]], needs=X86, now=NOW)
    taken = judge_fleet([hot, FLEET[1]], needs=X86, now=NOW)

    assert [one.verdict for one in passed_over] == [Verdict.BUSY, Verdict.BUSY]
    assert [one.verdict for one in taken] == [Verdict.ELIGIBLE, Verdict.REFUSED]


def test_each_server_is_checked_in_every_column_and_each_condition_is_in_one() -> None:
    verdicts = {one.server.name: one.checks for one in judge_fleet(FLEET, needs=X86, now=NOW)}

    assert verdicts["idle"] == [True] * 5
    assert verdicts["arm"] == [False, None, True, True, True]
    assert verdicts["off"] == [True, True, True, False, False]
    assert sorted(one for _, conditions in COLUMNS for one in conditions) == sorted(Condition)


def test_the_steps_lead_from_all_servers_to_those_that_take_it() -> None:
    verdicts = judge_fleet(FLEET, needs=X86, now=NOW)

    assert steps_to_one(verdicts, needs=X86) == [
        Step("6 servers", 6, 100),
        Step("build x86_64", 5, 83),
        Step("in service", 3, 50),
        Step("within their limits", 3, 50),
        Step("a free slot now", 2, 33),
    ]


def test_the_steps_name_all_that_the_job_asks_for() -> None:
    needs = replace(X86, toolchain="gcc", group="north", cores=8, server="idle", server_id=str(FLEET[4].id))
    verdicts = judge_fleet(FLEET, needs=needs, now=NOW)

    steps = steps_to_one(verdicts, needs=needs)

    assert [(step.label, step.count) for step in steps] == [
        ("6 servers", 6),
        ("are idle", 1),
        ("build x86_64", 1),
        ("have gcc", 1),
        ("labels and group", 1),
        ("large enough", 1),
        ("in service", 1),
        ("within their limits", 1),
        ("a free slot now", 1),
    ]


def test_steps_of_no_server_are_nothing() -> None:
    assert {step.percent for step in steps_to_one([], needs=X86)} == {0}
    assert steps_to_one([ServerVerdict(FLEET[4])], needs=X86)[0].label == "1 server"
