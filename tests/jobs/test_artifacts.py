"""Which files are kept, and how they lie in the storage."""

import hashlib
from pathlib import Path

import pytest
from django.conf import LazySettings

from jobs import artifacts
from jobs.artifacts import ArtifactError, keep_file, matches, read_artifact, select_files
from jobs.models import Artifact
from tests.factories import make_attempt


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
    monkeypatch.setattr(artifacts, "MOST_COMPARISONS", 1000)
    deep = "/".join(["a"] * 500)
    globs = [f"{pattern}{number}" for number in range(4)]

    selection = select_files(
        [(f"{deep}/{number}", 1) for number in range(10_000)], patterns=globs, limit_bytes=1
    )

    assert selection.paths == []
    assert selection.left_out == [
        f"{deep[:80]} and what follows: the patterns are too many for so many files"
    ]


def test_many_plain_patterns_are_compared_with_many_files() -> None:
    files = [(f"out/dir{number % 100}/file{number}.deb", 1) for number in range(10_000)]

    selection = select_files(files, patterns=[f"out/*/file{n}.deb" for n in range(20)], limit_bytes=100)

    assert (len(selection.paths), selection.left_out) == (20, [])


def test_select_keeps_within_the_limit_and_says_what_was_left_out() -> None:
    selection = select_files([("b", 6), ("a", 5), ("c", 1)], patterns=["*"], limit_bytes=8)

    assert selection.paths == ["a", "c"]
    assert selection.left_out == ["b: the job's limit of 8 bytes is reached (BUILDBOARD_MAX_ARTIFACT_BYTES)"]


def test_select_names_the_pattern_that_found_nothing() -> None:
    selection = select_files([("a", 1)], patterns=["a", "*.deb"], limit_bytes=8)

    assert (selection.paths, selection.left_out) == (["a"], ["*.deb: no file has such a name"])


@pytest.mark.django_db
def test_kept_file_reads_back_and_lies_under_its_hash(tmp_path: Path, settings: LazySettings) -> None:
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    attempt = make_attempt()
    content = b"x" * 300_000 + b"end"

    artifact = keep_file(
        attempt, path="../../etc/passwd", chunks=[content[:7], content[7:]], limit_bytes=1 << 20
    )
    again = keep_file(attempt, path="../../etc/passwd", chunks=[b"other"], limit_bytes=1 << 20)

    digest = hashlib.sha256(content).hexdigest()
    assert again == artifact
    assert (artifact.size, artifact.sha256) == (len(content), digest)
    assert b"".join(read_artifact(artifact, start=2, end=artifact.size)) == content[2:]
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [Path("storage/artifacts") / digest[:2] / digest]


@pytest.mark.django_db
def test_file_past_the_limit_is_not_kept(tmp_path: Path, settings: LazySettings) -> None:
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()

    with pytest.raises(ArtifactError):
        keep_file(make_attempt(), path="big", chunks=[b"12345", b"67890"], limit_bytes=7)

    assert not Artifact.objects.exists()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
