"""The outline of a log: which lines it marks, which groups it sees, in one pass and in bounded memory."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.logs import outline as module
from jobs.logs import store
from jobs.logs.findings import Kind, find
from jobs.logs.outline import Group, Outline, Outliner, pack_outline, read_outline, unpack_outline
from jobs.states import AttemptStatus
from tests.factories import make_attempt
from tests.jobs.log_writing import append_log, write_log

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCRIPTS = Path(__file__).parent.parent.parent / "jobs" / "execution"

ERRORS = """\
drivers/net/ice_main.c:5218:9: error: implicit declaration of function 'x'
\x1b[01m\x1b[Kmain.c:3:1:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kunknown type name
main.c:1:10: fatal error: missing.h: No such file or directory
error: could not compile `demo` (lib) due to 1 previous error
error[E0308]: mismatched types
src/app.ts(3,5): error TS2304: Cannot find name 'x'.
make[7]: *** [scripts/Makefile.build:243: ice_main.o] Error 1
collect2: error: ld returned 1 exit status
main.o: in function `main': main.c:(.text+0x5): undefined reference to `f'
/usr/bin/ld: cannot find -lfoo: No such file or directory
CMake Error at CMakeLists.txt:3 (find_package):
meson.build:3:0: ERROR: Dependency "x" not found
configure: error: no acceptable C compiler found in $PATH
FAILED: src/a.o
ninja: error: loading 'build.ninja': No such file or directory
./main.go:5:2: undefined: fmt
--- FAIL: TestAdd (0.00s)
FAIL\texample.com/demo\t0.003s
panic: runtime error: index out of range
npm ERR! code ELIFECYCLE
npm error code 1
Traceback (most recent call last):
FAILED tests/test_a.py::test_b - assert 1 == 2
ERROR: No matching distribution found for nothing
[ERROR] Failed to execute goal
E: Unable to locate package nothing
fatal: couldn't find remote ref main
BUILD FAILED in 3s
test result: FAILED. 3 passed; 1 failed
Exception in thread "main" java.lang.NullPointerException
sh: 1: cargo: command not found
Segmentation fault (core dumped)
Error: Cannot find module 'x'
::error file=a.js,line=1::broken
--- failed: git is not installed on this server.
--- finished: exit code 2
""".splitlines()

WARNINGS = """\
a.c:3:7: warning: unused variable 'x' [-Wunused-variable]
\x1b[33mwarning:\x1b[0m kernel/a.c:12: unused
warning: unused variable: `x`
ld: warning: object file was built for newer version
CMake Warning at CMakeLists.txt:3 (message):
CMake Deprecation Warning at CMakeLists.txt:1:
npm WARN deprecated x@1.0.0
npm warn deprecated x@1.0.0
[WARNING] The POM for x is missing
WARNING: pip is being invoked by an old script
a.py:3: DeprecationWarning: old
a.cs(1,2): warning CS0168: The variable is never used
::warning file=a.js::careful
[buildboard] 4096 bytes were left out here: the log is over its limit. Its last 65536 follow.
""".splitlines()

NEITHER = """\
  CC      drivers/edac/error.o
0 errors, 0 warnings
gcc -Werror -Wno-error=unused -c warning.c
make[6]: *** Waiting for unfinished jobs....
--- finished: exit code 0
-rw-r--r-- 1 root root 0 error.log
PASS
--- PASS: TestAdd (0.00s)
ok  \texample.com/demo\t0.003s
        main.go:12 +0x1d
checking for error_at_line... yes
NOTE: Preparing
FAILURES 0
""".splitlines()


def kinds(line: str) -> list[Kind]:
    return [one.kind for findings in find(line.encode()) for one in findings]


@pytest.mark.parametrize("line", ERRORS)
def test_these_lines_tell_of_errors(line: str) -> None:
    assert Kind.ERROR in kinds(line)


@pytest.mark.parametrize("line", WARNINGS)
def test_these_lines_tell_of_warnings(line: str) -> None:
    assert kinds(line) == [Kind.WARNING]


@pytest.mark.parametrize("line", NEITHER)
def test_these_lines_tell_of_neither(line: str) -> None:
    assert not {Kind.ERROR, Kind.WARNING} & set(kinds(line))


def test_what_the_build_script_says_is_a_step_its_end_or_a_remark() -> None:
    """A note that is new there is to be one of these here too."""
    found = {}
    for script in sorted(SCRIPTS.glob("*.sh")):
        for note in re.findall(r'(?<![a-z_])note "([^"]*)"', script.read_text()):
            line = re.sub(r"\$\{?[A-Za-z_]+-?\}?|\$\*", "1", note)
            found[line.split(":")[0]] = [kind.name for kind in kinds(f"--- {line}")]

    assert found == {
        "build": ["STEP"],
        "checkout": ["STEP"],
        "commit": [],
        "cross build on 1": [],
        "failed": ["ERROR", "OVER"],
        "finished": ["ERROR", "OVER"],
        "no command in .buildboard.toml": [],
        "no lock": [],
        "nothing to fetch": [],
        "submodules": ["STEP"],
        "the cache of 1 on this server is damaged": [],
        "the id alone could not be fetched": [],
        "the ids of this repository are SHA-256": [],
        "this server's shell cannot set ${1%%=*}": [],
        "waiting": [],
    }


def outline_of(text: str, *, finished: bool = True) -> Outline:
    outliner = Outliner()
    for number, line in enumerate(text.splitlines(keepends=True)):
        outliner.feed(line.encode(), at=NOW + timedelta(seconds=number))
    if finished:
        outliner.finish()
    return outliner.outline()


def groups_of(text: str, *, finished: bool = True) -> list[tuple[int, int, str]]:
    return [(one.first, one.last, one.title) for one in outline_of(text, finished=finished).groups]


def test_steps_follow_each_other_and_hold_groups() -> None:
    text = (
        "start\n--- checkout: demo\nCloning\n--- commit: abc Subject\n--- build: make\n"
        "::group::Configure\nchecking\n::endgroup::\nbetween\n::group:: Compile \nCC a\n--- finished: exit code 0\n"
    )

    assert groups_of(text) == [
        (1, 3, "checkout: demo"),
        (4, 10, "build: make"),
        (5, 7, "Configure"),
        (9, 10, "Compile"),
    ]


def test_a_group_knows_when_it_began_and_ended() -> None:
    assert outline_of("--- a\nx\ny\n--- b\nz\n").groups == [
        Group(0, 2, "a", NOW, NOW + timedelta(seconds=3)),
        Group(3, 4, "b", NOW + timedelta(seconds=3), NOW + timedelta(seconds=4)),
    ]


def test_the_last_group_of_a_live_log_is_open_even_without_a_line() -> None:
    groups = outline_of("--- a\nx\n--- b\n", finished=False).groups

    assert [(one.first, one.last, one.is_open) for one in groups] == [(0, 1, False), (2, 2, True)]


def test_the_head_of_a_patch_is_no_step() -> None:
    text = "--- build: diff\n::group::in it\nx\n--- a/file.c\t2026-01-01\n+++ b/file.c\t2026-01-02\n@@ -1 +1 @@\nend\n"

    assert groups_of(text) == [(0, 6, "build: diff"), (1, 6, "in it")]


@pytest.mark.parametrize(
    "line", ["--- ", "---", " --- x", "----- x", "x ::group::y", "::endgroup::", "+++ x"]
)
def test_what_only_looks_like_a_group_is_none(line: str) -> None:
    assert groups_of(f"{line}\nx\ny\n") == []


def test_a_group_without_a_name_is_one() -> None:
    assert groups_of("::group::\nx\n") == [(0, 1, "Group")]
    assert groups_of(f"::group::{'x' * 999}\nx\n") == [(0, 1, "x" * 200)]


def test_a_failing_make_is_marked_once_and_not_at_every_level() -> None:
    text = (
        "a.c:1:1: error: no\nmake[2]: *** [a.o] Error 1\nmake[1]: *** [all] Error 2\nmake: *** [x] Error 2\n"
    )

    found = outline_of(text + "b.c:1:1: error: no\nmake: *** [b.o] Error 1\n")

    assert (found.marks, found.errors) == ([(0, "error"), (1, "error"), (4, "error"), (5, "error")], 4)


def test_only_so_much_is_kept_and_all_is_counted() -> None:
    found = outline_of("x: error: a\nx: warning: b\n--- step\ny\n" * 2500)

    assert (len(found.marks), found.errors, found.warnings) == (4000, 2500, 2500)
    assert (found.marks[0], found.marks[-1]) == ((0, "error"), (7997, "warning"))
    assert (len(found.groups), found.whole) == (1000, True)


def test_a_log_in_which_every_line_is_suspect_is_not_looked_at_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_LOOKS", 10)

    found = outline_of("x: error: a\n" * 50)

    assert (found.errors, found.whole) == (10, False)


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_how_the_bytes_come_makes_no_difference(parts: list[bytes]) -> None:
    seed = (
        b"".join(parts)
        .replace(b"\x00", b"\nx: error: y\n")
        .replace(b"\x01", b"\n::group::g\n")
        .replace(b"\x02", b"\n--- s\n")
    )
    at_once, one_by_one = Outliner(), Outliner()
    at_once.feed(seed, at=NOW)
    for index in range(len(seed)):
        one_by_one.feed(seed[index : index + 1], at=NOW)
    at_once.finish()
    one_by_one.finish()

    assert one_by_one.outline() == at_once.outline()
    assert unpack_outline(pack_outline(at_once.outline())) == at_once.outline()


@pytest.mark.django_db
def test_a_live_outline_reads_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = make_attempt()
    append_log(attempt, b"--- a\nx: error: b\n")
    read: list[tuple[int, int]] = []
    original = store.read_pieces

    def noted(*given: object, start: int, end: int) -> object:
        read.append((start, end))
        return original(attempt, start=start, end=end)

    monkeypatch.setattr(store, "read_pieces", noted)

    assert read_outline(attempt).marks == [(1, "error")]
    append_log(attempt, b"y: warn", b"ing: c\n")
    assert read_outline(attempt).marks == [(1, "error"), (2, "warning")]
    assert read == [(0, 18), (18, 32)]


@pytest.mark.django_db
def test_a_long_log_comes_in_parts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BYTES_A_CALL", 20)
    attempt = write_log(make_attempt(status=AttemptStatus.FAILED), b"x: error: a\n" * 5)

    assert [(len(found.marks), found.whole) for found in (read_outline(attempt) for _ in range(4))] == [
        (1, False),
        (3, False),
        (5, True),
        (5, True),
    ]
