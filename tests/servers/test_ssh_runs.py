"""Real builds over SSH: started, followed over every loss of the connection, cancelled, read and removed."""

import os
import pwd
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from servers.frames import PollEntry, RunLimits, RunState
from servers.runs import CancelOutcome, RemoveOutcome, RunClient
from servers.ssh import SshTransport
from servers.transport import TransportError
from tests.requirements import require
from tests.servers.ssh_targets import logins, target_for, transport_for
from tests.ssh_servers import SshServer, ssh_fleet
from tests.waiting import wait_for

pytestmark = [pytest.mark.ssh, pytest.mark.slow]
LIMITS = RunLimits(grace_seconds=1)


@pytest.fixture
def transport(ssh_server: SshServer) -> Iterator[SshTransport]:
    with transport_for(ssh_server) as transport:
        yield transport


@pytest.fixture
def client(transport: SshTransport) -> RunClient:
    return RunClient(transport)


def start(client: RunClient, script: str, **environment: str) -> str:
    attempt = str(uuid4())
    outcome = client.submit(attempt, script=script.encode(), environment=environment, limits=LIMITS)
    assert not outcome.already
    return attempt


def finish(client: RunClient, attempt: str) -> PollEntry:
    def done() -> PollEntry | None:
        entry = client.poll([(attempt, 0)])[0]
        return entry if entry.state == RunState.DONE else None

    entry = wait_for(done)
    assert entry is not None
    return entry


def follow(client: RunClient, attempt: str, *, seconds: float = 60) -> tuple[bytes, int]:
    """The whole log and the code, asking again after each error as a follower does; counts nothing."""
    log = b""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            entry = client.poll([(attempt, len(log))], max_bytes=60_000, timeout_seconds=5)[0]
        except TransportError:
            time.sleep(0.05)
            continue
        log += entry.data
        if entry.exit is not None and len(log) == entry.size:
            return log, entry.exit.code
    raise AssertionError("the log never ended")


def test_a_build_is_started_followed_and_removed(client: RunClient, ssh_server: SshServer) -> None:
    secret = 'it\'s $HOME `id`\n"x" \\'
    attempt = start(client, 'printf "%s" "$SECRET"; printf "\\377\\0"; exit 3', SECRET=secret)

    entry = finish(client, attempt)

    assert entry.exit is not None
    assert (entry.data, entry.exit.reason, entry.exit.code) == (secret.encode() + b"\xff\0", "exited", 3)
    assert [(run.id, run.state) for run in client.list_runs()] == [(attempt, RunState.DONE)]
    assert client.submit(attempt, script=b"echo no", environment={}, limits=LIMITS).already
    assert client.remove([attempt]) == {attempt: RemoveOutcome.REMOVED}
    assert client.list_runs() == ()
    assert [path.name for path in (ssh_server.home / ".buildboard" / "jobs").iterdir()] == []
    wait_for(lambda: not ssh_server.processes())


def test_a_build_is_cancelled_with_all_that_it_started(client: RunClient, ssh_server: SshServer) -> None:
    attempt = start(client, "trap '' TERM; setsid sleep 300 & echo up; while :; do sleep 1; done")
    wait_for(lambda: client.poll([(attempt, 0)])[0].data)

    assert client.cancel(attempt) == CancelOutcome.REQUESTED
    entry = finish(client, attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.left) == ("cancelled", False)
    assert client.cancel(attempt) == CancelOutcome.DONE
    wait_for(lambda: not ssh_server.processes())


def test_a_build_outlives_every_connection(ssh_server: SshServer) -> None:
    with transport_for(ssh_server) as transport:
        attempt = start(RunClient(transport), "echo one; sleep 1; echo two; exit 4")
    ssh_server.kill_all()
    wait_for(lambda: not ssh_server.sessions())
    wait_for((ssh_server.home / ".buildboard" / "jobs" / attempt / "exit").exists)
    ssh_server.start()

    with transport_for(ssh_server) as transport:
        assert follow(RunClient(transport), attempt) == (b"one\ntwo\n", 4)


def test_a_log_is_whole_whatever_happens_to_the_connection(client: RunClient, ssh_server: SshServer) -> None:
    lines = 60_000
    script = (
        "i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); [ $((i %% 10000)) != 0 ] || sleep 0.3; done"
    )
    attempt = start(client, f"{script % lines}; exit 6")
    stop = threading.Event()

    def vandal() -> None:
        while not stop.wait(0.15):
            ssh_server.kill_sessions()
            if stop.wait(0.15):
                break
            ssh_server.restart()

    with ThreadPoolExecutor(1) as pool:
        trouble = pool.submit(vandal)
        try:
            log, code = follow(client, attempt)
        finally:
            stop.set()
        trouble.result()

    assert log == b"".join(b"line %d\n" % number for number in range(lines))
    assert code == 6
    starts = ssh_server.home / ".buildboard" / "jobs" / attempt / "starts"
    assert len(starts.read_text().splitlines()) == 1
    assert logins(ssh_server) > 1


def test_many_submits_of_one_attempt_start_it_once(ssh_server: SshServer) -> None:
    attempt = str(uuid4())
    transports = [SshTransport(target_for(ssh_server)) for _ in range(4)]

    def submit(number: int) -> bool:
        client = RunClient(transports[number % 4])
        return client.submit(attempt, script=b"echo once", environment={}, limits=LIMITS).already

    with ThreadPoolExecutor(16) as pool:
        already = list(pool.map(submit, range(16)))

    assert already.count(False) == 1
    assert follow(RunClient(transports[0]), attempt) == (b"once\n", 0)
    for transport in transports:
        transport.close()


def test_noise_before_the_reply_is_passed_over() -> None:
    require("sshd")
    noise = 'echo BB1 noise; echo "welcome"; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with SshServer(settings={"ForceCommand": noise}) as server, transport_for(server) as transport:
        client = RunClient(transport)
        assert follow(client, start(client, "echo hi")) == (b"hi\n", 0)


def test_what_a_bashrc_prints_is_passed_over(client: RunClient, ssh_server: SshServer) -> None:
    if Path(pwd.getpwuid(os.getuid()).pw_shell).name == "bash":
        (ssh_server.home / ".bashrc").write_text("echo noise from bashrc\n")

    assert follow(client, start(client, "echo hi")) == (b"hi\n", 0)


def test_an_account_that_may_run_nothing_is_told_from_a_lost_one() -> None:
    require("sshd")
    settings = {"ForceCommand": "echo This account is currently not available.; exit 1"}
    with SshServer(settings=settings) as server, transport_for(server) as transport:
        with pytest.raises(TransportError, match="currently not available") as failed:
            RunClient(transport).submit(str(uuid4()), script=b"", environment={}, limits=LIMITS)

        assert failed.value.nothing_sent


def test_files_come_back_byte_for_byte(client: RunClient) -> None:
    attempt = start(
        client, "head -c 3000000 /dev/urandom >'a b'; cat 'a b' | sha256sum >sum; mkdir d; echo x >d/y"
    )
    finish(client, attempt)

    listing = client.list_files(attempt)
    whole = b"".join(client.read_file(attempt, "a b"))
    rest = b"".join(client.read_file(attempt, "a b", offset=2_999_990))
    for _ in range(10):
        pieces = client.read_file(attempt, "a b")
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]  # it is a generator

    assert sorted(file.path for file in listing.files) == ["a b", "d/y", "sum"]
    assert len(whole) == 3_000_000
    assert rest == whole[-10:]
    assert b"".join(client.read_file(attempt, "d/y")) == b"x\n"


def test_the_probe_sees_the_machine(client: RunClient) -> None:
    facts = client.probe(tools=False)

    assert facts["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_three_servers_keep_their_runs_apart() -> None:
    require("sshd")
    with ssh_fleet(3) as servers:
        transports = [SshTransport(target_for(server)) for server in servers]
        clients = [RunClient(transport) for transport in transports]
        attempts = [start(client, 'echo "$HOME"') for client in clients]

        logs = [follow(client, attempt) for client, attempt in zip(clients, attempts, strict=True)]
        known = [[run.id for run in client.list_runs()] for client in clients]
        for transport in transports:
            transport.close()

    assert logs == [(f"{server.home}\n".encode(), 0) for server in servers]
    assert known == [[attempt] for attempt in attempts]
