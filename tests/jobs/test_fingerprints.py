"""Failures that say the same have one fingerprint, and others have others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.diagnosis.fingerprints import fingerprint_of, telling_line
from jobs.states import ErrorCategory

EXIT, SYSTEM = ErrorCategory.EXIT_CODE, ErrorCategory.SYSTEM


def of_output(output: str, *, exit_code: int = 2) -> str:
    return fingerprint_of(
        EXIT, exit_code=exit_code, message="The build command failed with exit code 2.", output=output
    )


def of_message(message: str, *, names: tuple[str, ...] = ()) -> str:
    return fingerprint_of(SYSTEM, exit_code=69, message=message, output="", names=names)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/bin/sh: line 3: gcc: command not found\n", "/usr/bin/sh: line 12: gcc: command not found\nmore\n"),
        ("sh: 1: gcc: not found\n", "sh: 22: gcc: not found\nmake: *** [all] Error 127\n"),
        ("/home/a/src/x.c:3:7: error: no stdio.h\n", "/srv/b/y/x.c:144:2: error: no stdio.h\n"),
        ("\x1b[31mfatal: bad object 0123456789abcdef\x1b[0m\n", "fatal: bad object fedcba9876543210\n"),
    ],
)
def test_the_same_failure_of_other_builds_has_the_same_fingerprint(one: str, other: str) -> None:
    assert len(of_output(one)) == 32
    assert of_output(one) == of_output(other)


def test_other_words_and_other_exit_codes_have_other_fingerprints() -> None:
    some = {
        of_output("fatal: no space\n"),
        of_output("fatal: no memory\n"),
        of_output("fatal: no space\n", exit_code=1),
    }

    assert len(some) == 3


@pytest.mark.parametrize(
    "output", ["", "all went well\n", "--- finished: exit code 2\n", "warning: unused\n"]
)
def test_a_command_that_says_nothing_of_its_failure_is_like_no_other(output: str) -> None:
    assert of_output(output) == ""


def test_before_the_command_began_the_message_tells_without_the_names_in_it() -> None:
    one = of_message(
        "The repository https://a.example/x.git could not be read on arm-1", names=("x.git", "arm-1")
    )
    other = of_message(
        "The repository https://b.example/y.git could not be read on arm-2", names=("y.git", "arm-2")
    )

    assert of_message("gcc broke", names=("c",)) == of_message("gcc broke")
    assert one == other != of_message("git is not installed on this server.")


def test_the_first_line_that_speaks_of_an_error_is_the_telling_one() -> None:
    output = "compiling\nx.c:1: error: missing ;\nmake: *** [all] Error 1\n--- finished: exit code 2\n"

    assert telling_line(output) == "x.c:1: error: missing ;"
    assert telling_line(f"{output}cc: No space left on device\n") == "cc: No space left on device"


@given(st.text(max_size=4096), st.text(max_size=500))
def test_any_output_and_message_have_one(output: str, message: str) -> None:
    found = fingerprint_of(SYSTEM, exit_code=None, message=message, output=output, names=("", "x"))

    assert found == fingerprint_of(SYSTEM, exit_code=None, message=message, output=output, names=("x", ""))
    assert len(found) == 32
