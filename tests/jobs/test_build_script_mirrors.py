"""The mirrors of the build script: broken ones are made anew, moved branches followed, real git servers spoken to."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.execution.script import BuildSpec
from tests.jobs.script_runs import Server, Upstream, make_spec
from tests.services import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
DAMAGED = "on this server is damaged: it is made anew"


def spec(upstream: Upstream, **values: object) -> BuildSpec:
    return make_spec(upstream, **{"build_command": "cat f1", **values})


def overwrite(*paths: Path, data: Callable[[bytes], bytes]) -> None:
    for path in paths:
        path.chmod(0o644)
        path.write_bytes(data(path.read_bytes()))


def remove(*paths: Path) -> None:
    for path in paths:
        path.unlink()


def put_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def holed(data: bytes) -> bytes:
    return data[: len(data) // 2] + b"\0" * 8 + data[len(data) // 2 + 8 :]


def refs(mirror: Path) -> list[Path]:
    return [path for path in mirror.glob("refs/*/*") if path.is_file()]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no-head": lambda mirror: (mirror / "HEAD").unlink(),
    "empty-head": lambda mirror: (mirror / "HEAD").write_text(""),
    "config": lambda mirror: (mirror / "config").write_text("[core\n\0"),
    "cut-pack": lambda mirror: overwrite(*mirror.glob("objects/pack/*.pack"), data=half),
    "holed-pack": lambda mirror: overwrite(*mirror.glob("objects/pack/*.pack"), data=holed),
    "cut-index": lambda mirror: overwrite(*mirror.glob("objects/pack/*.idx"), data=half),
    "no-index": lambda mirror: remove(*mirror.glob("objects/pack/*.idx")),
    "empty-objects": lambda mirror: overwrite(*mirror.glob("objects/??/*"), data=lambda _: b""),
    "holed-objects": lambda mirror: overwrite(*mirror.glob("objects/??/*"), data=holed),
    "empty-refs": lambda mirror: overwrite(*refs(mirror), data=lambda _: b""),
    "wrong-refs": lambda mirror: overwrite(*refs(mirror), data=lambda _: b"1" * 40 + b"\n"),
    "packed-refs": lambda mirror: (mirror / "packed-refs").write_text("\0garbage\n"),
    "no-refs": lambda mirror: shutil.rmtree(mirror / "refs"),
    "no-mirror": put_file,
}


@pytest.mark.parametrize("files", [2, 150], ids=["loose", "packed"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_broken_mirror_is_made_anew(one_server: Server, upstream: Upstream, damage: str, files: int) -> None:
    commit = upstream.commit({f"f{number}": str(number) * 50 for number in range(files)})
    assert one_server.run(spec(upstream)).commit == commit
    (mirror,) = one_server.mirrors()

    for asked in ("HEAD", commit):
        DAMAGES[damage](mirror)
        ended = one_server.run(spec(upstream, commit=asked))

        assert (ended.code, ended.commit) == (0, commit), ended.log


def test_broken_repository_elsewhere_costs_one_new_mirror_and_is_told(
    one_server: Server, upstream: Upstream
) -> None:
    upstream.commit({f"f{number}": str(number) for number in range(5)})
    assert one_server.run(spec(upstream)).code == 0
    upstream.commit({"f9": "new"})
    overwrite(*(upstream.path / ".git" / "objects").glob("??/*"), data=lambda _: b"")

    ended = one_server.run(spec(upstream))

    assert ended.code != 0
    assert ended.last_line.startswith("--- failed: The repository ")
    assert ended.log.count(DAMAGED) <= 1


def test_repository_around_the_folder_is_left_alone(one_server: Server, upstream: Upstream) -> None:
    commit = upstream.commit({"f1": "x"})
    outer = ["git", "-C", str(one_server.root)]
    subprocess.run([*outer, "init", "-q"], check=True)
    assert one_server.run(spec(upstream)).commit == commit
    (mirror,) = one_server.mirrors()
    (mirror / "HEAD").unlink()

    assert one_server.run(spec(upstream)).commit == commit

    found = subprocess.run([*outer, "for-each-ref"], check=True, capture_output=True, text=True)
    assert found.stdout == ""


def test_branch_that_was_moved_by_force_is_followed(one_server: Server, upstream: Upstream) -> None:
    upstream.commit({"f1": "first"})
    gone = upstream.commit({"f1": "second"})
    assert one_server.run(spec(upstream)).commit == gone
    upstream.git("reset", "-q", "--hard", "HEAD~1")
    moved = upstream.commit({"f1": "other"})

    assert one_server.run(spec(upstream)).commit == moved
    assert one_server.run(spec(upstream, commit=moved[:7])).commit == moved


@pytest.mark.parametrize(
    "branch", ["feature/a/b", "übung/日本", "a.b_c-d", "release@2", "x{y", "it's", 'q"q', "a;b", "$(x)"]
)
def test_odd_but_legal_branches_are_built(one_server: Server, upstream: Upstream, branch: str) -> None:
    upstream.commit({"f1": "x"})
    upstream.git("checkout", "-q", "-b", branch)
    commit = upstream.commit({"f1": "odd"})

    first = one_server.run(spec(upstream, branch=branch))

    assert (first.code, first.commit) == (0, commit), first.log
    assert one_server.run(spec(upstream, branch=branch, commit=commit[:8])).commit == commit


@contextlib.contextmanager
def daemon(upstream: Upstream) -> Iterator[str]:
    """A real git server on loopback; the address of the repository there."""
    port = free_port()
    (upstream.path / ".git" / "git-daemon-export-ok").touch()
    process = subprocess.Popen(
        ["git", "daemon", "--listen=127.0.0.1", f"--port={port}", f"--base-path={upstream.path.parent}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    wait_for(answers, what="git daemon listens")
    try:
        yield f"git://127.0.0.1:{port}/{upstream.path.name}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_real_server_gives_ids_by_the_new_protocol_and_branches_by_the_old(
    one_server: Server, tmp_path: Path, version: str
) -> None:
    upstream = Upstream(tmp_path / "plain")
    old = upstream.commit({"f1": "old"})
    tip = upstream.commit({"f1": "tip"})
    upstream.git("checkout", "-q", "-b", "other")
    upstream.commit({"f1": "between"})
    hidden = upstream.git("rev-parse", "HEAD")
    upstream.commit({"f1": "end"})
    (one_server.home / ".gitconfig").write_text(f"[protocol]\n\tversion = {version}\n")
    with daemon(upstream) as url:
        built = [
            one_server.run(spec(upstream, repository=url, commit=commit, local_repositories=False))
            for commit in (old, "HEAD", old[:9], hidden)
        ]

    assert [one.commit for one in built] == [old, tip, old, hidden if version == "2" else ""]
    if version != "2":
        assert built[0].log.count("the id alone could not be fetched: looking for it in main") == 1
        assert built[3].last_line == f"--- failed: Commit {hidden} was not found in branch main of {url}."
