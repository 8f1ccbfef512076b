"""The local transport: what a build may see, what a timeout ends, and what survives the caller."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from servers.frames import RunLimits
from servers.local import LocalTransport, clean_environment
from servers.transport import (
    HELPER_NAME,
    HELPER_TEXT,
    BadReply,
    TransportError,
    TransportTimeout,
    Unreachable,
)
from tests.servers.durable import Durable, is_alive
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
STARTER = """
import os, sys
from pathlib import Path
from servers.frames import RunLimits
from servers.local import LocalTransport
from servers.runs import RunClient
client = RunClient(LocalTransport(Path(sys.argv[1])))
client.submit(sys.argv[2], script=sys.argv[3].encode(), environment={}, limits=RunLimits(grace_seconds=1))
print("started", flush=True)
sys.stdin.read()
"""
ATTEMPT = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[LocalTransport]:
    """A transport whose installed helper does what its first word says, badly."""
    transport = LocalTransport(tmp_path)
    transport.install()
    (tmp_path / "lib" / HELPER_NAME).write_text(
        'case $1 in hang) sleep 300 & echo $! >"$BUILDBOARD_HOME/pid"; echo some; sleep 300 ;;\n'
        "flood) cat /dev/zero ;; scold) cat /dev/zero >&2 ;; deaf) exec <&-; echo heard ;;\n"
        "mirror) cat ;; fds) ls -l /proc/self/fd >&2; exit 7 ;; term) kill -TERM $$ ;; here) pwd ;; esac\n"
    )
    yield transport
    transport.close()


def test_run_gives_code_output_and_errors(fake: LocalTransport) -> None:
    blob = os.urandom(300_000)

    assert fake.run(["mirror"], stdin=blob, timeout_seconds=10).stdout == blob
    assert fake.run(["here"], timeout_seconds=10).stdout == b"/\n"
    assert fake.run(["term"], timeout_seconds=10).exit_code == -signal.SIGTERM
    assert fake.run(["fds"], timeout_seconds=10).exit_code == 7


def test_run_hands_on_no_descriptor(fake: LocalTransport) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        listed = fake.run(["fds"], timeout_seconds=10).stderr.decode()
    finally:
        os.close(reader)
        os.close(writer)

    numbers = {line.split(" -> ")[0].split()[-1] for line in listed.splitlines() if " -> " in line}
    assert numbers == {"0", "1", "2", "3"}  # 3 is the folder that ls looks at


def test_run_timeout_ends_the_whole_helper(fake: LocalTransport, tmp_path: Path) -> None:
    with pytest.raises(TransportTimeout) as failed:
        fake.run(["hang"], timeout_seconds=3)  # time to write the pid, on a busy machine too

    assert not failed.value.nothing_sent
    wait_for(lambda: not is_alive(int((tmp_path / "pid").read_text())))


@pytest.mark.parametrize("word", ["flood", "scold"])
def test_run_takes_no_endless_reply(fake: LocalTransport, word: str) -> None:
    with pytest.raises(BadReply, match="more than 64 MiB"):
        fake.run([word], timeout_seconds=60)


def test_run_sends_input_that_nobody_reads(fake: LocalTransport) -> None:
    done = fake.run(["deaf"], stdin=b"x" * 1_000_000, timeout_seconds=10)

    assert (done.exit_code, done.stdout) == (0, b"heard\n")


def test_stream_yields_as_it_comes_and_ends_with_its_reader(fake: LocalTransport, tmp_path: Path) -> None:
    pieces = fake.stream(["hang"], timeout_seconds=10)

    assert next(pieces) == b"some\n"
    pieces.close()

    wait_for(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_stream_timeout_is_for_silence(fake: LocalTransport) -> None:
    pieces = fake.stream(["hang"], timeout_seconds=0.5)

    with pytest.raises(TransportTimeout):
        list(pieces)
    assert b"".join(fake.stream(["mirror"], stdin=b"x" * 200_000, timeout_seconds=10)) == b"x" * 200_000


@pytest.mark.parametrize("word", ["", "a b", "$(id)", "a;b", "'", "a\n", "../x/", "\u00e9", "*"])
def test_words_are_plain(fake: LocalTransport, word: str) -> None:
    with pytest.raises(ValueError, match="word"):
        fake.run(["mirror", word], timeout_seconds=1)
    with pytest.raises(ValueError, match="word"):
        next(fake.stream(["mirror", word], timeout_seconds=1))


def test_missing_helper_is_the_shells_word(tmp_path: Path) -> None:
    done = LocalTransport(tmp_path).run(["poll", "n", "1"], timeout_seconds=10)

    assert done.exit_code in {2, 127}
    assert done.stdout == b""


def test_missing_shell_is_unreachable_and_nothing_was_sent(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as failed:
        LocalTransport(tmp_path, shell=("no-such-shell",)).run(["poll"], timeout_seconds=1)

    assert failed.value.nothing_sent


def test_install_is_whole_private_and_repeatable(tmp_path: Path) -> None:
    transport = LocalTransport(tmp_path / "deep" / "work")
    for _ in range(2):
        transport.install()

    library = tmp_path / "deep" / "work" / "lib"
    assert [path.name for path in library.iterdir()] == [HELPER_NAME]
    assert (library / HELPER_NAME).read_bytes() == HELPER_TEXT
    assert [path.stat().st_mode & 0o777 for path in (library, library / HELPER_NAME)] == [0o700, 0o600]


def test_install_that_fails_sent_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("in the way")

    with pytest.raises(TransportError) as failed:
        LocalTransport(tmp_path / "work").install()

    assert failed.value.nothing_sent


def test_build_sees_nothing_of_the_board(
    durable: Durable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDBOARD_SECRET_KEY", "s3cret")
    monkeypatch.setenv("DATABASE_URL", "s3cret")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "s3cret")
    monkeypatch.setenv("PYTHONPATH", "s3cret")
    monkeypatch.setenv("VIRTUAL_ENV", "/board/venv")
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin:/board/venv/bin:{os.environ['PATH']}")
    server = Durable(tmp_path / "second")
    try:
        entry = server.finish(server.start("env; echo; echo $PATH"))
    finally:
        server.clear()

    names = {line.split("=")[0] for line in entry.data.decode().split("\n\n")[0].splitlines()}
    own = {f"BUILDBOARD_{name}" for name in ("ATTEMPT", "HELPER", "HOME", "JOB_DIR")}
    kept = {"PATH", "HOME", "LANG", "USER", "LOGNAME", "SHELL", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_"}
    assert {name for name in names if not name.startswith("LC_")} <= own | kept
    assert own <= names
    assert b"s3cret" not in entry.data
    assert not {f"{sys.prefix}/bin", "/board/venv/bin"} & set(entry.data.decode().splitlines()[-1].split(":"))


def test_clean_environment_has_a_path_even_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")

    assert clean_environment()["PATH"].endswith(":/sbin:/bin")


@pytest.mark.parametrize("whole_group", [False, True])
def test_build_survives_kill_of_its_caller(durable: Durable, whole_group: bool) -> None:
    script = "echo one; sleep 1; echo two; exit 4"
    caller = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(durable.root), ATTEMPT, script],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"started\n"
        (os.killpg if whole_group else os.kill)(caller.pid, signal.SIGKILL)

    entry = durable.finish(ATTEMPT)

    assert entry.exit is not None
    assert (entry.data, entry.exit.reason, entry.exit.code) == (b"one\ntwo\n", "exited", 4)
    assert durable.starts(ATTEMPT) == 1


def test_follower_killed_again_and_again_loses_no_byte(durable: Durable, tmp_path: Path) -> None:
    """The offset is the length of what is stored: kill -9 between any two polls repeats and loses nothing."""
    attempt = durable.start("i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done; exit 3")
    stored = tmp_path / "stored"
    stored.touch()
    follower = (
        "import sys\nfrom pathlib import Path\nfrom servers.local import LocalTransport\n"
        "from servers.runs import RunClient\nclient = RunClient(LocalTransport(Path(sys.argv[1])))\n"
        "while True:\n"
        "    with open(sys.argv[3], 'ab', buffering=0) as log:\n"
        "        entry = client.poll([(sys.argv[2], log.tell())], max_bytes=1000)[0]\n"
        "        log.write(entry.data)\n"
        "        if entry.state == 'done' and log.tell() == entry.size: break\n"
    )
    kills = 0
    while True:
        begin = stored.stat().st_size
        process = subprocess.Popen(
            [sys.executable, "-c", follower, str(durable.root), attempt, str(stored)], cwd=REPOSITORY
        )
        wait_for(partial(has_ended_or_stored, process, stored, begin + 5000), what="some polls", seconds=60)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1

    assert process.returncode == 0
    assert stored.read_bytes() == b"".join(b"line %d\n" % number for number in range(4000))
    assert kills > 0
    assert durable.starts(attempt) == 1


def has_ended_or_stored(process: "subprocess.Popen[bytes]", stored: Path, size: int) -> bool:
    return process.poll() is not None or stored.stat().st_size >= size


def test_limits_end_a_build_that_nobody_follows(durable: Durable) -> None:
    attempt = durable.start("sleep 60", limits=RunLimits(wall_seconds=1, grace_seconds=1))

    wait_for((durable.job(attempt) / "exit").exists)

    assert (durable.job(attempt) / "exit").read_text().split()[0] == "timeout"
    durable.wait_empty()
