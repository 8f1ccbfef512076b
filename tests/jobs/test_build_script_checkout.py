"""The checkout of the build script: real repositories, real git, under every shell that a server may have."""

import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from jobs.execution.script import CHECKOUT_STATUS, SYSTEM_STATUS, BuildSpec, mirror_key, read_failure
from tests.jobs.script_runs import HOSTILE_URLS, Ended, Server, Upstream, make_spec, printed
from tests.requirements import require

pytestmark = pytest.mark.slow


def spec(upstream: Upstream, **values: object) -> BuildSpec:
    return make_spec(upstream, **{"build_command": "cat file", **values})


def assert_failed(ended: Ended, sentence: str, *, code: int = CHECKOUT_STATUS) -> None:
    assert (ended.code, ended.last_line) == (code, f"--- failed: {sentence}"), ended.log
    assert read_failure(ended.log) == sentence
    assert ended.phases == ["checkout"]
    assert ended.commit == ""


def test_head_of_a_branch_is_built_and_told(server: Server, upstream: Upstream) -> None:
    upstream.commit({"file": "old\n"})
    commit = upstream.commit({"file": "new\n"}, subject="Make it \x1b[31mnew")

    ended = server.run(spec(upstream))

    assert ended.code == 0, ended.log
    assert (ended.phases, ended.commit) == (["checkout", "building"], commit)
    lines = ended.log.splitlines()
    assert lines[0] == f"--- checkout: {upstream.url}, branch main, commit HEAD"
    assert lines[-5:] == [
        f"--- commit: {commit} Make it [31mnew",
        "--- build: the job's build_command",
        "    cat file",
        "new",
        "--- finished: exit code 0",
    ]


def test_each_way_to_name_a_commit_finds_it(server: Server, upstream: Upstream) -> None:
    old = upstream.commit({"file": "old\n"})
    upstream.git("tag", "light")
    upstream.git("tag", "-a", "-m", "note", "v1.0")
    tip = upstream.commit({"file": "new\n"})
    upstream.git("checkout", "-q", "-b", "feature/one")
    feature = upstream.commit({"file": "feature\n"})

    assert server.run(spec(upstream, branch="main")).commit == tip
    assert server.run(spec(upstream, branch="feature/one")).commit == feature
    assert server.run(spec(upstream, branch="light")).commit == old
    assert server.run(spec(upstream, branch="v1.0")).commit == old
    assert server.run(spec(upstream, branch="refs/tags/v1.0")).commit == old
    assert server.run(spec(upstream, commit=old)).commit == old
    assert server.run(spec(upstream, commit=old[:7])).commit == old
    assert server.run(spec(upstream, commit=old[:20].upper())).commit == old
    assert len(server.mirrors()) == 1


def test_missing_branch_or_commit_is_told_in_one_line(server: Server, upstream: Upstream) -> None:
    upstream.commit()
    upstream.git("branch", "dev")
    missing = "1" * 40

    assert_failed(
        server.run(spec(upstream, branch="nope")),
        f"No branch or tag nope was found in {upstream.url}. Its branches: dev, main.",
    )
    assert_failed(
        server.run(spec(upstream, commit="1234567")),
        f"Commit 1234567 was not found in branch main of {upstream.url}.",
    )
    assert_failed(
        server.run(spec(upstream, commit=missing)),
        f"Commit {missing} was not found in branch main of {upstream.url}.",
    )


def test_empty_or_missing_repository_is_told_in_one_line(server: Server, upstream: Upstream) -> None:
    gone = upstream.path.with_name("gone")

    assert_failed(
        server.run(spec(upstream)), f"The repository {upstream.url} is empty: it has no branch to build."
    )
    assert_failed(
        server.run(spec(upstream, repository=str(gone))),
        f"The repository {gone} could not be read: fatal: '{gone}' does not appear to be a git repository",
    )


def test_repository_that_vanished_fails_and_builds_again_when_it_is_back(
    one_server: Server, upstream: Upstream
) -> None:
    commit = upstream.commit()
    assert one_server.run(spec(upstream)).commit == commit
    away = upstream.path.rename(upstream.path.with_name("away"))

    failed = one_server.run(spec(upstream))

    assert failed.code == CHECKOUT_STATUS
    assert failed.last_line.startswith(
        f"--- failed: The repository {upstream.url} could not be read: fatal: "
    )
    away.rename(upstream.path)
    assert one_server.run(spec(upstream, commit=commit)).commit == commit


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1/x.git", "http://127.0.0.1:1/x.git", "git://127.0.0.1:1/x"]
)
def test_network_that_fails_is_the_systems_fault(one_server: Server, upstream: Upstream, url: str) -> None:
    ended = one_server.run(spec(upstream, repository=url))

    assert (ended.code, ended.phases) == (SYSTEM_STATUS, ["checkout"])
    assert ended.last_line.startswith(f"--- failed: The repository {url} could not be read: fatal: ")


@pytest.mark.parametrize("version", ["0", "2"])
def test_id_off_the_branch_is_built_where_the_server_hands_it_out(
    one_server: Server, upstream: Upstream, version: str
) -> None:
    upstream.commit()
    upstream.git("checkout", "-q", "-b", "other")
    other = upstream.commit({"file": "other\n"})
    (one_server.home / ".gitconfig").write_text(f"[protocol]\n\tversion = {version}\n")

    whole = one_server.run(spec(upstream, commit=other))

    assert (whole.code, whole.commit) == (0, other)
    # By a shortened id only the branch is searched, though the mirror has the commit by now.
    assert_failed(
        one_server.run(spec(upstream, commit=other[:12])),
        f"Commit {other[:12]} was not found in branch main of {upstream.url}.",
    )


def test_old_protocol_finds_an_id_inside_the_branch_but_not_elsewhere(
    one_server: Server, upstream: Upstream
) -> None:
    old = upstream.commit()
    upstream.commit()
    upstream.git("checkout", "-q", "-b", "other")
    upstream.commit()
    hidden = upstream.commit()
    upstream.commit()
    (one_server.home / ".gitconfig").write_text("[protocol]\n\tversion = 0\n")

    inside = one_server.run(spec(upstream, commit=old))

    assert (inside.code, inside.commit) == (0, old)
    assert "--- the id alone could not be fetched: looking for it in main" in inside.log
    assert_failed(
        one_server.run(spec(upstream, commit=hidden)),
        f"Commit {hidden} was not found in branch main of {upstream.url}.",
    )


def test_ambiguous_id_is_told_with_its_candidates(one_server: Server, upstream: Upstream) -> None:
    # A history whose ids never change, and two of which begin with the same seven digits.
    commits = (f"commit refs/heads/main\ncommitter A3 <a@b> {at} +0000\ndata 0\n\n" for at in range(1661))
    stream = "".join(commits).encode()
    subprocess.run(["git", "fast-import", "--quiet"], cwd=upstream.path, input=stream, check=True)
    ids = sorted(upstream.git("rev-list", "main").split())
    pair = next((one, other) for one, other in pairwise(ids) if one[:7] == other[:7])

    ended = one_server.run(spec(upstream, commit=pair[0][:7]))

    either = f"it may be {pair[0]} {pair[1]}"
    assert_failed(ended, f"Commit {pair[0][:7]} is ambiguous in branch main of {upstream.url}: {either}.")


def test_tree_that_a_tag_names_is_no_commit(one_server: Server, upstream: Upstream) -> None:
    upstream.commit()
    upstream.git("tag", "tree", upstream.git("rev-parse", "HEAD^{tree}"))

    assert_failed(
        one_server.run(spec(upstream, branch="tree")),
        f"tree of {upstream.url} is not a branch, nor a tag of a commit.",
    )


def test_repository_with_sha256_ids_is_built(one_server: Server, tmp_path: Path) -> None:
    upstream = Upstream(tmp_path / "sha256", object_format="sha256")
    commit = upstream.commit({"file": "new\n"})
    assert len(commit) == 64

    assert one_server.run(spec(upstream)).commit == commit
    assert one_server.run(spec(upstream, commit=commit)).commit == commit
    assert one_server.run(spec(upstream, commit=commit[:40])).commit == commit


def test_tree_is_a_repository_of_its_own_with_the_real_origin_and_tags(
    one_server: Server, upstream: Upstream
) -> None:
    upstream.commit()
    upstream.git("tag", "-a", "-m", "note", "v1.0")
    commit = upstream.commit()
    command = "git remote get-url origin; git describe; git rev-parse HEAD; git status --porcelain"

    ended = one_server.run(spec(upstream, build_command=command))

    assert ended.log.splitlines()[-4:-1] == [upstream.url, f"v1.0-1-g{commit[:7]}", commit]
    assert not list((ended.tree / ".git").glob("hooks/*"))


def test_nothing_of_the_account_or_repository_runs_in_a_checkout(
    one_server: Server, upstream: Upstream
) -> None:
    upstream.commit()
    hooks, template = one_server.home / "hooks", one_server.home / "template"
    for folder in (hooks, template / "hooks"):
        folder.mkdir(parents=True)
        for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"):
            (folder / name).write_text(f"#!/bin/sh\necho HOOK {name}\n")
            (folder / name).chmod(0o755)
    core = f"[core]\n\thooksPath = {hooks}\n\tfsmonitor = {hooks}/post-checkout\n"
    (one_server.home / ".gitconfig").write_text(f"{core}[init]\n\ttemplateDir = {template}\n")

    ended = one_server.run(spec(upstream))

    assert ended.code == 0
    assert "HOOK" not in ended.log


def test_git_variables_of_the_account_reach_neither_checkout_nor_build(
    one_server: Server, upstream: Upstream, tmp_path: Path
) -> None:
    commit = upstream.commit()
    one_server.environment |= {"GIT_DIR": str(tmp_path / "else"), "GIT_WORK_TREE": "/", "GIT_PAGER": "false"}

    ended = one_server.run(spec(upstream, build_command="env"))

    assert ended.commit == commit
    assert [line for line in ended.log.splitlines() if line.startswith(("GIT_", "BB_", "bb_"))] == []


def test_submodules_come_only_when_asked_for(one_server: Server, upstream: Upstream, tmp_path: Path) -> None:
    inner = Upstream(tmp_path / "inner")
    inner.commit({"part": "of it\n"})
    upstream.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../inner", "sub")
    upstream.commit()

    without = one_server.run(spec(upstream, build_command="ls sub"))
    asked = one_server.run(
        spec(upstream, build_command="cat sub/part", environment={"BUILDBOARD_SUBMODULES": "1"})
    )

    assert without.log.splitlines()[-2:] == ["    ls sub", "--- finished: exit code 0"]
    assert asked.log.splitlines()[-2:] == ["of it", "--- finished: exit code 0"]


def test_large_fetch_shows_that_it_goes_on_but_not_every_step(one_server: Server, upstream: Upstream) -> None:
    upstream.commit({f"{number}": str(number) for number in range(2500)})

    log = one_server.run(spec(upstream, build_command="true")).log

    assert re.findall(r"Receiving objects: +(\d+)%", log) == [*map(str, range(0, 101, 10))]
    assert "\r" not in log
    assert len(log.splitlines()) < 60


def test_named_commit_that_is_here_is_built_without_a_fetch(one_server: Server, upstream: Upstream) -> None:
    older = upstream.commit({"name": "older"})
    upstream.commit({"name": "newer"})
    assert one_server.run(spec(upstream, build_command="true")).code == 0
    upstream.path.rename(upstream.path.with_name("away"))

    ended = one_server.run(spec(upstream, commit=older, build_command="cat name; git log -1 --format=%H"))

    assert (ended.code, ended.commit, printed(ended)) == (0, older, ["older" + older])
    assert "--- nothing to fetch: the commit is here\n" in ended.log


def test_commit_of_a_fetch_that_was_killed_is_fetched(one_server: Server, upstream: Upstream) -> None:
    """Its object is in the mirror, and nothing else of it."""
    upstream.commit({"name": "first"})
    assert one_server.run(spec(upstream, build_command="true")).code == 0
    commit = upstream.commit({"name": "second"})
    path = f"objects/{commit[:2]}/{commit[2:]}"
    (mirror,) = one_server.mirrors()
    (mirror / path).parent.mkdir(exist_ok=True)
    shutil.copy(upstream.path / ".git" / path, mirror / path)

    ended = one_server.run(spec(upstream, commit=commit, build_command="cat name; echo"))

    assert (ended.code, printed(ended)) == (0, ["second"])
    assert "nothing to fetch" not in ended.log


def test_refs_of_attempts_that_have_gone_are_dropped_and_the_history_stays(
    one_server: Server, upstream: Upstream
) -> None:
    commit = upstream.commit()
    first = one_server.run(spec(upstream))
    kept = one_server.run(spec(upstream))
    one_server.remove(first)

    newer = upstream.commit()
    last = one_server.run(spec(upstream))

    (mirror,) = one_server.mirrors()
    refs = subprocess.run(
        ["git", "-C", mirror, "for-each-ref", "--format=%(refname) %(objectname)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    attempts = [f"refs/buildboard/{ended.tree.parents[1].name} {ended.commit}" for ended in (kept, last)]
    assert (kept.commit, last.commit) == (commit, newer)
    assert sorted(filter(None, refs)) == sorted([*attempts, f"refs/kept/{mirror_key('main')} {newer}"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("BB_REPOSITORY", url) for url in HOSTILE_URLS),
        ("BB_BRANCH", "--upload-pack=touch PWN"),
        ("BB_BRANCH", "x;touch PWN"),
        ("BB_BRANCH", "$(touch PWN)"),
        ("BB_BRANCH", "`touch PWN`"),
        ("BB_BRANCH", "x\ntouch PWN\n"),
        ("BB_BRANCH", "'; touch PWN; '"),
        ("BB_BRANCH", "*"),
        ("BB_COMMIT", "--output=PWN"),
        ("BB_COMMIT", "$(touch PWN)"),
        ("BB_COMMIT", "HEAD;touch PWN"),
        ("BB_KERNEL_CONFIG", "$(touch PWN)"),
    ],
)
def test_hostile_value_executes_nothing_even_when_every_check_before_was_passed(
    one_server: Server, upstream: Upstream, name: str, value: str
) -> None:
    upstream.commit({"Kbuild": "", "Kconfig": "", "Makefile": "all defconfig:\n\ttrue\n"})
    folder, process = one_server.start(spec(upstream, build_command=""), override={name: value})

    ended = one_server.finish((folder, process))

    assert (ended.code, ended.phases) in [(CHECKOUT_STATUS, ["checkout"]), (SYSTEM_STATUS, ["checkout"])]
    assert ended.last_line.startswith("--- failed: ")
    assert [*one_server.root.rglob("*PWN*"), *Path(os.curdir).glob("*PWN*")] == []


def test_file_protocol_is_closed_to_a_job_without_leave(one_server: Server, upstream: Upstream) -> None:
    upstream.commit()
    allowed = spec(upstream)

    ended = one_server.finish(one_server.start(allowed, override={"BB_PROTOCOLS": "https:http:ssh:git"}))

    assert_failed(
        ended, f"The repository {upstream.url} could not be read: fatal: transport 'file' not allowed"
    )


def test_server_without_git_or_with_a_full_disk_is_the_systems_fault(
    one_server: Server, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.commit()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "tr", "sed", "env", "mkdir", "date", "ls", "ln", "rm"):
        (tools / name).symlink_to(str(shutil.which(name)))
    without_git = Server(tmp_path / "bare")
    without_git.environment["PATH"] = str(tools)
    one_server.cache.parent.mkdir()
    one_server.cache.write_text("a file where the cache should be")

    assert_failed(without_git.run(spec(upstream)), "git is not installed on this server.", code=SYSTEM_STATUS)
    assert_failed(
        one_server.run(spec(upstream)),
        f"The folder {one_server.cache} cannot be made on this server.",
        code=SYSTEM_STATUS,
    )


def test_script_needs_no_more_than_busybox_and_git(upstream: Upstream, tmp_path: Path) -> None:
    require("busybox")
    commit = upstream.commit({"file": "new\n", ".buildboard.toml": 'command = "cat file"\n'})
    tools = tmp_path / "tools"
    tools.mkdir()
    busybox = str(shutil.which("busybox"))
    for name in subprocess.check_output([busybox, "--list"], text=True).split():
        (tools / name).symlink_to(busybox)
    (tools / "git").symlink_to(str(shutil.which("git")))
    server = Server(tmp_path / "a server", shell=(str(tools / "sh"),))
    server.environment["PATH"] = str(tools)

    for spelled in ("HEAD", commit, commit[:9]):
        ended = server.run(spec(upstream, build_command="", commit=spelled))

        assert (ended.code, ended.commit) == (0, commit), ended.log
        assert ended.log.splitlines()[-2:] == ["new", "--- finished: exit code 0"]
