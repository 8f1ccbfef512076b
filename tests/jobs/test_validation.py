"""The rules that form and API share, each as a table of what is kept and what is refused."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs import validation
from jobs.errors import FieldError
from jobs.validation import Invalid
from tests.requirements import require

KIB = 1024


@pytest.mark.parametrize(
    "branch",
    ["main", "feature/x", "v6.9-rc1", "refs/heads/main", "a.b", "ünïcode", "x@y", "release-1.0", "a" * 255],
)
def test_branch_that_git_allows_is_kept(branch: str) -> None:
    assert validation.check_branch(branch) == branch


@pytest.mark.parametrize(
    "branch",
    [
        *(
            "",
            "-",
            "-main",
            "--upload-pack=touch PWN",
            "@",
            "a..b",
            "a@{1}",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
        ),
        *("a[", "a\\b", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "a\nb", "a\0b", "a\tb"),
        *("a\x7fb", "a\u202eb", "main\n", "é" * 128, "a" * 256),
    ],
)
def test_branch_that_git_or_we_refuse(branch: str) -> None:
    with pytest.raises(Invalid):
        validation.check_branch(branch)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("HEAD", "HEAD"),
        ("0123abc", "0123abc"),
        ("ABCDEF0", "abcdef0"),
        ("a" * 40, "a" * 40),
        ("f" * 64, "f" * 64),
    ],
)
def test_commit_is_kept_in_lower_case(text: str, kept: str) -> None:
    assert validation.check_commit(text) == kept


@pytest.mark.parametrize(
    "commit",
    [
        "",
        "head",
        "abc123",
        "a" * 65,
        "--output=PWN",
        "HEAD~1",
        "main",
        "0123abg",
        "0123abc\n",
        " 0123abc",
        "０123abc",
    ],
)
def test_commit_that_is_none_is_refused(commit: str) -> None:
    with pytest.raises(Invalid):
        validation.check_commit(commit)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x86_64", "x86_64"),
        ("amd64", "x86_64"),
        ("x64", "x86_64"),
        ("X86-64", "x86_64"),
        ("arm64", "aarch64"),
        ("AArch64", "aarch64"),
        ("armhf", "armv7"),
        ("armv7l", "armv7"),
        ("i386", "i686"),
        ("i686", "i686"),
        ("ppc64el", "ppc64le"),
        ("s390x", "s390x"),
        ("riscv64", "riscv64"),
        ("loong64", "loongarch64"),
        ("newcpu128", "newcpu128"),
        (" amd64 ", "x86_64"),
    ],
)
def test_architecture_has_one_spelling(text: str, kept: str) -> None:
    assert validation.check_architecture(text) == kept


@pytest.mark.parametrize("name", ["", "x;y", "a b", "-x", "x" * 33, "x/y", "x\ny", "x86.64", "å"])
def test_architecture_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        validation.check_architecture(name)


@pytest.mark.parametrize("name", ["A", "_x", "CFLAGS", "path", "GITHUB", "LDFLAGS", "a1_B", "x" * 128])
def test_environment_name_is_kept(name: str) -> None:
    assert validation.check_environment_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "1A", "A-B", "A B", "A=1 touch", "FOO\n", "FOO\0", "A;B", "$(x)", "é", "x" * 129),
        *("PATH", "ENV", "BASH_ENV", "IFS", "LD_PRELOAD", "LD_", "GIT_SSH_COMMAND", "GIT_DIR"),
        *("BUILDBOARD_ATTEMPT", "SHELLOPTS", "UID", "OPTIND"),
    ],
)
def test_environment_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        validation.check_environment_name(name)


def test_environment_values_are_kept_whatever_is_in_them() -> None:
    values = {"A": "'; touch PWN; '", "B": '$(x) `y` "z"', "C": "two\nlines\r\n", "D": "", "E": "ü" * 100}

    assert validation.check_environment(values) == values


@pytest.mark.parametrize(
    "values",
    [
        {"A": "x\0y"},
        {"A": "x" * (64 * KIB + 1)},
        {"A": "ü" * (32 * KIB + 1)},
        {f"A{number}": "x" * (64 * KIB) for number in range(4)},
        {"GOOD": "1", "PATH": "/tmp"},
    ],
)
def test_environment_over_its_bounds_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        validation.check_environment(values)


def test_environment_at_its_bound_is_kept() -> None:
    assert validation.check_environment({"A": "x" * (64 * KIB)}) == {"A": "x" * (64 * KIB)}


@pytest.mark.parametrize(("text", "kept"), [(None, None), ("", None), (" \n", None), ("make\n", "make\n")])
def test_command_is_kept_byte_for_byte(text: str | None, kept: str | None) -> None:
    assert validation.check_command(text) == kept


@pytest.mark.parametrize("command", ["make\0", "x" * (512 * KIB + 1)])
def test_command_is_refused(command: str) -> None:
    with pytest.raises(Invalid):
        validation.check_command(command)


@pytest.mark.parametrize("name", ["TOKEN", "A", "DEPLOY_KEY_2"])
def test_secret_name_is_kept(name: str) -> None:
    assert validation.check_secret_name(name) == name


@pytest.mark.parametrize("name", ["token", "_A", "1A", "A-B", "A\n", "PATH", "LD_X", "GIT_TOKEN", "A" * 101])
def test_secret_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        validation.check_secret_name(name)


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (validation.check_kernel_config, "multi_v7_defconfig"),
        (validation.check_kernel_config, "configs/board.config"),
        (validation.check_kernel_config, ""),
        (validation.check_make_arguments, ["-k", "V=1", "EXTRA=a b"]),
        (validation.check_artifact_paths, ["out/*.deb", "**/x.img", "a b"]),
        (validation.check_toolchain, "aarch64-linux-gnu-gcc"),
        (validation.check_toolchain, "gcc-12.2"),
        (validation.check_toolchain, "g++"),
        (validation.check_toolchain, "gcc>=12.2"),
        (validation.check_retry_on, ["system", "lost", "exit_code"]),
        (validation.check_retry_on, []),
    ],
)
def test_value_is_kept(rule: Callable[[Any], Any], kept: Any) -> None:
    assert rule(kept) == kept


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        *(
            (validation.check_kernel_config, word)
            for word in ("-x", "../x", "a/../b", "a b", "x;y", "$(x)", "x\n")
        ),
        *((validation.check_make_arguments, [word]) for word in ("", "a\nb", "a\0b", "\x1b[0m")),
        *(
            (validation.check_artifact_paths, [word])
            for word in ("", " ", "/etc/passwd", "-x", "~/x", "../x")
        ),
        *((validation.check_artifact_paths, [word]) for word in ("a/../../x", "a\\b", "a\nb", "a\0b", "..")),
        *(
            (validation.check_toolchain, word)
            for word in ("-x", "a b", "x" * 129, "gcc;x", "$(x)", "gcc\n", "gcc>=", "gcc>=x", "gcc<9", ">=9")
        ),
        *((validation.check_retry_on, [word]) for word in ("cancelled", "always", "")),
    ],
)
def test_value_is_refused(rule: Callable[[Any], Any], refused: Any) -> None:
    with pytest.raises(Invalid):
        rule(refused)


def test_repeats_are_dropped() -> None:
    assert validation.check_artifact_paths(["a", "b", "a"]) == ["a", "b"]
    assert validation.check_retry_on(["lost", "lost"]) == ["lost"]


@pytest.mark.parametrize(("word", "number"), [("low", 0), ("normal", 10), ("high", 20), ("urgent", 30)])
def test_priority_words_are_numbers(word: str, number: int) -> None:
    assert validation.priority_number(word) == number


def test_unknown_priority_is_refused() -> None:
    with pytest.raises(Invalid):
        validation.priority_number("asap")


def test_field_errors_are_sentences_and_bounded() -> None:
    details: list[dict[str, Any]] = [
        {"loc": ("a", 0, "b"), "msg": "Value error, write it"},
        {"loc": (), "msg": "Extra inputs are not permitted"},
        *({"loc": ("x",), "msg": "no"} for _ in range(100)),
    ]

    errors = validation.field_errors(details)

    assert errors[:2] == [
        FieldError("a.0.b", "write it."),
        FieldError("body", "There is no such field; check its spelling."),
    ]
    assert len(errors) == 50


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab-./@{~^:?*[\\ \x7f\néü_lock"), min_size=1, max_size=8))
def test_whatever_branch_is_kept_git_allows_too(branch: str) -> None:
    require("git")
    try:
        validation.check_branch(branch)
    except Invalid:
        return

    command = ["git", "check-ref-format", f"refs/heads/{branch}"]
    assert subprocess.run(command, check=False).returncode == 0
