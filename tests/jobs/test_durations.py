"""How long builds take, learnt from those that completed: which of them are asked, and what range they give."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.queue.durations import SAMPLES, Basis, Durations, Learnt, Sample, Work

REPOSITORY = "https://git.example/demo.git"
MAIN = Work(REPOSITORY, "main", "x86_64")
quick = settings(max_examples=60, deadline=None)


def samples(work: Work, *seconds: float, server: str = "one") -> list[Sample]:
    return [Sample(work, server, one) for one in seconds]


def told(found: Learnt | None) -> tuple[Basis, int, float] | None:
    return (found.basis, found.samples, round(found.likely)) if found else None


def test_nothing_is_known_before_the_first_build() -> None:
    assert Durations().is_empty
    assert Durations().of(MAIN, server="one") is None


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        (samples(MAIN, 10, 20, 30), (Basis.SERVER, 3, 20)),
        (
            samples(MAIN, 10, 20) + samples(Work(REPOSITORY, "dev", "x86_64"), 60),
            ("repository_on_server", 3, 19),
        ),
        # two is slower, so that its build says less
        (samples(MAIN, 10, 20) + samples(MAIN, 60, server="two"), (Basis.BRANCH, 3, 17)),
        (
            samples(MAIN, 10, 20) + samples(Work(REPOSITORY, "dev", "x86_64"), 60, server="two"),
            (Basis.REPOSITORY, 3, 15),
        ),
        # its own few say more than many of others
        (samples(MAIN, 10) + samples(Work("other", "main", "x86_64"), 60, 70, 80), (Basis.REPOSITORY, 1, 10)),
        (samples(Work("other", "main", "x86_64"), 60, 70, 80), (Basis.ARCHITECTURE, 3, 70)),
        (
            samples(Work("other", "main", "x86_64"), 60) + samples(Work("other", "main", "armv7"), 70, 80),
            (Basis.EVERYTHING, 3, 70),
        ),
        (samples(Work(REPOSITORY, "main", "armv7"), 70), (Basis.EVERYTHING, 1, 70)),
    ],
    ids=[
        *("branch on server", "repository on server", "branch", "repository", "few of its own"),
        *("architecture", "everything", "another architecture"),
    ],
)
def test_narrowest_group_with_three_builds_answers(
    past: list[Sample], expected: tuple[Basis, int, float]
) -> None:
    assert told(Durations(past).of(MAIN, server="one")) == expected


def test_without_a_server_those_of_the_branch_answer() -> None:
    durations = Durations(samples(MAIN, 10, 20, 30) + samples(MAIN, 100, 200, 300, server="two"))

    assert told(durations.of(MAIN)) == (Basis.BRANCH, 6, 55)
    assert told(durations.of(MAIN, server="two")) == (Basis.SERVER, 3, 157)


def worked(*servers: float, repositories: int = 3, builds: int = 4) -> list[Sample]:
    """Builds of several repositories on servers that are so much slower than one another."""
    return [
        Sample(Work(f"{REPOSITORY}-{number}", "main", "x86_64"), f"server-{at}", 100 * 2**number * slower)
        for _ in range(builds)
        for number in range(repositories)
        for at, slower in enumerate(servers)
    ]


def test_a_server_that_never_built_it_is_as_slow_as_at_other_works() -> None:
    new = samples(MAIN, 100, 100, 100, 100, server="server-0")
    durations = Durations([*worked(1, 3), *new])

    here, there = durations.of(MAIN, server="server-0"), durations.of(MAIN, server="server-1")
    assert here is not None
    assert there is not None
    assert 95 < here.likely < 105
    assert 2.4 < there.likely / here.likely < 3
    assert (here.basis, there.basis) == (Basis.SERVER, Basis.BRANCH)


def test_the_speed_learnt_for_one_architecture_says_nothing_of_another() -> None:
    cross = Work(REPOSITORY, "main", "armv7")
    durations = Durations([*worked(1, 3), *samples(cross, 100, 100, 100, server="server-0")])

    found = durations.of(cross, server="server-1")

    assert told(found) == (Basis.BRANCH, 3, 100)


def test_a_build_that_was_never_built_takes_what_others_would_there() -> None:
    durations = Durations(worked(1, 3))
    new = Work("new", "main", "x86_64")

    fast, slow = durations.of(new, server="server-0"), durations.of(new, server="server-1")

    assert fast is not None
    assert slow is not None
    assert (fast.basis, slow.basis) == (Basis.ARCHITECTURE, Basis.ARCHITECTURE)
    assert 2.4 < slow.likely / fast.likely < 3


def test_a_server_that_is_slow_at_one_repository_alone_is_told_so() -> None:
    odd = samples(MAIN, *[100.0] * 8, server="server-0") + samples(MAIN, *[900.0] * 8, server="server-1")
    durations = Durations([*worked(1, 1, 1, repositories=9), *odd])

    assert durations.of(MAIN, server="server-1").likely > 600  # type: ignore[union-attr]  # it was built there
    assert 180 < durations.of(Work(f"{REPOSITORY}-1", "main", "x86_64"), server="server-1").likely < 220  # type: ignore[union-attr]  # likewise


@quick
@given(
    st.lists(
        st.builds(
            Sample,
            st.builds(Work, st.just(REPOSITORY), st.sampled_from(["main", "dev"]), st.just("x86_64")),
            st.sampled_from(["one", "two", "three"]),
            st.floats(0, 1e6),
        ),
        min_size=1,
        max_size=40,
    ),
    st.floats(2, 10),
)
def test_all_builds_so_much_longer_are_expected_so_much_longer(past: list[Sample], factor: float) -> None:
    # None is under what counts at least.
    past = [Sample(one.work, one.server, one.seconds + 1) for one in past]
    longer = [Sample(one.work, one.server, one.seconds * factor) for one in past]

    for server in ("one", "three", "unknown"):
        before, after = Durations(past).of(MAIN, server=server), Durations(longer).of(MAIN, server=server)
        assert before is not None
        assert after is not None
        assert 0 < before.low < before.likely < before.high
        assert after.likely == pytest.approx(before.likely * factor)
        assert (after.basis, after.samples) == (before.basis, before.samples)


def test_first_of_its_kind_has_no_usual_time() -> None:
    durations = Durations(samples(Work("other", "main", "x86_64"), 60, 70, 80))

    assert durations.own(MAIN) is None
    assert told(durations.of(MAIN)) == (Basis.ARCHITECTURE, 3, 70)


def test_only_the_latest_count() -> None:
    durations = Durations(samples(MAIN, *[10.0] * SAMPLES, *[1000.0] * SAMPLES))

    assert told(durations.of(MAIN)) == (Basis.BRANCH, SAMPLES, 10)
