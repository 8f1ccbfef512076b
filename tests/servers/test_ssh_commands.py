"""Commands over SSH: input, output, errors and ends of every size, and what is put where."""

import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko.packet  # noqa: TID251  # to make it exchange keys early
import pytest

from servers.ssh import SshTransport, keeper
from servers.ssh import transport as ssh_transport
from servers.ssh.commands import helper_line, install_line
from servers.ssh.keeper import MOST_CHANNELS
from servers.ssh.target import check_work_dir
from servers.transport import HELPER_NAME, HELPER_TEXT, BadReply, TransportError, TransportTimeout
from tests.requirements import require
from tests.servers.ssh_targets import install_bad_helper, logins, transport_for
from tests.ssh_servers import SshServer
from tests.waiting import wait_for

pytestmark = [pytest.mark.ssh, pytest.mark.slow]
SECONDS = 60.0
# People log in with the last two as well; they are tried where they are.
LOGIN_SHELLS = [["dash"], ["bash"], ["mksh"], ["yash"], ["busybox", "ash"]]
LOGIN_SHELLS += [[shell] for shell in ("fish", "tcsh") if shutil.which(shell)]


@pytest.fixture
def bad(ssh_server: SshServer) -> Iterator[SshTransport]:
    """A transport whose helper does what its first word says."""
    install_bad_helper(ssh_server)
    with transport_for(ssh_server) as transport:
        yield transport


def test_code_output_and_errors_come_back(bad: SshTransport) -> None:
    assert bad.run(["code", "7"], timeout_seconds=SECONDS).exit_code == 7
    told = bad.run(["errors", "3"], timeout_seconds=SECONDS)

    assert (told.exit_code, told.stdout, told.stderr) == (0, b"told\n", b"\0\0\0")


def test_a_helper_that_was_killed_is_told_from_a_lost_connection() -> None:
    require("sshd")
    with SshServer(settings={"ForceCommand": "kill -9 $$"}) as server, transport_for(server) as transport:
        for _ in range(2):
            with pytest.raises(BadReply, match="killed"):
                transport.run(["code", "0"], timeout_seconds=SECONDS)

        assert logins(server) == 1


@pytest.mark.parametrize("size", [1, 32_768, 65_537, 4 << 20])
def test_binary_input_comes_back_as_it_is(bad: SshTransport, size: int) -> None:
    blob = os.urandom(size)

    done = bad.run(["mirror"], stdin=blob, timeout_seconds=SECONDS)

    assert (done.exit_code, done.stderr) == (0, b"")
    assert done.stdout == blob


def test_big_input_big_output_and_many_errors_at_once_do_not_stall(bad: SshTransport) -> None:
    both = bad.run(["both", str(8 << 20)], stdin=os.urandom(8 << 20), timeout_seconds=SECONDS)
    errors = bad.run(["errors", str(8 << 20)], timeout_seconds=SECONDS)

    assert both.stdout == bytes(8 << 20) + b"\n"
    assert (errors.stdout, errors.stderr) == (b"told\n", bytes(64 << 10))


def test_input_that_nobody_reads_harms_nothing(bad: SshTransport, ssh_server: SshServer) -> None:
    done = [bad.run(["code", "3"], stdin=os.urandom(300_000), timeout_seconds=SECONDS) for _ in range(5)]

    assert {one.exit_code for one in done} == {3}
    assert logins(ssh_server) == 1


def test_a_huge_reply_is_cut_off(
    bad: SshTransport, ssh_server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_transport, "MOST_REPLY_BYTES", 1 << 20)

    assert len(bad.run(["zeros", str(1 << 20)], timeout_seconds=SECONDS).stdout) == 1 << 20
    with pytest.raises(BadReply, match="more than 1 MiB"):
        bad.run(["endless"], timeout_seconds=SECONDS)

    wait_for(lambda: not ssh_server.processes() or not _runs(ssh_server, "endless"))
    assert logins(ssh_server) == 1


def _runs(server: SshServer, word: str) -> bool:
    told = [Path(f"/proc/{pid}/cmdline") for pid in server.processes()]
    return any(path.exists() and word.encode() in path.read_bytes() for path in told)


def test_a_timeout_is_exact_and_may_have_happened(bad: SshTransport) -> None:
    bad.run(["code", "0"], timeout_seconds=SECONDS)
    began = time.monotonic()

    with pytest.raises(TransportTimeout) as failed:
        bad.run(["hang"], timeout_seconds=1)

    assert 1 <= time.monotonic() - began < 3
    assert not failed.value.nothing_sent
    assert bad.run(["code", "5"], timeout_seconds=SECONDS).exit_code == 5


def test_a_timeout_leaves_what_others_do_alone(bad: SshTransport, ssh_server: SshServer) -> None:
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(bad.run, ["sleep", "2"], timeout_seconds=SECONDS)
        wait_for(lambda: _runs(ssh_server, "sleep"))
        with pytest.raises(TransportTimeout):
            bad.run(["hang"], timeout_seconds=0.5)
        assert bad.run(["code", "0"], timeout_seconds=SECONDS).exit_code == 0

        assert other.result().stdout == b"slept\n"


def test_a_stream_comes_as_it_comes_and_its_timeout_is_for_silence(bad: SshTransport) -> None:
    pieces = bad.stream(["hang"], timeout_seconds=0.5)

    assert next(pieces) == b"some\n"
    with pytest.raises(TransportTimeout):
        next(pieces)
    assert b"".join(bad.stream(["mirror"], stdin=b"x" * 200_000, timeout_seconds=SECONDS)) == b"x" * 200_000


def test_streams_that_are_closed_early_keep_no_channel(bad: SshTransport, ssh_server: SshServer) -> None:
    for _ in range(50):
        pieces = bad.stream(["endless"], timeout_seconds=SECONDS)
        assert next(pieces).startswith(b"more\n")
        pieces.close()

    with ThreadPoolExecutor(MOST_CHANNELS) as pool:
        done = list(
            pool.map(lambda n: bad.run(["code", str(n)], timeout_seconds=SECONDS).exit_code, range(8))
        )
    assert done == list(range(8))
    wait_for(lambda: not _runs(ssh_server, "endless"))
    assert logins(ssh_server) == 1


def test_a_stream_that_is_never_begun_or_forgotten_takes_no_channel(bad: SshTransport) -> None:
    unbegun = [bad.stream(["endless"], timeout_seconds=SECONDS) for _ in range(20)]
    for _ in range(20):
        next(bad.stream(["endless"], timeout_seconds=SECONDS))

    assert bad.run(["code", "0"], timeout_seconds=SECONDS).exit_code == 0
    assert len(unbegun) == 20


def test_streams_leave_a_channel_for_short_answers(bad: SshTransport) -> None:
    streams = [bad.stream(["endless"], timeout_seconds=SECONDS) for _ in range(MOST_CHANNELS - 1)]
    for stream in streams:
        next(stream)

    with pytest.raises(TransportTimeout) as failed:
        next(bad.stream(["endless"], timeout_seconds=0.3))
    assert failed.value.nothing_sent
    assert bad.run(["code", "4"], timeout_seconds=SECONDS).exit_code == 4
    del streams, stream


@pytest.mark.parametrize("side", ["server", "client"])
def test_new_keys_during_a_big_stream_change_no_byte(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    require("sshd")
    if side == "client":
        monkeypatch.setattr(paramiko.packet.Packetizer, "REKEY_BYTES", 16 << 20)
    with SshServer(settings={"RekeyLimit": "4M"} if side == "server" else {}) as server:
        install_bad_helper(server)
        blob = os.urandom(45 << 20)
        (server.home / "blob").write_bytes(blob)
        with transport_for(server) as transport:
            digest = hashlib.sha256()
            for piece in transport.stream(["blob"], timeout_seconds=SECONDS):
                digest.update(piece)

            assert digest.digest() == hashlib.sha256(blob).digest()
            assert (
                transport.run(["mirror"], stdin=blob[: 15 << 20], timeout_seconds=SECONDS).stdout
                == blob[: 15 << 20]
            )
            assert logins(server) == 1


def test_a_connection_is_renewed_before_it_needs_new_keys(
    bad: SshTransport, ssh_server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "RENEW_BYTES", 1 << 20)

    for _ in range(3):
        bad.run(["zeros", str(1 << 20)], timeout_seconds=SECONDS)

    assert logins(ssh_server) == 3
    wait_for(lambda: len(ssh_server.sessions()) <= 2)


# ---- installing -----------------------------------------------------------------------------------------
def test_the_helper_is_installed_whole_private_and_over_nothing(ssh_server: SshServer) -> None:
    library = ssh_server.home / ".buildboard" / "lib"
    with transport_for(ssh_server) as transport, ThreadPoolExecutor(4) as pool:
        assert transport.run(["poll", "n", "1"], timeout_seconds=SECONDS).exit_code in {2, 127}
        for done in [pool.submit(transport.install) for _ in range(8)]:
            done.result()

    assert [path.name for path in library.iterdir()] == [HELPER_NAME]
    assert (library / HELPER_NAME).read_bytes() == HELPER_TEXT
    assert [path.stat().st_mode & 0o777 for path in (library, library / HELPER_NAME)] == [0o700, 0o600]


def test_an_install_that_fails_says_why_and_leaves_nothing(ssh_server: SshServer) -> None:
    (ssh_server.home / ".buildboard").write_text("in the way")

    with (
        transport_for(ssh_server) as transport,
        pytest.raises(TransportError, match="cannot be installed") as failed,
    ):
        transport.install()

    assert failed.value.nothing_sent
    assert [path.name for path in ssh_server.home.iterdir()] == [".buildboard"]


def test_half_an_install_is_none(ssh_server: SshServer) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", install_line(work_dir="")],
        input=HELPER_TEXT[:-1],
        env={"HOME": str(ssh_server.home), "PATH": os.environ["PATH"]},
        check=False,
    )

    assert done.returncode == 1
    assert list((ssh_server.home / ".buildboard" / "lib").iterdir()) == []


def test_another_work_dir_is_used_for_all(ssh_server: SshServer, tmp_path: Path) -> None:
    root = tmp_path / "builds"
    with transport_for(ssh_server, work_dir=str(root)) as transport:
        transport.install()
        (root / "lib" / HELPER_NAME).write_text('echo "$BUILDBOARD_HOME"; echo "$0"; cat')
        plain = transport.run(["where"], timeout_seconds=SECONDS)
        fed = transport.run(["where"], stdin=b"fed", timeout_seconds=SECONDS)

    said = f"{root}\n{root}/lib/{HELPER_NAME}\n".encode()
    assert (plain.stdout, fed.stdout) == (said, said + b"fed")
    assert not (ssh_server.home / ".buildboard").exists()


# ---- command lines --------------------------------------------------------------------------------------
@pytest.mark.parametrize("word", ["", "a b", "$(id)", "a;b", "'", "a\n", "../x/", "é", "*"])
def test_words_are_plain(bad: SshTransport, word: str) -> None:
    with pytest.raises(ValueError, match="word"):
        bad.run(["mirror", word], timeout_seconds=1)
    with pytest.raises(ValueError, match="word"):
        next(bad.stream(["mirror", word], timeout_seconds=1))


@pytest.mark.parametrize(
    "work_dir", ["relative", "/a b", "/a/../b", "/a'b", "/a$b", "/", "/a/", "/a\nb", "~/a"]
)
def test_work_dirs_are_plain(work_dir: str) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        check_work_dir(work_dir)


@pytest.mark.parametrize("shell", LOGIN_SHELLS, ids=" ".join)
@pytest.mark.parametrize("work_dir", ["", "/own"])
def test_lines_mean_the_same_to_every_login_shell(tmp_path: Path, shell: list[str], work_dir: str) -> None:
    require(shell[0])
    root = tmp_path / "own" if work_dir else tmp_path / ".buildboard"
    where = str(root) if work_dir else ""
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    def say(line: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*shell, "-c", line], input=given, env=environment, capture_output=True, check=False
        )

    installed = say(install_line(work_dir=where), HELPER_TEXT)
    (root / "lib" / HELPER_NAME).write_text('echo "$@"; [ "$1" = all ] && cat; exit 6')
    plain = say(helper_line(["poll", "a:1"], work_dir=where, has_input=False), b"not for it")
    fed = say(helper_line(["all"], work_dir=where, has_input=True), b"for\0it")
    unread = say(helper_line(["none"], work_dir=where, has_input=True), b"line\nx" * 40_000)

    assert (installed.returncode, installed.stdout + installed.stderr) == (0, b"")
    assert (plain.returncode, plain.stdout) == (6, b"poll a:1\n")
    assert (fed.returncode, fed.stdout) == (6, b"all\nfor\0it")
    assert (unread.returncode, unread.stdout) == (6, b"none\n")


def test_threads_share_one_connection(bad: SshTransport, ssh_server: SshServer) -> None:
    barrier = threading.Barrier(8)

    def begin(number: int) -> int:
        barrier.wait()
        return bad.run(["code", str(number)], timeout_seconds=SECONDS).exit_code

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(begin, range(8))) == list(range(8))
    assert logins(ssh_server) == 1
