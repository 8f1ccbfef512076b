"""The language of artifact patterns, and what is kept within the limits."""

import pytest

from jobs import selection as module
from jobs.selection import matches, select_files, shorten, starts_of


@pytest.mark.parametrize(
    ("path", "pattern", "wanted"),
    [
        ("a.deb", "*.deb", True),
        ("out/a.deb", "*.deb", False),
        ("out/a.deb", "out/*.deb", True),
        ("out/x/a.deb", "out/**/*.deb", True),
        ("out/a.deb", "out/**/*.deb", True),
        ("out/a/b/c", "out/", True),
        ("out", "out/", False),
        ("a/b/c.txt", "**", True),
        ("a/b/c.txt", "**/c.txt", True),
        ("c.txt", "**/c.txt", True),
        ("a/c.txt.gz", "**/c.txt", False),
        ("A.txt", "a.txt", False),
        ("a.txt", "./a.txt", True),
        ("[x]", "[[]x]", True),
        ("a/b", "a/b/c", False),
        ("out/a/b", "out", True),
        ("out/a/b", "out/a", True),
        ("out/a/b", "./out//a/.", True),
        ("outer", "out", False),
        ("a/out/b", "*/out", True),
        ("a/b/c", "a/*", False),
        ("a/b", ".", True),
        ("a/b", "./", True),
    ],
)
def test_matches(path: str, pattern: str, wanted: bool) -> None:
    assert matches(path, pattern) is wanted


def test_hostile_pattern_ends() -> None:
    assert not matches("a" * 200 + "/" + "a" * 200, "*a" * 200 + "b/**/" + "*a" * 100 + "b")


@pytest.mark.parametrize(
    "pattern", ["**/" * 341 + "b", "**/a/" * 200 + "b", "**/*/" * 200 + "b", "*/" * 511 + "b"]
)
def test_patterns_too_costly_for_the_files_leave_out_the_rest(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_COMPARISONS", 1000)
    deep = "/".join(["a"] * 500)
    globs = [f"{pattern}{number}" for number in range(4)]

    selection = select_files(
        [(f"{deep}/{number}", 1) for number in range(10_000)], patterns=globs, limit_bytes=1
    )

    assert selection.sizes == {}
    assert selection.left_out == [
        f"{deep[:80]} and what follows: the patterns are too many for so many files"
    ]


def test_many_plain_patterns_are_compared_with_many_files() -> None:
    files = [(f"out/dir{number % 100}/file{number}.deb", 1) for number in range(10_000)]

    selection = select_files(files, patterns=[f"out/*/file{n}.deb" for n in range(20)], limit_bytes=100)

    assert (len(selection.sizes), selection.left_out) == (20, [])


def test_select_keeps_within_the_limit_and_says_what_was_left_out() -> None:
    selection = select_files([("b", 6), ("a", 5), ("c", 1)], patterns=["*"], limit_bytes=8)

    assert selection.sizes == {"a": 5, "c": 1}
    assert selection.left_out == ["b: the job's limit of 8 bytes is reached (BUILDBOARD_MAX_ARTIFACT_BYTES)"]


def test_select_names_the_pattern_that_found_nothing() -> None:
    selection = select_files([("a", 1)], patterns=["a", "*.deb"], limit_bytes=8)

    assert (selection.sizes, selection.left_out) == ({"a": 1}, ["*.deb: no file has such a name"])


def test_select_calls_a_pattern_found_though_another_found_the_same() -> None:
    selection = select_files([("out/a", 1)], patterns=["out/**", "out/a"], limit_bytes=8)

    assert (selection.sizes, selection.left_out) == ({"out/a": 1}, [])


def test_select_never_takes_what_git_keeps() -> None:
    files = [(".git/config", 1), (".git/objects/pack/x", 1), (".gitignore", 1), ("a/.git/x", 1)]

    assert select_files(files, patterns=["**", ".git"], limit_bytes=8).sizes == {
        ".gitignore": 1,
        "a/.git/x": 1,
    }


def test_select_keeps_so_many_files_and_such_long_names_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 2)
    files = [("0" * 1025, 1), ("a", 1), ("b", 1), ("c", 1)]

    selection = select_files(files, patterns=["*"], limit_bytes=8)

    assert selection.sizes == {"a": 1, "b": 1}
    assert selection.left_out == [
        f"{'0' * 80}…: its name is longer than 1024 characters",
        "c: a job keeps at most 2 files",
    ]


def test_left_out_is_told_with_the_number_of_the_rest() -> None:
    sentences = [str(number) for number in range(103)]

    assert shorten(sentences[:100]) == sentences[:100]
    assert shorten(sentences) == [*sentences[:100], "and 3 more"]


@pytest.mark.parametrize(
    ("patterns", "starts"),
    [
        (["arch/x86/boot/bzImage"], [("arch/x86/boot/bzImage", 100)]),
        (["out/*.deb", "out/*/*.deb"], [("out", 2)]),
        (["*.deb"], [("", 1)]),
        (["out/**/*.deb", "out/a/b.txt", "outer/x*"], [("out", 100), ("outer", 1)]),
        (["**/*.ko", "vmlinux"], [("", 100)]),
        (["dist/"], [("dist", 100)]),
        (["[ab]/c"], [("", 100)]),
    ],
)
def test_files_are_looked_for_where_they_can_lie(patterns: list[str], starts: list[tuple[str, int]]) -> None:
    assert starts_of(patterns) == starts
