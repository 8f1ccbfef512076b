"""The sshd of the tests itself: its verbs do what they say, and nothing is left of it."""

import os
import signal
import subprocess

import pytest

from tests.requirements import require
from tests.servers.durable import is_alive
from tests.ssh_servers import SshServer, ssh_fleet
from tests.waiting import wait_for

pytestmark = [pytest.mark.ssh, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _needs() -> None:
    require("sshd")
    require("ssh")


def ask(server: SshServer, line: str) -> str:
    done = subprocess.run(
        server.ssh_command(line), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_fleet_has_homes_of_its_own_and_is_gone_at_the_end() -> None:
    with ssh_fleet(3) as servers:
        homes = [ask(server, "echo $HOME").strip() for server in servers]
        build = int(ask(servers[0], "nohup sleep 300 >/dev/null 2>&1 & echo $!"))
        assert is_alive(build)
        # While it begins its program, its environment reads empty.
        wait_for(lambda: build in servers[0].processes(), what="seen among its processes")

    assert homes == [str(server.home) for server in servers]
    assert len({server.port for server in servers}) == 3
    assert not is_alive(build)
    assert not any(server.folder.exists() for server in servers)


def test_sessions_outlive_the_listener_and_die_when_killed() -> None:
    with SshServer() as server:
        with subprocess.Popen(
            server.ssh_command("echo here; cat"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            assert client.stdout.readline() == b"here\n"

            server.restart()
            client.stdin.write(b"on\n")
            client.stdin.flush()
            assert client.stdout.readline() == b"on\n"

            (session,) = server.stop_sessions() if os.geteuid() == 0 else server.stop_sessions()[:1]
            server.continue_sessions()
            assert session in server.sessions()

            server.kill_all()
            assert client.wait(10) == 255
        assert server.sessions() == []

        server.start()
        assert ask(server, "echo again") == "again\n"


def test_keys_are_let_in_and_kept_out() -> None:
    with SshServer(
        host_keys=["ecdsa", "rsa"], settings={"MaxSessions": "1"}, environment={"NOTE": "a b"}
    ) as server:
        old = server.host_key_line

        assert old.startswith("ecdsa-sha2-nistp256 ")
        assert [line.split()[0] for line in server.host_key_lines] == ["ecdsa-sha2-nistp256", "ssh-rsa"]
        assert ask(server, 'echo "$NOTE"') == "a b\n"
        assert "Accepted publickey" in server.auth_log()

        server.authorize()
        assert "Permission denied" in ask(server, "true")

        server.kill_listener(signal.SIGTERM)
        assert server.change_host_key() != old
        server.start()
        wait_for(lambda: server.auth_log().count("Server listening") == 2)
