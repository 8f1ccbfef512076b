"""Files of a work tree, and the clearing away of what is over."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from servers.file_frames import FileEntry
from servers.frames import RunState
from servers.runs import RemoveOutcome
from servers.transport import HELPER_NAME, HelperRefused
from tests.requirements import require
from tests.servers.durable import Durable
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

DAY = 86_400


def age(path: Path, *, days: float) -> None:
    """Make it look that old."""
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def refusal(durable: Durable, attempt: str, path: str) -> str:
    """The word with which a file is refused."""
    with pytest.raises(HelperRefused) as refused:
        b"".join(durable.client.read_file(attempt, path))
    return refused.value.word


def test_files_are_listed_with_sizes_and_odd_names(durable_any_shell: Durable) -> None:
    script = """#!/bin/sh
    mkdir -p 'a b/c' empty; printf 12345 >'a b/c/d e'; : >zero; printf x >'-rf'; printf xy >'*'
    printf x >"$(printf 'new\\nline')"; printf x >"$(printf 'bell\\a')"; printf x >"$(printf 'bad\\377')"
    printf abc >"$(printf '\\303\\251')"; ln -s zero link; mkfifo pipe; head -c 70000 /dev/zero >big"""
    attempt = durable_any_shell.start(script)
    durable_any_shell.finish(attempt)

    listing = durable_any_shell.client.list_files(attempt)

    assert sorted(listing.files, key=lambda entry: entry.path) == [
        FileEntry("*", 2),
        FileEntry("-rf", 1),
        FileEntry("a b/c/d e", 5),
        FileEntry("big", 70000),
        FileEntry("zero", 0),
        FileEntry("\u00e9", 3),
    ]
    assert (listing.refused, listing.truncated) == (3, False)
    for entry in listing.files:
        assert len(b"".join(durable_any_shell.client.read_file(attempt, entry.path))) == entry.size


def test_files_are_bounded(durable: Durable) -> None:
    attempt = durable.start("for i in 1 2 3 4 5; do : >$i; done")
    durable.finish(attempt)

    few, all_of_them = (durable.client.list_files(attempt, limit=limit) for limit in (4, 5))

    assert (len(few.files), few.truncated, len(all_of_them.files), all_of_them.truncated) == (
        4,
        True,
        5,
        False,
    )


def test_files_with_long_names_are_bounded_in_bytes(durable: Durable) -> None:
    make = """
import os, pathlib
for _ in range(15):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
for number in range(9000):
    os.mknod(f"{number:0250}")
"""
    attempt = durable.start(f"#!{sys.executable}{make}")
    durable.finish(attempt)

    listing = durable.client.list_files(attempt)

    assert listing.truncated
    assert (len(listing.files), listing.refused) == ((32 << 20) // (4 + 15 * 251 + 250 + 1), 0)


def test_files_that_lie_too_deep_make_no_long_reply(durable: Durable) -> None:
    dig = """
import os, pathlib
pathlib.Path("ok").mkdir()
pathlib.Path("ok/file").touch()
for _ in range(120):
    os.mkdir("0" * 250)
    os.chdir("0" * 250)
    pathlib.Path("x").touch()
"""
    attempt = durable.start(f"#!{sys.executable}{dig}")
    ended = durable.finish(attempt)

    listing = durable.client.list_files(attempt)

    assert (ended.exit is not None and ended.exit.code) == 0
    assert FileEntry("ok/file", 0) in listing.files
    assert (len(listing.files), listing.refused, listing.truncated) == (17, 83, False)
    assert durable.client.remove([attempt]) == {attempt: RemoveOutcome.REMOVED}


def test_file_is_read_from_any_offset(durable: Durable) -> None:
    attempt = durable.start("i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done >numbers")
    durable.finish(attempt)
    whole = (durable.job(attempt) / "ws" / "numbers").read_bytes()

    for offset in (0, 1, 4095, 4096, 4097, len(whole) - 1, len(whole), len(whole) + 9):
        assert b"".join(durable.client.read_file(attempt, "numbers", offset=offset)) == whole[offset:]


def test_file_follows_no_link_and_leaves_no_tree(durable: Durable, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    attempt = durable.start(
        f"mkdir d; echo x >d/f; ln -s '{tmp_path}' away; ln -s '{tmp_path}/secret' link; ln -s d inside"
    )
    durable.finish(attempt)

    paths = ["away/secret", "link", "inside/f", "../script", "d/../../script", "/etc/passwd", "", "d/.."]
    assert [refusal(durable, attempt, path) for path in paths] == ["refused"] * len(paths)
    assert [refusal(durable, attempt, path) for path in ("d", "nothing", "d/f/g", ".")] == ["missing"] * 4


def test_tree_that_became_a_link_is_refused(durable: Durable, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    attempt = durable.start(f"cd ..; rmdir ws; ln -s '{tmp_path}' ws")
    durable.finish(attempt)

    with pytest.raises(HelperRefused, match="missing"):
        durable.client.list_files(attempt)
    assert refusal(durable, attempt, "secret") == "missing"


def test_files_of_a_running_or_unknown_attempt_are_refused(durable: Durable) -> None:
    attempt = durable.start("echo x >f; sleep 60")

    with pytest.raises(HelperRefused, match="running"):
        durable.client.list_files(attempt)
    assert refusal(durable, attempt, "f") == "running"
    assert refusal(durable, str(uuid4()), "f") == "absent"
    durable.client.cancel(attempt)
    durable.finish(attempt)


def test_remove_takes_only_what_is_done(durable: Durable) -> None:
    attempt = durable.start("mkdir -p locked/in; : >locked/in/f; chmod 500 locked/in locked; sleep 60")
    wait_for((durable.job(attempt) / "ws" / "locked").exists)

    assert durable.client.remove([attempt]) == {attempt: RemoveOutcome.RUNNING}
    durable.client.cancel(attempt)
    durable.finish(attempt)
    assert durable.client.remove([attempt]) == {attempt: RemoveOutcome.REMOVED}
    assert durable.client.remove([attempt]) == {attempt: RemoveOutcome.ABSENT}

    assert durable.look(attempt).state == RunState.ABSENT
    assert list((durable.root / "jobs").iterdir()) == list((durable.root / "trash").iterdir()) == []


def test_remove_that_takes_too_long_goes_on_behind_its_caller(
    tmp_path: Path, removed: Callable[[Durable], Durable]
) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "timeout").write_text('#!/bin/sh\n[ "$2" = true ] || exit 124\n')
    (tmp_path / "tools" / "timeout").chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'tools'}:{os.environ['PATH']}"}
    durable = removed(Durable(tmp_path / "work dir", environment=environment))
    attempt = durable.start("mkdir -p a/b; : >a/b/c")
    durable.finish(attempt)

    assert durable.client.remove([attempt]) == {attempt: RemoveOutcome.PARTIAL}
    assert durable.client.remove([attempt]) == {attempt: RemoveOutcome.ABSENT}
    wait_for(lambda: not list((durable.root / "trash").iterdir()), what="the rest went too")
    durable.wait_empty()


def test_remove_takes_folders_that_their_own_account_may_not_write_to(
    removed: Callable[[Durable], Durable],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        durable = removed(unprivileged(folder))
        attempt = durable.start(
            "mkdir -p mod/cache@v1; : >mod/cache@v1/f; chmod 400 mod/cache@v1/f; chmod 500 mod/* mod"
        )
        durable.finish(attempt)
        assert not (durable.job(attempt) / "ws" / "mod").stat().st_mode & 0o200

        assert durable.client.remove([attempt]) == {attempt: RemoveOutcome.REMOVED}

        assert list((durable.root / "trash").iterdir()) == []
        durable.wait_empty()


def unprivileged(folder: Path) -> Durable:
    """A server whose account is not root, for whom no folder is closed."""
    shell = folder / "shell"
    become = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    shell.write_text(f'#!/bin/sh\n[ "$(id -u)" != 0 ] || exec {become} sh "$@"\nexec sh "$@"\n')
    shell.chmod(0o755)
    durable = Durable(folder / "work dir", shell=(str(shell),))
    durable.transport.install()
    if os.geteuid() == 0:
        require("setpriv")
        folder.chmod(0o755)
        for path in (durable.root, *durable.root.rglob("*")):
            os.chown(path, 65534, 65534)
    return durable


def test_what_cannot_be_moved_away_is_kept_and_counts_as_nothing_removed(durable: Durable) -> None:
    attempt = durable.start("true")
    durable.finish(attempt)
    age(durable.job(attempt) / "exit", days=4)
    (durable.root / "trash").write_text("no folder\n")

    assert durable.client.remove([attempt]) == {attempt: RemoveOutcome.KEPT}
    assert durable.client.collect_garbage(days=3) == (0, 0)

    assert (durable.job(attempt) / "exit").exists()


def test_list_names_every_job_with_its_state(durable: Durable) -> None:
    done, running = durable.start("exit 3"), durable.start("sleep 60")
    durable.finish(done)
    prepared = str(uuid4())
    durable.ask("prepare", prepared)
    (durable.root / "jobs" / "not a job").mkdir()

    found = {run.id: (run.state, run.exit and run.exit.code) for run in durable.client.list_runs()}

    assert found == {
        done: (RunState.DONE, 3),
        running: (RunState.RUNNING, None),
        prepared: (RunState.PREPARED, None),
    }
    durable.client.cancel(running)
    durable.finish(running)


def test_list_of_nothing_is_empty(durable: Durable) -> None:
    assert durable.client.list_runs() == ()


def test_garbage_is_what_is_old_and_over(durable: Durable) -> None:
    old, young, running = durable.start("true"), durable.start("true"), durable.start("sleep 60")
    for attempt in (old, young):
        durable.finish(attempt)
    forgotten = str(uuid4())
    durable.ask("prepare", forgotten)
    age(durable.job(old) / "exit", days=4)
    age(durable.job(running), days=4)
    age(durable.job(forgotten), days=4)
    (durable.root / "trash" / "half").mkdir(parents=True)
    part = durable.root / "lib" / ".left.part"
    part.write_text("x")
    age(part, days=4)

    counts = durable.client.collect_garbage(days=3)

    assert counts == (1, 0)
    assert {run.id: run.state for run in durable.client.list_runs()} == {
        young: RunState.DONE,
        running: RunState.RUNNING,
        forgotten: RunState.DONE,  # can never start now; its own age begins
    }
    assert list((durable.root / "trash").iterdir()) == []
    assert not part.exists()
    durable.client.cancel(running)
    durable.finish(running)


def test_garbage_of_helpers_spares_those_that_run(durable: Durable) -> None:
    attempt = durable.start("sleep 60")
    library = durable.root / "lib"
    used = library / HELPER_NAME
    unused, fresh, other = (library / f"bb-{digit * 16}.sh" for digit in "012")
    for path in (unused, fresh, other):
        shutil.copy(used, path)
    for path in (used, unused, other):
        age(path, days=2)

    # Asked by way of another version, as a newer board would.
    environment = {"PATH": os.environ["PATH"], "BUILDBOARD_HOME": str(durable.root)}
    done = subprocess.run(["sh", other, "gc", "n", "3"], env=environment, capture_output=True, check=True)

    assert done.stdout == b"BB1 n\n0 1\nBBEND n 0\n"
    assert sorted(path.name for path in library.iterdir()) == sorted([used.name, fresh.name, other.name])
    durable.client.cancel(attempt)
    durable.finish(attempt)


def test_many_are_removed_at_once_and_each_is_told_of(durable: Durable) -> None:
    ended = [durable.start("true"), durable.start("mkdir -p deep/er; chmod 500 deep")]
    running, never = durable.start("sleep 60"), str(uuid4())
    for attempt in ended:
        durable.finish(attempt)

    assert durable.client.remove([*ended, running, never]) == {
        **dict.fromkeys(ended, RemoveOutcome.REMOVED),
        running: RemoveOutcome.RUNNING,
        never: RemoveOutcome.ABSENT,
    }
    assert [run.id for run in durable.client.list_runs()] == [running]
    assert durable.client.remove([]) == {}
