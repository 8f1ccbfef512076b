"""Whose fault a failure is: verdicts on a server and on its canary, as pure functions of what was tried."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.diagnosis.host_fault import (
    LEAST_BUILDS,
    LEAST_OF_ONE_REPOSITORY,
    Came,
    CanaryVerdict,
    Grounds,
    Tried,
    judge_canary,
    judge_host,
)
from tests.jobs.trials import id_of, tried

BUILDS = ["a 1", "a 2", "b 1"]
PASSED, FAILED, RUNS = Came.PASSED, Came.FAILED, Came.RUNS


def grounds(*some: Tried, server: str = "bad") -> Grounds | None:
    found = judge_host(id_of(server), some)
    return found.grounds if found else None


def failures(builds: Sequence[str] = tuple(BUILDS), *, server: str = "bad", **fields: Any) -> list[Tried]:
    return [tried(server, build, FAILED, **fields) for build in builds]


def passes(builds: Sequence[str] = tuple(BUILDS), *, server: str = "good", **fields: Any) -> list[Tried]:
    return [tried(server, build, PASSED, **fields) for build in builds]


# ---- what passes elsewhere --------------------------------------------------------------------------------


def test_a_server_that_fails_what_passes_elsewhere_is_accused_with_its_victims() -> None:
    found = judge_host(id_of("bad"), some := [*failures(fingerprint="sign"), *passes()])

    assert found is not None
    assert found.grounds is Grounds.PASSES_ELSEWHERE
    assert found.reason == "3 different builds of 2 repositories failed here and passed on other servers."
    assert found.victims == tuple(one.attempt_id for one in some[:3])
    assert found.signs == {"sign"}


def test_the_server_where_they_passed_is_not_accused() -> None:
    assert grounds(*failures(), *passes(), server="good") is None


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_one_build_less_is_not_enough(left_out: int) -> None:
    builds = [build for number, build in enumerate(BUILDS) if number != left_out]

    assert grounds(*failures(builds), *passes(builds)) is None


def test_the_same_build_over_and_over_counts_once() -> None:
    assert grounds(*(failures(["a 1", "b 1"]) * 5), *passes()) is None


def test_one_repository_alone_must_show_it_with_more_builds() -> None:
    builds = [f"a {number}" for number in range(LEAST_OF_ONE_REPOSITORY)]

    assert grounds(*failures(builds[:-1]), *passes(builds[:-1])) is None
    assert grounds(*failures(builds), *passes(builds)) is Grounds.PASSES_ELSEWHERE


def test_jobs_of_a_branch_whose_commit_is_not_known_are_compared_by_their_retries_alone() -> None:
    unknown = failures(commit="")
    other_jobs = [tried("good", one.work, PASSED, job=id_of(f"not {one.work}"), commit="") for one in unknown]
    retries = [tried("good", one.work, PASSED, job=one.job, commit="") for one in unknown]

    assert grounds(*unknown, *other_jobs) is None
    assert grounds(*unknown, *retries) is Grounds.PASSES_ELSEWHERE


def test_a_few_failures_among_many_builds_that_go_well_accuse_nobody() -> None:
    well = [tried("bad", f"c {number}", PASSED) for number in range(4)]

    assert grounds(*failures(), *passes(), *well[:3]) is Grounds.PASSES_ELSEWHERE
    assert grounds(*failures(), *passes(), *well) is None


def test_what_went_well_before_the_first_failure_does_not_count() -> None:
    before = [tried("bad", f"c {number}", PASSED, minute=-10) for number in range(20)]

    assert grounds(*before, *failures(), *passes()) is Grounds.PASSES_ELSEWHERE


# ---- what the build itself explains -----------------------------------------------------------------------


def test_builds_that_fail_everywhere_accuse_nobody() -> None:
    some = [one for server in ("bad", "good", "third") for one in failures(server=server, fingerprint="sign")]

    assert [grounds(*some, server=server) for server in ("bad", "good", "third")] == [None] * 3


def test_a_build_that_passed_on_the_same_server_is_flaky_and_accuses_nobody() -> None:
    assert grounds(*failures(), *passes(), tried("bad", "b 1", PASSED)) is None


def test_a_build_that_both_passes_and_fails_on_a_peer_is_flaky_too() -> None:
    assert grounds(*failures(), *passes(), *failures(server="good")) is None


def test_two_bad_servers_of_three_are_both_found() -> None:
    some = [*failures(), *failures(server="worse"), *passes()]

    assert grounds(*some) is Grounds.PASSES_ELSEWHERE
    assert grounds(*some, server="worse") is Grounds.PASSES_ELSEWHERE


# ---- fast and alike, and what never begins ----------------------------------------------------------------

ALIKE: dict[str, Any] = {
    "fingerprint": "sign",
    "seconds": 2.0,
    "message": "The build command failed with exit code 127.",
}


def test_fast_failures_alike_of_different_repositories_accuse_while_others_go_on() -> None:
    found = judge_host(id_of("bad"), [*failures(**ALIKE), tried("good", "z 1", PASSED, minute=1)])

    assert found is not None
    assert found.grounds is Grounds.FAILS_ALIKE
    assert found.reason == (
        "3 different builds of 2 repositories failed here within 2 s each and all alike, as on no other server: "
        "The build command failed with exit code 127."
    )


@pytest.mark.parametrize(
    "others",
    [
        [],
        [tried("good", "z 1", PASSED, minute=-1)],
        [tried("good", "z 1", FAILED, minute=1)],
        [tried("good", "z 1", RUNS, minute=1, seconds=1.0)],
        [tried("good", "z 1", PASSED, minute=1), tried("good", "z 2", FAILED, fingerprint="sign")],
    ],
    ids=["no peers", "before", "fails", "runs as shortly", "the same failure there"],
)
def test_fast_failures_alike_accuse_nobody_unless_others_go_on(others: list[Tried]) -> None:
    assert grounds(*failures(**ALIKE), *others) is None


def test_a_build_that_runs_longer_elsewhere_shows_that_others_go_on() -> None:
    running = tried("good", "z 1", RUNS, minute=1, seconds=3.0)

    assert grounds(*failures(**ALIKE), running) is Grounds.FAILS_ALIKE


@pytest.mark.parametrize("changed", [{"seconds": 61.0}, {"fingerprint": ""}])
def test_slow_failures_and_those_that_say_nothing_are_not_alike(changed: dict[str, Any]) -> None:
    some = [*failures(["a 1", "a 2"], **ALIKE), *failures(["b 1"], **ALIKE | changed)]

    assert grounds(*some, tried("good", "z 1", PASSED, minute=1)) is None


def test_failures_of_one_repository_alone_need_others_to_go_on_with_it() -> None:
    some = failures([f"a {number}" for number in range(LEAST_OF_ONE_REPOSITORY)], **ALIKE)

    assert grounds(*some, tried("good", "z 1", PASSED, minute=1)) is None
    assert grounds(*some, tried("good", "a 99", PASSED, minute=1)) is Grounds.FAILS_ALIKE


def test_builds_that_never_begin_accuse_while_they_begin_elsewhere() -> None:
    some = [
        tried("bad", build, FAILED, began=False, fingerprint=f"sign {number}", seconds=300.0)
        for number, build in enumerate(BUILDS)
    ]

    assert grounds(*some) is None
    assert grounds(*some, tried("good", "z 1", RUNS, minute=1, seconds=1.0)) is Grounds.NEVER_BEGINS
    assert grounds(*some, tried("good", "z 1", RUNS, minute=1, began=False)) is None


@pytest.mark.parametrize("began", [True, False])
def test_what_names_its_server_accuses_it_by_what_passes_elsewhere_alone(began: bool) -> None:
    others = [tried("good", "z 1", PASSED, minute=1)]
    bound = failures(**ALIKE, began=began, is_bound=True)

    assert grounds(*bound, *others) is None
    assert grounds(*bound[:1], *failures(BUILDS[1:], **ALIKE, began=began), *others) is None
    assert grounds(*bound, *failures(**ALIKE, began=began), *others) is Grounds.FAILS_ALIKE
    assert grounds(*bound, *passes()) is Grounds.PASSES_ELSEWHERE


def test_what_names_its_server_and_fails_there_does_not_speak_for_it() -> None:
    bound = failures([f"c {number}" for number in range(9)], is_bound=True)
    others = [tried("good", "z 1", PASSED, minute=1)]

    assert grounds(*bound, *failures(**ALIKE), *others) is Grounds.FAILS_ALIKE


# ---- the canary -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("canary", "others", "expected"),
    [
        (tried("bad", "a 1", PASSED), [], CanaryVerdict.WELL),
        (tried("bad", "a 1", RUNS), [], CanaryVerdict.UNSURE),
        (tried("bad", "a 1", FAILED), [], CanaryVerdict.UNSURE),
        (tried("bad", "a 1", FAILED, fingerprint="other"), [], CanaryVerdict.UNSURE),
        (tried("bad", "a 1", FAILED, fingerprint="sign"), [], CanaryVerdict.UNWELL),
        (tried("bad", "a 1", FAILED, fingerprint="other", began=False), [], CanaryVerdict.UNWELL),
        (tried("bad", "a 1", FAILED), passes(["a 1"]), CanaryVerdict.UNWELL),
        (tried("bad", "a 1", FAILED, fingerprint="sign", is_bound=True), [], CanaryVerdict.UNSURE),
        (tried("bad", "a 1", FAILED, fingerprint="other", is_bound=True), [], CanaryVerdict.NOTHING),
        (tried("bad", "a 1", FAILED, fingerprint="x", began=False, is_bound=True), [], CanaryVerdict.NOTHING),
        (tried("bad", "a 1", FAILED, is_bound=True), passes(["a 1"]), CanaryVerdict.UNWELL),
        (
            tried("bad", "a 1", FAILED, fingerprint="sign"),
            failures(["a 1"], server="good"),
            CanaryVerdict.NOTHING,
        ),
        (
            tried("bad", "a 1", FAILED, fingerprint="sign"),
            failures(["z 1"], server="good", fingerprint="sign"),
            CanaryVerdict.NOTHING,
        ),
        (
            tried("bad", "a 1", FAILED, fingerprint="sign"),
            [*passes(["a 1"]), *failures(["z 1"], server="third", fingerprint="sign")],
            CanaryVerdict.UNWELL,
        ),
    ],
)
def test_a_canary_tells_by_what_its_peers_make_of_it(
    canary: Tried, others: list[Tried], expected: CanaryVerdict
) -> None:
    assert judge_canary(canary, [canary, *others], signs=frozenset({"sign"})) is expected


# ---- whatever was tried -----------------------------------------------------------------------------------

SERVERS = ["one", "two", "three"]
ATTEMPTS = st.builds(
    lambda server, repository, number, came, sign, began, seconds, minute: tried(
        server,
        f"{repository} {number}",
        came,
        fingerprint=sign if came is FAILED else "",
        began=began or came is PASSED,
        seconds=seconds,
        minute=minute,
    ),
    st.sampled_from(SERVERS),
    st.sampled_from("abc"),
    st.integers(1, 8),
    st.sampled_from([FAILED, FAILED, PASSED, RUNS]),
    st.sampled_from(["", "x", "y"]),
    st.booleans(),
    st.sampled_from([1.0, 30.0, 600.0]),
    st.integers(-5, 5),
)
HISTORIES = st.lists(ATTEMPTS, max_size=60)


@given(HISTORIES)
def test_an_accusation_always_has_enough_victims_of_that_server_that_no_peer_failed_alone(
    history: list[Tried],
) -> None:
    for server in SERVERS:
        found = judge_host(id_of(server), history)
        if found is None:
            continue
        victims = [one for one in history if one.attempt_id in found.victims]
        assert {one.server_id for one in victims} == {id_of(server)}
        assert {one.came for one in victims} == {FAILED}
        assert len({one.identity for one in victims}) >= LEAST_BUILDS
        assert found.reason.endswith(".")
        for one in victims:
            peers = [other for other in history if other.server_id != one.server_id and other.is_same(one)]
            fails_everywhere = peers and all(other.came is FAILED for other in peers)
            assert not fails_everywhere


@given(HISTORIES)
def test_the_order_in_which_attempts_are_read_does_not_matter(history: list[Tried]) -> None:
    for server in SERVERS:
        there = judge_host(id_of(server), history)
        back = judge_host(id_of(server), history[::-1])
        assert (there and there.grounds, there and set(there.victims)) == (
            back and back.grounds,
            back and set(back.victims),
        )


@given(st.lists(st.integers(1, 30), max_size=30), st.sampled_from(["", "x"]), st.sampled_from([1.0, 600.0]))
def test_one_repository_whose_builds_pass_nowhere_never_accuses(
    numbers: list[int], sign: str, seconds: float
) -> None:
    history = [tried("one", f"a {number}", FAILED, fingerprint=sign, seconds=seconds) for number in numbers]
    others = [tried("two", f"b {number}", PASSED, minute=1) for number in range(5)]

    assert judge_host(id_of("one"), [*history, *others]) is None


@given(HISTORIES)
def test_a_server_without_peers_is_never_accused(history: list[Tried]) -> None:
    alone = [one for one in history if one.server_id == id_of("one")]

    assert judge_host(id_of("one"), alone) is None
