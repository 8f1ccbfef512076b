"""The durable run under every shell: what a build gets, and what is kept of it, byte for byte."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.frames import ExitRecord, RunLimits, RunState
from tests.requirements import require
from tests.servers.durable import Durable
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

NASTY = "quote ' double \" dollar $HOME `id` $(id) back\\slash \\n\nsecond line\n\ttab  \u00e9\u20ac *"
TOOLS = [
    "sh", "awk", "cat", "chmod", "cut", "date", "dd", "df", "env", "find", "grep", "head", "ln", "ls",
    "mkdir", "mkfifo", "mv", "nohup", "rm", "sed", "setsid", "sleep", "stat", "tail", "tr",
]  # fmt: skip
VALUES = {"NASTY": NASTY, "EMPTY": "", "UID": "5", "ID": "x", "JOB": "y", "SELF": "z", "LC_ALL": "C.UTF-8"}


def test_run_keeps_exit_code_and_every_byte(durable_any_shell: Durable) -> None:
    raw = bytes(range(256)) * 40 + b"bar 10%\rbar 20%\r\nno end \xff\x00"
    hexed = "".join(f"\\{byte:03o}" for byte in raw)

    attempt = durable_any_shell.start(f"printf '{hexed}'\necho to stderr >&2\nexit 7\n")
    entry = durable_any_shell.finish(attempt)

    assert entry.data == raw + b"to stderr\n"
    assert entry.exit is not None
    assert entry.exit == ExitRecord("exited", 7, len(entry.data), entry.exit.epoch, left=False)
    assert (entry.size, durable_any_shell.starts(attempt)) == (len(entry.data), 1)
    durable_any_shell.wait_empty()


def test_run_that_writes_to_dev_stderr_does_not_empty_the_log(durable_any_shell: Durable) -> None:
    attempt = durable_any_shell.start("echo one; echo two >/dev/stderr; echo three >/dev/stdout; echo four")

    assert durable_any_shell.finish(attempt).data == b"one\ntwo\nthree\nfour\n"


def test_run_passes_environment_literally_and_deletes_it_first(durable_any_shell: Durable) -> None:
    script = 'printf \'%s|\' "$NASTY" "${EMPTY-unset}" "$ID" "$JOB" "$SELF" "$LC_ALL"; ls -a ..'

    # yash decodes what it reads, and the helper's locale is C.
    nasty = NASTY if durable_any_shell.shell != ("yash",) else NASTY.encode("ascii", "ignore").decode()
    attempt = durable_any_shell.start(script, environment={**VALUES, "NASTY": nasty})
    log = durable_any_shell.finish(attempt).data

    told, _, listing = log.rpartition(b"|")
    assert told.decode().split("|") == [nasty, "", "x", "y", "z", "C.UTF-8"]
    assert "script" in listing.decode().split()
    assert not {"env", "env.run"} & set(listing.decode().split())


def test_run_is_told_where_it_is(durable_any_shell: Durable) -> None:
    names = "BUILDBOARD_ATTEMPT BUILDBOARD_JOB_DIR BUILDBOARD_HOME BUILDBOARD_HELPER BUILDBOARD_LOCALE LC_ALL"
    script = f'for n in {names}; do eval echo "\\${{$n-none}}"; done; pwd; umask; cat; echo end'

    attempt = durable_any_shell.start(script, environment={"BUILDBOARD_ATTEMPT": "a lie"})
    lines = durable_any_shell.finish(attempt).data.decode().splitlines()

    job = durable_any_shell.job(attempt)
    assert lines[:3] == [attempt, str(job), str(durable_any_shell.root)]
    assert Path(lines[3]).parent == durable_any_shell.root / "lib"
    assert lines[4:7] == ["none", os.environ.get("LC_ALL", "none"), str(job / "ws")]
    assert (int(lines[7], 8), lines[8:]) == (0o22, ["end"])


def test_run_marks_phases_and_commit_once(durable_any_shell: Durable) -> None:
    mark = 'sh "$BUILDBOARD_HELPER" {} "$BUILDBOARD_ATTEMPT" {}\n'
    script = (
        mark.format("phase", "checkout")
        + mark.format("commit", "0123abcdef")
        + mark.format("commit", "ffff")
        + "echo built\nsleep 0.2\n"
        + mark.format("phase", "building")
        + mark.format("phase", "'bad one'")
        + "echo $?"
    )

    entry = durable_any_shell.finish(durable_any_shell.start(script))

    assert entry.phase is not None
    assert (entry.phase.name, entry.phase.log_offset, entry.commit) == ("building", 6, "0123abcdef")
    assert entry.data == b"built\n64\n"


def test_run_stops_at_a_limit_of_its_own_shell(durable_any_shell: Durable) -> None:
    attempt = durable_any_shell.start("echo a; sleep 60", limits=RunLimits(wall_seconds=2, grace_seconds=1))
    entry = durable_any_shell.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.left, entry.data[:2]) == ("timeout", False, b"a\n")
    durable_any_shell.wait_empty()


def test_poll_reads_any_offset_around_blocks(durable_any_shell: Durable) -> None:
    attempt = durable_any_shell.start("i=0; while [ $i -lt 2500 ]; do echo $i; i=$((i+1)); done")
    whole = durable_any_shell.finish(attempt).data
    offsets = [0, 1, 4095, 4096, 4097, 8191, 8192, 8193, len(whole) - 1, len(whole), len(whole) + 5]

    pieces = [durable_any_shell.client.poll([(attempt, o)], max_bytes=50)[0] for o in offsets]

    assert [piece.data for piece in pieces] == [whole[o : o + 50] for o in offsets]
    assert {piece.size for piece in pieces} == {len(whole)}


def test_poll_reads_whole_blocks_and_what_lies_across_them(durable_any_shell: Durable) -> None:
    attempt = durable_any_shell.start("true")
    durable_any_shell.finish(attempt)
    block = 65536
    whole = b"".join(b"%d\n" % number for number in range(40_000))
    (durable_any_shell.job(attempt) / "log").write_bytes(whole)
    (durable_any_shell.job(attempt) / "exit").write_text(f"exited 0 {len(whole)} 1 left=0\n")
    asked = [
        (at, size) for at in (0, 1, block - 1, block, 2 * block) for size in (block, 2 * block, block + 1)
    ]

    pieces = [durable_any_shell.client.poll([(attempt, at)], max_bytes=size)[0] for at, size in asked]

    assert [piece.data for piece in pieces] == [whole[at : at + size] for at, size in asked]


def test_poll_reads_beyond_two_and_four_gigabytes(durable_any_shell: Durable) -> None:
    attempt = durable_any_shell.start("true")
    durable_any_shell.finish(attempt)
    offsets = [(1 << 31) - 3, (1 << 31) + 50, (1 << 32) + 4097]
    with (durable_any_shell.job(attempt) / "log").open("r+b") as log:
        for offset in offsets:
            log.seek(offset)
            log.write(b"here")
        size = log.tell()
    record = durable_any_shell.job(attempt) / "exit"
    record.write_text(f"exited 0 {size} 1 left=0\n")

    pieces = [durable_any_shell.client.poll([(attempt, o)], max_bytes=6)[0] for o in offsets]

    assert [piece.data for piece in pieces] == [b"here\0\0", b"here\0\0", b"here"]
    assert {piece.size for piece in pieces} == {size}


@pytest.mark.parametrize("text", [b"", b"no final newline", b"\n", b"a\r\rb"])
def test_log_of_odd_shape_is_exact(durable: Durable, text: bytes) -> None:
    attempt = durable.start(b"cat <<'END' | head -c %d\n%b\nEND\n" % (len(text), text))

    assert durable.read(attempt) == text


def test_log_of_one_line_of_50_megabytes_is_exact(durable: Durable) -> None:
    attempt = durable.start("head -c 52428800 /dev/zero | tr '\\0' x")

    assert hashlib.sha256(durable.read(attempt)).digest() == hashlib.sha256(b"x" * 52428800).digest()


def test_script_of_300_kilobytes_runs_whole(durable: Durable) -> None:
    attempt = durable.start("# padding\n" * 30_000 + "echo reached the end\n")

    assert durable.finish(attempt).data == b"reached the end\n"


def test_script_with_an_interpreter_line_runs_under_it(durable: Durable) -> None:
    attempt = durable.start("#!/usr/bin/awk -f\nBEGIN { print 6 * 7; exit 3 }\n")
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.data, entry.exit.code) == (b"42\n", 3)


def test_build_can_be_interrupted_by_its_own_tests(durable: Durable) -> None:
    """A background job of a shell ignores SIGINT, and so would everything that a build starts."""
    attempt = durable.start("grep SigIgn /proc/self/status")

    ignored = int(durable.finish(attempt).data.split()[1], 16)

    assert ignored & 0b110 == 0


@pytest.fixture
def bare_machine(tmp_path: Path) -> Iterator[Path]:
    """A PATH of links to real tools, from which a test takes some away."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = next(path for path in (Path("/bin") / name, Path("/usr/bin") / name) if path.exists())
        (folder / name).symlink_to(found)
    return iter([folder])


@pytest.mark.parametrize("missing", ["setsid", "mkfifo", "ln", "env"])
def test_run_without_a_tool_still_starts_ends_and_cancels(
    tmp_path: Path, bare_machine: Iterator[Path], missing: str
) -> None:
    folder = next(bare_machine)
    (folder / missing).unlink()
    server = Durable(tmp_path / "work", environment={"PATH": str(folder)})
    try:
        ended = server.start("echo hi; exit 5")
        cancelled = server.start("echo hi; sleep 60")
        wait_for(lambda: server.look(cancelled).data)
        server.client.cancel(cancelled)

        entries = [server.finish(attempt) for attempt in (ended, cancelled)]

        assert [entry.data[:3] for entry in entries] == [b"hi\n", b"hi\n"]
        assert [(e.exit.reason, e.exit.left) for e in entries if e.exit] == [
            ("exited", False),
            ("cancelled", False),
        ]
        assert (entries[0].exit and entries[0].exit.code, server.starts(ended)) == (5, 1)
        server.wait_empty()
    finally:
        server.clear()


def test_run_with_nothing_but_busybox(tmp_path: Path) -> None:
    require("busybox")
    folder = tmp_path / "bin"
    folder.mkdir()
    subprocess.run(["busybox", "--install", "-s", str(folder)], check=True)
    server = Durable(tmp_path / "work", environment={"PATH": str(folder)}, shell=(str(folder / "sh"),))
    try:
        attempt = server.start("echo hi; echo x >'a \u00e9'; exit 4", limits=RunLimits(disk_floor_kib=1))
        entry = server.finish(attempt)

        assert (entry.data, entry.state, entry.exit and entry.exit.code) == (b"hi\n", RunState.DONE, 4)
        assert [(f.path, f.size) for f in server.client.list_files(attempt).files] == [("a \u00e9", 2)]
        assert b"".join(server.client.read_file(attempt, "a \u00e9")) == b"x\n"
        assert server.client.probe(tools=False)["os"] == "Linux"
    finally:
        server.clear()
