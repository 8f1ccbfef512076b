"""What carries a job's values to the build script, and one whole run of it by the real helper."""

import subprocess
from pathlib import Path

import pytest

from jobs.execution.script import BuildSpec, mirror_key, read_failure, render
from jobs.validation import MAX_COMMAND_BYTES, Invalid
from servers.frames import RunLimits
from tests.jobs.script_runs import HOSTILE_URLS, SHELLS, Upstream, make_spec
from tests.requirements import require
from tests.servers.durable import Durable

PLAIN = {"job_id": "job-1", "repository": "https://example.com/x.git", "architecture": "x86_64"}


def spec(**values: object) -> BuildSpec:
    return BuildSpec(**{**PLAIN, **values})  # type: ignore[arg-type]  # plain values by name


def test_values_travel_in_the_environment_and_the_program_never_changes() -> None:
    hostile = "$(touch PWN)`'\"\n"
    one, other = render(spec()), render(spec(build_command=hostile, environment={"A": hostile}))

    assert one.script == other.script
    assert (other.environment["BB_COMMAND_COUNT"], other.environment["BB_COMMAND_1"]) == ("1", hostile)
    assert (other.environment["BB_ENV_COUNT"], other.environment["BB_ENV_1"]) == ("1", f"A={hostile}")


def test_stronger_variables_win_and_each_is_carried_once() -> None:
    environment = render(
        spec(environment={"A": "1", "B": "1"}, custom_env={"B": "2", "C": "2"}, secrets={"C": "3"})
    ).environment

    carried = [environment[f"BB_ENV_{number}"] for number in range(1, 4)]
    assert (environment["BB_ENV_COUNT"], carried) == ("3", ["A=1", "B=2", "C=3"])


@pytest.mark.parametrize(
    "url", ["https://example.com/a/b.git", "ssh://git@example.com:2222/a.git", "git@example.com:a/b.git"]
)
@pytest.mark.parametrize("leave", [True, False])
def test_repository_elsewhere_never_opens_the_servers_files(url: str, leave: bool) -> None:
    environment = render(spec(repository=url, local_repositories=leave)).environment

    assert environment["BB_REPOSITORY"] == url
    assert environment["BB_PROTOCOLS"] == "https:http:ssh:git"
    assert environment["BB_MIRROR_KEY"] == mirror_key(url)


@pytest.mark.parametrize("url", ["/srv/x", "file:///srv/x"])
def test_repository_of_the_server_needs_leave(url: str) -> None:
    environment = render(spec(repository=url, local_repositories=True)).environment

    assert environment["BB_PROTOCOLS"] == "https:http:ssh:git:file"
    with pytest.raises(Invalid):
        render(spec(repository=url))


@pytest.mark.parametrize("url", HOSTILE_URLS)
@pytest.mark.parametrize("leave", [True, False])
def test_hostile_url_is_refused_before_anything_is_sent(url: str, leave: bool) -> None:
    with pytest.raises(Invalid):
        render(spec(repository=url, local_repositories=leave))


@pytest.mark.parametrize(
    "values",
    [
        {"branch": "-b"},
        {"branch": "a\nb"},
        {"commit": "123456"},
        {"commit": "1234567\n"},
        {"build_command": "a\0"},
        {"recipe_command": "x" * (MAX_COMMAND_BYTES + 1)},
        {"extra_make_args": ("a\0",)},
        {"kernel_config": "-f"},
        {"environment": {"A B": ""}},
        {"environment": {"A": "x\0"}},
        {"custom_env": {"A\n": ""}},
        {"secrets": {"PATH": "xxxx"}},
        {"secrets": {"A": "x" * 65_537}},
        *(
            {"environment": {name: "x"}}
            for name in ("LD_PRELOAD", "BASH_ENV", "IFS", "GIT_DIR", "BUILDBOARD_X")
        ),
    ],
)
def test_value_that_no_job_may_have_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        render(spec(**values))


def test_submodules_are_asked_for_by_a_variable() -> None:
    asked = [{"BUILDBOARD_SUBMODULES": "1"}, {"BUILDBOARD_SUBMODULES": "0"}, {}]

    told = [render(spec(environment=environment)).environment["BB_SUBMODULES"] for environment in asked]

    assert told == ["1", "", ""]


@pytest.mark.parametrize(
    ("architecture", "machine"),
    [
        ("x86_64", ("x86_64", "x86_64 amd64", "", "x86_64-linux-gnu-")),
        ("arm64", ("arm64", "aarch64 arm64", "", "aarch64-linux-gnu-")),
        ("i386", ("i386", "i386 i486 i586 i686", "x86_64 amd64", "i686-linux-gnu-")),
        ("sparc64", ("sparc64", "sparc64", "", "sparc64-linux-gnu-")),
    ],
)
def test_architecture_is_told_in_the_kernels_words(architecture: str, machine: tuple[str, ...]) -> None:
    environment = render(spec(architecture=architecture)).environment

    names = ("BB_KERNEL_ARCH", "BB_NATIVE_MACHINES", "BB_RELATED_MACHINES", "BB_CROSS_COMPILE")
    assert tuple(environment[name] for name in names) == machine


def test_last_failure_of_a_log_is_read() -> None:
    assert read_failure("--- failed: one\nx --- failed: no\n--- failed: two \n") == "two"
    assert read_failure("nothing of the kind\n") == ""


def test_program_is_clean_to_shellcheck(tmp_path: Path) -> None:
    require("shellcheck")
    program = tmp_path / "script"
    program.write_bytes(render(spec()).script)

    done = subprocess.run(
        ["shellcheck", "--shell=sh", "--exclude=SC2016", program], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_whole_run_by_the_helper_tells_phase_commit_log_and_exit_code(shell: str, tmp_path: Path) -> None:
    require("git")
    require(SHELLS[shell][0])
    upstream = Upstream(tmp_path / "up stream")
    commit = upstream.commit({".buildboard/build": '#!/bin/sh\necho "token $TOKEN"\nexit 3\n'})
    durable = Durable(tmp_path / "work dir", shell=SHELLS[shell])
    rendered = render(make_spec(upstream, secrets={"TOKEN": 'it\'s "$HOME"'}))
    try:
        attempt = durable.start(
            rendered.script, environment=rendered.environment, limits=RunLimits(grace_seconds=1)
        )
        entry = durable.finish(attempt)

        assert entry.exit is not None
        assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("exited", 3, False), entry.data
        assert (entry.commit, entry.phase.name if entry.phase else "") == (commit, "building")
        assert entry.data.decode().splitlines()[-2:] == ['token it\'s "$HOME"', "--- finished: exit code 3"]
        assert durable.job(attempt).joinpath("ws/src/.buildboard/build").exists()
    finally:
        durable.clear()
