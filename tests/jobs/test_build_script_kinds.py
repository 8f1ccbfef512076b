"""How the build script finds a build: the order, the file in the tree, and what the build sees."""

import json
import os
import platform
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jobs.execution.script
from jobs.execution.script import CHECKOUT_STATUS
from jobs.validation import MAX_COMMAND_BYTES
from tests.jobs.script_runs import Server, Upstream, build, carried, how, printed

TOML_READER = Path(jobs.execution.script.__file__).with_name("toml.sh")

pytestmark = pytest.mark.slow


def test_build_is_looked_for_in_the_order_of_the_contract(server: Server, upstream: Upstream) -> None:
    files = {
        ".buildboard.toml": "command = 'echo toml'\n",
        ".buildboard/build": "#!/bin/sh\necho own\n",
        "Makefile": "all:\n\t@echo make\n",
    }
    recipe = "echo recipe"

    own = build(server, upstream, files, build_command="echo mine", recipe_command=recipe)
    toml = build(server, upstream, files, recipe_command=recipe)
    upstream.path.joinpath(".buildboard.toml").unlink()
    del files[".buildboard.toml"]
    by_recipe = build(server, upstream, files, recipe_command=recipe)
    script = build(server, upstream, files)
    upstream.path.joinpath(".buildboard/build").chmod(0o644)
    del files[".buildboard/build"]
    make = build(server, upstream, files)

    assert [(how(ended), printed(ended)) for ended in (own, toml, by_recipe, script, make)] == [
        ("the job's build_command", ["mine"]),
        ("the command in .buildboard.toml", ["toml"]),
        ("the recipe's command", ["recipe"]),
        ("the executable .buildboard/build", ["own"]),
        ("a Makefile", ["make"]),
    ]


def test_tree_without_a_build_fails_as_checkout_and_tells_all_that_was_looked_for(
    server: Server, upstream: Upstream
) -> None:
    ended = build(server, upstream, {".buildboard/build": "echo not executable\n"})

    assert (ended.code, ended.phases) == (CHECKOUT_STATUS, ["checkout"])
    assert ended.last_line == (
        "--- failed: No way to build this repository was found. Looked for: build_command of the job; "
        "a command in .buildboard.toml; a recipe; an executable .buildboard/build (it is there, but not "
        "executable); Kbuild, Kconfig and Makefile (Linux kernel); CMakeLists.txt (CMake); "
        "meson.build (Meson); configure or configure.ac (Autotools); Makefile (Make); Cargo.toml (Cargo); "
        "go.mod (Go); package.json (npm); pyproject.toml or setup.py (Python)."
    )


@pytest.mark.parametrize("code", [0, 1, 2, 66, 69, 127, 255])
def test_exit_code_of_the_command_is_passed_on(one_server: Server, upstream: Upstream, code: int) -> None:
    ended = build(one_server, upstream, {}, build_command=f"echo before\nexit {code}\necho after")

    assert (ended.code, ended.phases) == (code, ["checkout", "building"])
    assert (printed(ended), ended.last_line) == (["before"], f"--- finished: exit code {code}")


def test_command_stops_at_its_first_error(server: Server, upstream: Upstream) -> None:
    ended = build(server, upstream, {}, build_command="echo before\nfalse\necho after")

    assert (ended.code, printed(ended)) == (1, ["before"])


def test_command_may_name_its_interpreter(server: Server, upstream: Upstream) -> None:
    ended = build(server, upstream, {}, build_command="#!/usr/bin/env python3\nprint(6 * 7)\n")

    assert (ended.code, printed(ended)) == (0, ["42"])


def test_command_is_not_read_by_any_shell_but_the_one_that_runs_it(
    server: Server, upstream: Upstream
) -> None:
    command = "cat <<'END'\n$HOME `id` \"$(id)\" 'x' \\n %s é\nEND\nprintf '%s\\n' \"$@\""

    ended = build(server, upstream, {}, build_command=command, extra_make_args=("a b", "$(id)", "*", "-n"))

    assert printed(ended) == ["$HOME `id` \"$(id)\" 'x' \\n %s é", "a b", "$(id)", "*", "-n"]


def test_long_command_is_run_whole_and_shown_in_part(server: Server, upstream: Upstream) -> None:
    comment = f"# {'é' * 100}\n"
    command = "".join(f"echo {number}\n{comment}" for number in range(MAX_COMMAND_BYTES // 220))
    assert MAX_COMMAND_BYTES - 20_000 < len(command.encode()) <= MAX_COMMAND_BYTES

    ended = build(server, upstream, {}, build_command=command)

    assert (ended.code, printed(ended)) == (0, [str(number) for number in range(MAX_COMMAND_BYTES // 220)])
    assert [line for line in ended.log.splitlines() if line.startswith("    ")][48:] == [
        "    echo 24",
        f"    {comment[:-1]}",
        "    ...",
    ]


def test_build_sees_the_users_variables_by_strength(server: Server, upstream: Upstream) -> None:
    ended = build(
        server,
        upstream,
        {},
        parallel=3,
        build_command="env",
        environment={"A": "environment", "B": "environment", "C": "environment"},
        custom_env={"B": "custom", "C": "custom"},
        secrets={"C": "secret"},
    )

    seen = dict(line.partition("=")[::2] for line in printed(ended))
    assert {name: seen.get(name) for name in ("A", "B", "C", "CI", "BUILD_JOBS", "HOME")} == {
        "A": "environment",
        "B": "custom",
        "C": "secret",
        "CI": "true",
        "BUILD_JOBS": "3",
        "HOME": str(server.home),
    }


def test_boards_own_variables_cannot_be_forged(server: Server, upstream: Upstream) -> None:
    names = ("ATTEMPT", "COMMIT", "BRANCH", "ARCHITECTURE", "JOB_ID")
    forged = {"BUILDBOARD": "no", **{f"BUILDBOARD_{name}": "forged" for name in names}}

    ended = build(server, upstream, {}, build_command="env", override=carried(forged))

    seen = dict(line.partition("=")[::2] for line in printed(ended))
    assert {name: value for name, value in seen.items() if name.startswith("BUILDBOARD")} == {
        "BUILDBOARD": "true",
        "BUILDBOARD_ARCHITECTURE": platform.machine(),
        "BUILDBOARD_ATTEMPT": ended.tree.parents[1].name,
        "BUILDBOARD_BRANCH": "main",
        "BUILDBOARD_COMMIT": ended.commit,
        "BUILDBOARD_HOME": str(server.root),
        "BUILDBOARD_JOB_ID": "job-1",
    }


HOSTILE_VALUES = {
    "QUOTES": "'\"`$(touch PWN)`\"'",
    "LINES": "one\ntwo\nGIT_DIR=x\nBB_X=y\n",
    "DASH": "--",
    "EMPTY": "",
    "EQUALS": "a=b=c",
    "STAR": "*",
    "BACKSLASH": "\\n\\",
    "UNICODE": "é\N{SNOWMAN}",
    "LONG": "x" * 65_536,
    "BB_ENV_1": "mine",
    "BB_ENV_COUNT": "0",
    "bb_number": "999",
    "bb_sha": "forged",
    "HOME": "/home of the user",
    "LC_ALL": "C.UTF-8",
    "BUILD_JOBS": "7",
    "CI": "false",
}


def test_user_variables_of_any_name_and_value_arrive_byte_for_byte(
    server: Server, upstream: Upstream
) -> None:
    command = "#!/usr/bin/env python3\nimport json, os\nprint(json.dumps(dict(os.environ)))"

    ended = build(server, upstream, {}, build_command=command, environment=HOSTILE_VALUES)

    seen = json.loads(printed(ended)[-1])
    assert {name: seen.get(name) for name in HOSTILE_VALUES} == HOSTILE_VALUES
    assert seen["BUILDBOARD_COMMIT"] == ended.commit
    assert [*server.root.rglob("*PWN*"), *Path(os.curdir).glob("*PWN*")] == []


def test_variable_that_a_shell_keeps_for_itself_does_not_stop_the_build(
    server: Server, upstream: Upstream
) -> None:
    names = {
        "UID": "x",
        "PPID": "x",
        "OPTIND": "2",
        "SHELLOPTS": "x",
        "LINENO": "x",
        "_": "x",
        "LAST": "there",
    }

    ended = build(server, upstream, {}, build_command='echo "$LAST"', override=carried(names))

    assert (ended.code, printed(ended)[-1]) == (0, "there")


def test_user_variables_never_reach_git(one_server: Server, upstream: Upstream) -> None:
    environment = {
        "http_proxy": "http://127.0.0.1:1",
        "HOME": "/nonexistent",
        "XDG_CONFIG_HOME": "/nonexistent",
    }
    (one_server.home / ".gitconfig").write_text(
        f'[url "{upstream.path.parent}/"]\n\tinsteadOf = "file:///mapped/"\n'
    )

    ended = build(
        one_server,
        upstream,
        {},
        repository=f"file:///mapped/{upstream.path.name}",
        build_command="echo $http_proxy",
        environment=environment,
    )

    assert (ended.code, printed(ended)) == (0, ["http://127.0.0.1:1"])


TOML = [
    ('command = "echo one"\n', ["one"]),
    ("# first\n\n  command='echo one' # why\n[table]\ncommand = 'echo two'\n", ["one"]),
    ('"command" = "printf \'%s\\\\n\' \\"a\\tb\\""\n', ["a\tb"]),
    ('other = """\ncommand = "echo no"\n"""\ncommand = """\necho one\necho \\\n   two"""\n', ["one", "two"]),
    ("command = '''\necho \"it's\"\n'''\r\n", ["it's"]),
    ('x = [\n  "command = 1",\n]\ncommand = "echo one"', ["one"]),
]


@pytest.mark.parametrize(("text", "lines"), TOML)
def test_command_of_the_toml_file_is_read(
    server: Server, upstream: Upstream, text: str, lines: list[str]
) -> None:
    ended = build(server, upstream, {".buildboard.toml": text})

    assert (how(ended), printed(ended)) == ("the command in .buildboard.toml", lines)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("command = 5", "is not a string"),
        ("command = ['a']", "is not a string"),
        ('command = "echo', "has no closing quote"),
        ('command = """\necho\n', "has no closing quote"),
        ("command = ''", "is empty"),
        ('command = "\\u0041"', "has an escape that is not read here: \\u"),
        ("command = 'a' 'b'", "has something behind its closing quote"),
    ],
)
def test_command_that_cannot_be_read_is_told(
    server: Server, upstream: Upstream, text: str, sentence: str
) -> None:
    ended = build(server, upstream, {".buildboard.toml": text, "Makefile": "all:\n"})

    assert (ended.code, ended.phases) == (CHECKOUT_STATUS, ["checkout"])
    assert ended.last_line == f"--- failed: The command in .buildboard.toml {sentence}."


def test_toml_file_without_a_command_is_passed_over(server: Server, upstream: Upstream) -> None:
    ended = build(
        server, upstream, {".buildboard.toml": "[table]\ncommand = 'x'\n", "Makefile": "all:\n\t@echo make\n"}
    )

    assert (how(ended), printed(ended)) == ("a Makefile", ["make"])
    assert "--- no command in .buildboard.toml" in ended.log


@st.composite
def toml_files(draw: st.DrawFn) -> tuple[str, str]:
    """A file and the command in it: any text, in any of the four forms that can hold it, among other keys."""
    text = draw(st.text("abc \"'\\#=[]\n\t$", min_size=1, max_size=30).filter(str.strip))
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    forms = [f'"""\n{escaped}"""', '"' + escaped.replace("\n", "\\n").replace("\t", "\\t") + '"']
    if "'''" not in text and not text.endswith("'"):
        forms.append(f"'''\n{text}'''")
    if "'" not in text and "\n" not in text:
        forms.append(f"'{text}'")
    others = ["# command = 'no'\n", "\n", "n = 1\n", "t = '''\ncommand = 1\n'''\n", "a.b = ['[', 2]\n"]
    before = "".join(draw(st.lists(st.sampled_from(others), max_size=3, unique=True)))
    space = draw(st.sampled_from(["", " ", "\t"]))
    after = draw(st.sampled_from(["", "\n", " # more\n", "\n[table]\ncommand = 2\n"]))
    return f"{before}{space}command{space}={space}{draw(st.sampled_from(forms))}{after}", text


@settings(max_examples=60, deadline=None)
@given(case=toml_files())
def test_any_command_is_read_from_toml_as_the_standard_says(case: tuple[str, str]) -> None:
    text, command = case
    check_toml(text, command)


@pytest.mark.parametrize("before", ["", 'k = """\n' + "command = '\n" * 3000 + '"""\n'])
@pytest.mark.parametrize(("quotes", "piece"), [('"', "x y "), ("'", '"\\'), ('"""', "''x\n"), ("'''", '""x')])
def test_long_toml_file_is_read_piece_by_piece(before: str, quotes: str, piece: str) -> None:
    check_toml(f"{before}command = {quotes}{piece * 3000}{quotes}\n", piece * 3000)


def check_toml(text: str, command: str) -> None:
    assert tomllib.loads(text)["command"] == command
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "src").mkdir()
        (folder / "run").mkdir()
        (folder / "src/.buildboard.toml").write_text(text)

        subprocess.run(["sh", "-c", f". '{TOML_READER}' && read_toml"], cwd=folder, check=True)

        assert (folder / "run/command").read_text() == command + "\n"
