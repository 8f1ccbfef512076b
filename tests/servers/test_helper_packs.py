"""Many files of a work tree in one stream: exactly those asked for, whatever becomes of them meanwhile."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from servers.file_frames import FileEntry
from servers.transport import HelperRefused
from tests.requirements import require
from tests.servers.durable import Durable

pytestmark = pytest.mark.slow

TREE = """#!/bin/sh
mkdir -p src/d/deep run; echo one >src/a; echo two >src/d/b; : >src/d/deep/empty; head -c 300000 /dev/urandom >src/big
printf x >src/-rf; printf y >'src/back\\slash'; printf z >"src/$(printf '\\303\\251 b')"; ln src/a src/hard
ln -s a src/link; mkfifo src/pipe; echo no >run/notes
"""


def tools(folder: Path, **instead: str) -> dict[str, str]:
    """An environment whose PATH finds these scripts before all else."""
    folder.mkdir()
    for name, text in instead.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def built(durable: Durable, script: str = TREE) -> str:
    attempt = durable.start(script)
    assert durable.finish(attempt).exit is not None
    return attempt


def packed(durable: Durable, attempt: str, wanted: Mapping[str, int]) -> dict[str, bytes]:
    """What comes, with sums that fit."""
    found = {}
    for file in durable.client.read_files(attempt, wanted):
        found[file.path] = b"".join(file.chunks)
        assert hashlib.sha256(found[file.path]).hexdigest() == file.sha256
    return found


def contents(durable: Durable, attempt: str, wanted: Mapping[str, int]) -> dict[str, bytes]:
    """What lies in the tree."""
    return {path: (durable.job(attempt) / "ws" / path).read_bytes() for path in wanted}


def test_files_come_in_one_stream_with_their_sums(durable_any_shell: Durable) -> None:
    durable = durable_any_shell
    attempt = built(durable)
    listing = durable.client.list_files(attempt, starts=[("src", 100)])
    wanted = {file.path: file.size for file in listing.files}

    found = packed(durable, attempt, wanted)

    assert sorted(found) == sorted(
        [
            "src/-rf",
            "src/a",
            "src/back\\slash",
            "src/big",
            "src/d/b",
            "src/d/deep/empty",
            "src/hard",
            "src/\u00e9 b",
        ]
    )
    assert found == contents(durable, attempt, wanted)


def test_listing_looks_only_where_it_is_told_to(durable_any_shell: Durable) -> None:
    attempt = built(durable_any_shell)

    def look(*starts: tuple[str, int]) -> list[str]:
        files = durable_any_shell.client.list_files(attempt, starts=starts).files
        assert all(isinstance(file, FileEntry) for file in files)
        return sorted(file.path for file in files)

    assert look(("src/d", 1)) == ["src/d/b"]
    assert look(("src/d", 2)) == ["src/d/b", "src/d/deep/empty"]
    assert look(("src/a", 0), ("src/a", 100), ("src/d/b", 0)) == ["src/a", "src/d/b"]
    assert look(("src/link", 100), ("src/pipe", 100), ("src/none", 9), ("../log", 9), ("/etc", 1)) == []
    assert look(("run", 1)) == ["run/notes"]


def test_what_is_no_plain_file_inside_the_tree_is_not_sent(durable: Durable, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    attempt = built(durable, f"{TREE}\nln -s '{tmp_path}' src/away; ln -s d src/inside; echo ok >src/ok")
    hostile = [
        "src/away/secret",
        "src/inside/b",
        "src/link",
        "src/pipe",
        "src/d",
        "../script",
        "/etc/passwd",
        "src/none",
    ]

    wanted = dict.fromkeys([*hostile, "src/d/../a", "", "."], 6) | {"src/ok": 3}

    assert packed(durable, attempt, wanted) == {"src/ok": b"ok\n"}


@pytest.mark.parametrize(
    ("becomes", "left"),
    [
        ("rm -f src/b", ["src/a", "src/c"]),
        ("rm -f src/b; ln -s a src/b", ["src/a", "src/c"]),
        ("rm -f src/b; mkfifo src/b", ["src/a", "src/c"]),
        ("rm -f src/b; mkdir src/b; : >src/b/x", ["src/a", "src/c"]),
        ("echo more >>src/b", ["src/a", "src/c"]),
        (": >src/b", ["src/a", "src/c"]),
        ("chmod 000 src/b", ["src/a", "src/c"] if os.geteuid() else ["src/a", "src/b", "src/c"]),
        ("rm -rf src", []),
    ],
    ids=["gone", "link", "pipe", "folder", "longer", "shorter", "forbidden", "all-gone"],
)
@pytest.mark.parametrize("moment", ["before", "after-the-sums"])
def test_file_that_becomes_something_else_is_left_out(
    tmp_path: Path, becomes: str, left: list[str], moment: str, removed: Callable[[Durable], Durable]
) -> None:
    tar = shutil.which("tar")
    script = (
        f'case "$*" in --version) ;; *) {becomes} ;; esac\nexec {tar} "$@"'
        if moment != "before"
        else f'exec {tar} "$@"'
    )
    durable = removed(Durable(tmp_path / "work dir", environment=tools(tmp_path / "tools", tar=script)))
    attempt = built(durable, "mkdir src; echo 1 >src/a; echo 2 >src/b; echo 3 >src/c")
    if moment == "before":
        shell = f"cd '{durable.job(attempt)}/ws'; {becomes}"
        assert os.waitstatus_to_exitcode(os.system(shell)) == 0

    found = packed(durable, attempt, dict.fromkeys(["src/a", "src/b", "src/c"], 2))

    assert sorted(found) == left


def test_file_that_is_written_to_between_sum_and_stream_does_not_fit_its_sum(
    tmp_path: Path, removed: Callable[[Durable], Durable]
) -> None:
    script = f'case "$*" in --version) ;; *) echo 9 >src/a ;; esac\nexec {shutil.which("tar")} "$@"'
    durable = removed(Durable(tmp_path / "work dir", environment=tools(tmp_path / "tools", tar=script)))
    attempt = built(durable, "mkdir src; echo 1 >src/a")

    (file,) = durable.client.read_files(attempt, {"src/a": 2})

    assert file.sha256 == hashlib.sha256(b"1\n").hexdigest()


def test_options_of_the_account_change_no_archive(
    tmp_path: Path, removed: Callable[[Durable], Durable]
) -> None:
    environment = {"TAR_OPTIONS": "--transform=s/a/b/", "TAPE": "/nowhere"}
    durable = removed(Durable(tmp_path / "work dir", environment=environment))
    attempt = built(durable, "mkdir src; echo 1 >src/a")

    assert packed(durable, attempt, {"src/a": 2}) == {"src/a": b"1\n"}


def test_files_of_a_running_attempt_are_not_sent(durable: Durable) -> None:
    attempt = durable.start("echo 1 >a; sleep 60")

    with pytest.raises(HelperRefused, match="running"):
        packed(durable, attempt, {"a": 2})
    durable.client.cancel(attempt)
    durable.finish(attempt)


def test_server_without_tar_says_so_and_gives_files_singly(
    tmp_path: Path, removed: Callable[[Durable], Durable]
) -> None:
    require("busybox")
    folder = tmp_path / "tools"
    folder.mkdir()
    busybox = str(shutil.which("busybox"))
    for name in (
        "sh",
        "ls",
        "cat",
        "head",
        "tail",
        "dd",
        "awk",
        "find",
        "stat",
        "date",
        "grep",
        "sed",
        "rm",
        "mkdir",
    ):
        (folder / name).symlink_to(busybox)
    for name in ("mv", "ln", "env", "mkfifo", "sleep", "df", "chmod", "cut", "tr", "setsid", "sha256sum"):
        (folder / name).symlink_to(busybox)
    shell = (str(folder / "sh"),)
    durable = removed(Durable(tmp_path / "work dir", shell=shell, environment={"PATH": str(folder)}))
    attempt = built(durable, TREE)

    with pytest.raises(HelperRefused, match="notar"):
        packed(durable, attempt, {"src/a": 4})
    assert b"".join(durable.client.read_file(attempt, "src/a")) == b"one\n"
