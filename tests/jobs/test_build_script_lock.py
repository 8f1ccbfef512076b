"""The cache of mirrors: its lock, and repositories that are reached over a stand-in for the network."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.execution.script import CHECKOUT_STATUS, BuildSpec
from tests.jobs.script_runs import Server, Upstream, make_spec
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


def spec(upstream: Upstream, **values: object) -> BuildSpec:
    return make_spec(upstream, **{"build_command": "cat file", **values})


@pytest.fixture
def stalled(server: Server, upstream: Upstream) -> Iterator[tuple[str, Path]]:
    """A URL over a stand-in for ssh, and a file: while it exists the other side never answers."""
    flag, ssh = server.home / "silent", server.home / "ssh"
    ssh.write_text(f"#!/bin/sh\n[ ! -e '{flag}' ] || sleep 60\nfor last; do :; done\nexec sh -c \"$last\"\n")
    ssh.chmod(0o755)
    (server.home / ".gitconfig").write_text(f"[core]\n\tsshCommand = '{ssh}'\n[ssh]\n\tvariant = simple\n")
    plain = upstream.path.with_name("plain")
    plain.symlink_to(upstream.path)
    yield f"ssh://git@localhost{plain}", flag
    flag.unlink(missing_ok=True)


def held_locks(server: Server) -> list[Path]:
    return [path for path in server.cache.glob("*.lock.*") if path.read_text() != "free\n"]


def test_repository_elsewhere_is_built_without_leave_for_the_servers_files(
    server: Server, upstream: Upstream, stalled: tuple[str, Path]
) -> None:
    url, _ = stalled
    commit = upstream.commit()

    ended = server.run(spec(upstream, repository=url, commit=commit, local_repositories=False))

    assert (ended.code, ended.commit) == (0, commit), ended.log


def test_submodule_of_a_repository_elsewhere_cannot_name_the_servers_files(
    server: Server, upstream: Upstream, stalled: tuple[str, Path], tmp_path: Path
) -> None:
    url, _ = stalled
    secret = Upstream(tmp_path / "secret")
    secret.commit()
    upstream.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", secret.url, "sub")
    upstream.commit()

    ended = server.run(spec(upstream, repository=url, environment={"BUILDBOARD_SUBMODULES": "1"}))

    assert (ended.code, ended.phases) == (CHECKOUT_STATUS, ["checkout"])
    assert ended.last_line == f"--- failed: The submodules of commit {ended.commit} could not be checked out."
    assert "transport 'file' not allowed" in ended.log


def test_parallel_checkouts_of_one_repository_all_succeed(server: Server, upstream: Upstream) -> None:
    commits = [upstream.commit() for _ in range(4)]

    started = [server.start(spec(upstream, commit=commit)) for commit in commits * 2]
    ended = [server.finish(one) for one in started]

    assert [one.commit for one in ended] == commits * 2, [one.log for one in ended]
    assert [one.code for one in ended] == [0] * 8
    assert [path.read_text() for path in server.cache.glob("*.lock.*")] == ["free\n"]
    assert not list(server.cache.glob("*.new.*"))


def test_lock_and_leftovers_of_a_killed_fetch_are_healed(
    server: Server, upstream: Upstream, stalled: tuple[str, Path]
) -> None:
    url, silent = stalled
    upstream.commit()
    assert server.run(spec(upstream, repository=url)).code == 0
    commit = upstream.commit()
    (mirror,) = server.mirrors()
    silent.touch()
    _, killed = server.start(spec(upstream, repository=url))
    wait_for(lambda: held_locks(server))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=30)
    silent.unlink()
    leftovers = [mirror / name for name in ("packed-refs.lock", "shallow.lock", "objects/pack/tmp_pack_abc")]
    for path in leftovers:
        path.touch()
    assert len(held_locks(server)) == 1

    started = [server.start(spec(upstream, repository=url)) for _ in range(4)]
    ended = [server.finish(one) for one in started]

    assert [(one.code, one.commit) for one in ended] == [(0, commit)] * 4, ended[0].log
    assert [path for path in leftovers if path.exists()] == []
    assert held_locks(server) == []


def test_checkout_waits_for_the_one_that_holds_the_lock(
    server: Server, upstream: Upstream, stalled: tuple[str, Path]
) -> None:
    url, silent = stalled
    commit = upstream.commit()
    silent.touch()
    first = server.start(spec(upstream, repository=url))
    wait_for(lambda: held_locks(server))
    second = server.start(spec(upstream, repository=url))
    assert first[1].poll() is None

    line = ""
    assert second[1].stdout is not None
    while not line.startswith("--- waiting"):
        line = second[1].stdout.readline()
    os.killpg(first[1].pid, signal.SIGKILL)
    silent.unlink()
    server.finish(first)
    ended = server.finish(second)

    assert line == f"--- waiting: process {first[1].pid} fetches the same repository\n"
    assert (ended.code, ended.commit) == (0, commit)


def test_lock_of_a_reused_pid_or_of_another_boot_holds_nobody(server: Server, upstream: Upstream) -> None:
    upstream.commit()
    server.run(spec(upstream))
    (lock,) = server.cache.glob("*.lock.*")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]

    for record in (f"{os.getpid()} 1 {boot}", f"{os.getpid()} {start} other-boot", f"999999999 1 {boot}", ""):
        lock.write_text(f"{record}\n")
        ended = server.run(spec(upstream))
        assert (ended.code, "waiting" in ended.log) == (0, False), record
        (lock,) = server.cache.glob("*.lock.*")
