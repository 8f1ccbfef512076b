"""The clearing of the caches: what is long unused or too much goes, nothing that a build uses, and no build waits."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from jobs.execution.script import BuildSpec
from servers.local import LocalTransport
from servers.runs import RunClient
from tests.jobs.script_runs import Ended, Server, Upstream, make_spec
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
DAY = 86_400
PLENTY = 1 << 40


def spec(upstream: Upstream, **values: object) -> BuildSpec:
    return make_spec(upstream, **{"build_command": "cat file", **values})


def tidy(server: Server, *, days: int = 30, most_kib: int = PLENTY, floor_kib: int = 0) -> None:
    """Clear the caches, to the end."""
    begin(server, days=days, most_kib=most_kib, floor_kib=floor_kib)
    wait_for(lambda: not (server.root / "tidy").exists(), what="the clearing ended")


def begin(server: Server, *, days: int = 30, most_kib: int = PLENTY, floor_kib: int = 0) -> None:
    client = RunClient(LocalTransport(server.root, environment=server.environment))
    assert client.tidy_caches(days=days, most_kib=most_kib, floor_kib=floor_kib)


def end(ended: Ended) -> None:
    """Make it look ended to the helper, which did not run it."""
    (ended.tree.parents[1] / "exit").touch()


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def git(mirror: Path, *words: str) -> str:
    done = subprocess.run(["git", f"--git-dir={mirror}", *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def used_of(mirror: Path) -> Path:
    return mirror.with_name(f"{mirror.name}.used")


def test_mirror_that_nobody_used_for_long_goes_but_not_under_a_build(
    one_server: Server, upstream: Upstream
) -> None:
    upstream.commit({"file": "x\n"})
    built = one_server.run(spec(upstream))
    (mirror,) = one_server.mirrors()

    tidy(one_server)
    age(used_of(mirror), 31)
    tidy(one_server)
    assert one_server.mirrors() == [mirror]
    assert git(built.tree / ".git", "fsck") == ""

    end(built)
    tidy(one_server)
    assert one_server.mirrors() == []
    assert list(one_server.cache.iterdir()) == list((one_server.root / "trash").iterdir()) == []
    assert one_server.run(spec(upstream)).code == 0


def test_use_keeps_a_mirror(one_server: Server, upstream: Upstream) -> None:
    upstream.commit({"file": "x\n"})
    end(one_server.run(spec(upstream)))
    (mirror,) = one_server.mirrors()
    age(used_of(mirror), 31)

    end(one_server.run(spec(upstream)))
    tidy(one_server)

    assert one_server.mirrors() == [mirror]


def test_longest_unused_mirrors_go_first_when_there_is_too_much(one_server: Server, tmp_path: Path) -> None:
    upstreams = [Upstream(tmp_path / f"up{number}") for number in range(3)]
    mirrors: list[Path] = []
    for number, upstream in enumerate(upstreams):
        upstream.commit({"file": "x\n", "ballast": os.urandom(1 << 20).hex()})
        end(one_server.run(spec(upstream)))
        (new,) = set(one_server.mirrors()) - set(mirrors)
        mirrors.append(new)
        age(used_of(new), [2, 3, 1][number])

    tidy(one_server, most_kib=3000)
    assert one_server.mirrors() == sorted([mirrors[0], mirrors[2]])
    tidy(one_server, floor_kib=PLENTY // 1024)
    assert one_server.mirrors() == []


def test_git_packs_a_mirror_and_lets_go_what_attempts_pinned(one_server: Server, upstream: Upstream) -> None:
    upstream.commit({"file": "old\n"})
    gone = one_server.run(spec(upstream))
    upstream.git("commit", "-q", "--amend", "-m", "forced")
    kept = one_server.run(spec(upstream))
    (mirror,) = one_server.mirrors()
    for number in range(25):
        blob = subprocess.run(
            ["git", f"--git-dir={mirror}", "hash-object", "-w", "--stdin"], input=b"%d" % number,
            check=True, capture_output=True,
        ).stdout  # fmt: skip
        pack = ["git", f"--git-dir={mirror}", "pack-objects", "-q", str(mirror / "objects/pack/pack")]
        subprocess.run(pack, input=blob, check=True, capture_output=True)
    for path in mirror.glob("objects/*/*"):
        age(path, 1)
    one_server.remove(gone)

    tidy(one_server)
    assert len(list(mirror.glob("objects/pack/*.pack"))) == 25, (
        "a build goes on, which packing would slow down"
    )
    end(kept)
    tidy(one_server)

    assert len(list(mirror.glob("objects/pack/*.pack"))) == 1
    assert sorted(path.name for path in (mirror / "refs" / "buildboard").iterdir()) == [
        kept.tree.parents[1].name
    ]
    have = ["git", f"--git-dir={mirror}", "cat-file", "-e"]
    assert subprocess.run([*have, gone.commit], check=False, capture_output=True).returncode != 0
    assert subprocess.run([*have, kept.commit], check=False, capture_output=True).returncode == 0
    assert one_server.run(spec(upstream)).commit == kept.commit


@pytest.fixture
def slow_packing(one_server: Server) -> Path:
    """git's packing takes a minute on this server, in a process of its own; the file says that it began."""
    tools, began = one_server.home / "tools", one_server.home / "began"
    tools.mkdir()
    (tools / "git").write_text(
        f'#!/bin/sh\ncase "$*" in *"gc --auto"*) echo >"{began}"; sleep 60; exit 1 ;; esac\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    (tools / "git").chmod(0o755)
    one_server.environment["PATH"] = f"{tools}:{os.environ['PATH']}"
    return began


def tidying(server: Server) -> int:
    return int((server.root / "tidy").read_text().split()[0])


@pytest.mark.parametrize("kill", [False, True], ids=["works", "killed"])
def test_build_never_waits_for_the_packing(
    one_server: Server, upstream: Upstream, slow_packing: Path, kill: bool
) -> None:
    commit = upstream.commit({"file": "x\n"})
    end(one_server.run(spec(upstream)))
    begin(one_server)
    wait_for(slow_packing.exists, what="it packs")
    pid = tidying(one_server)
    if kill:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())

    start = time.monotonic()
    ended = one_server.run(spec(upstream))

    assert (ended.code, ended.commit) == (0, commit), ended.log
    assert time.monotonic() - start < 30
    assert not list(one_server.cache.glob("*.clearing"))
    if not kill:
        wait_for(lambda: not (one_server.root / "tidy").exists(), what="the clearing ended")


def test_only_one_clearing_goes_on_at_a_time(
    one_server: Server, upstream: Upstream, slow_packing: Path
) -> None:
    upstream.commit({"file": "x\n"})
    end(one_server.run(spec(upstream)))
    begin(one_server)
    wait_for(slow_packing.exists, what="it packs")

    client = RunClient(LocalTransport(one_server.root, environment=one_server.environment))
    assert not client.tidy_caches(days=30, most_kib=PLENTY, floor_kib=0)
    os.kill(tidying(one_server), signal.SIGTERM)
    wait_for(lambda: not (one_server.root / "tidy").exists(), what="the clearing ended")


def test_mirrors_that_were_set_aside_and_old_drafts_go(one_server: Server, upstream: Upstream) -> None:
    upstream.commit({"file": "x\n"})
    end(one_server.run(spec(upstream)))
    (mirror,) = one_server.mirrors()
    (one_server.cache / f"{mirror.name}.bad.17").mkdir()
    old, new = (one_server.cache / f"{mirror.name}.new.{number}" for number in (1, 2))
    for path in (old, new):
        path.touch()
    age(old, 2)

    tidy(one_server)

    left = {path.name for path in one_server.cache.iterdir()}
    (lock,) = one_server.cache.glob("*.lock.*")
    assert left == {mirror.name, f"{mirror.name}.used", new.name, lock.name}
    assert lock.read_text() == "free\n"


def test_checkouts_and_clearings_at_once_harm_each_other_nothing(
    one_server: Server, upstream: Upstream
) -> None:
    commit = upstream.commit({"file": "x\n"})
    client = RunClient(LocalTransport(one_server.root, environment=one_server.environment))
    for _ in range(6):
        started = [one_server.start(spec(upstream)) for _ in range(3)]
        client.tidy_caches(days=1, most_kib=0, floor_kib=0)
        ended = [one_server.finish(one) for one in started]
        assert [(one.code, one.commit) for one in ended] == [(0, commit)] * 3, [one.log for one in ended]
        for one in ended:
            end(one)
        client.tidy_caches(days=1, most_kib=0, floor_kib=0)
