"""Private keys, their passphrases and stored secrets are nowhere but where they must be: searched, not believed."""

import base64
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.boards import ROOT
from tests.faults.leaks import Lines, Visitor, environments, files, forms_of, needles_of_key, tables
from tests.faults.world import Server, World
from tests.ssh_servers import SshServer

pytestmark = [pytest.mark.slow, pytest.mark.ssh, pytest.mark.both_databases, pytest.mark.timeout(600)]

SCRIPT = """
echo "$BUILDBOARD_JOB_ID $BUILDBOARD_ATTEMPT" >>"$HOME/starts"
until [ -e "$HOME/go" ]; do sleep 0.1; done
echo "it is $TOKEN"
printf %s "$TOKEN" | base64
"""


@pytest.fixture
def passphrase() -> str:
    return f"pass-{secrets.token_hex(12)}"


@pytest.fixture
def given(world: World, tmp_path: Path, passphrase: str) -> Server:
    """A server with a key that was given with a passphrase."""
    sshd = world.enter_context(SshServer())
    locked = tmp_path / "locked"
    shutil.copy2(sshd.private_key_path, locked)
    change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", str(locked)]
    subprocess.run(change, check=True)
    locked_text = locked.read_text()
    return world.register(sshd, private_key=locked_text, private_key_passphrase=passphrase)


@pytest.fixture
def generated(world: World) -> Server:
    """One with a pair that the board made."""
    sshd = world.enter_context(SshServer())
    server = world.register(sshd, private_key=None)
    sshd.authorize(world.row(server)["public_key"])
    world.probe(server)
    return server


def assert_nowhere(needles: set[bytes], places: Iterable[tuple[str, bytes]]) -> int:
    """In none of them; how many there were."""
    looked = 0
    for name, content in places:
        looked += 1
        assert [needle for needle in needles if needle in content] == [], name
    return looked


def test_keys_and_secrets_are_nowhere(
    world: World, given: Server, generated: Server, passphrase: str
) -> None:
    board, value = world.board, f"value-{secrets.token_hex(16)}"
    read_key = (
        "from buildboard.core.crypto import decrypt\nfrom servers.models import BuildServer\n"
        f"print(decrypt(BuildServer.objects.get(pk='{generated.id}').private_key, record='it'))"
    )
    keys = needles_of_key(given.sshd.private_key) | needles_of_key(board.run(read_key))
    needles = keys | forms_of(passphrase.encode()) | forms_of(value.encode())
    with Lines(needles) as lines:
        board.call("POST", "/secrets", {"name": "TOKEN", "value": value})
        for server in (given, generated):
            world.wait_online(server)
        jobs = {
            server: world.submit(server, rounds=0, script=SCRIPT, secrets=["TOKEN"])
            for server in (given, generated)
        }
        for server, job in jobs.items():
            server.attempt_of(job)
            world.wait_building(job)

        # While the builds run only their own processes have the value, and nobody has a key.
        assert assert_nowhere(needles, environments(process.pid for process in board.processes())) > 5
        for server in jobs:
            assert_nowhere(needles, files(server.sshd.home))
            assert_nowhere(keys, environments(server.sshd.processes()))
        assert_nowhere(needles, at_rest(world))

        for server, job in jobs.items():
            (server.sshd.home / "go").touch()
            assert board.wait_until_finished(job)["status"] == "completed"
            log = board.log(job)
            assert b"it is ***" in log
    world.assert_nothing_left(*jobs)
    assert lines.sighted == []
    assert any(b"bb-" in line and b" poll " in line.replace(b"\0", b" ") for line in lines.seen)
    assert_nowhere(needles, at_rest(world))
    assert_nowhere(needles, dump(world))
    assert_nowhere(needles, answers(world, jobs))
    assert assert_nowhere(needles, pages(world, jobs)) > 8
    for server in jobs:
        assert_nowhere(needles, files(server.sshd.home))
        assert_nowhere(needles, [("its log", server.sshd.auth_log().encode())])


def at_rest(world: World) -> Iterable[tuple[str, bytes]]:
    """All that the board keeps: its data dir, what it printed, its home, and PostgreSQL's tables."""
    yield from files(world.board.data_dir, world.board.home)
    yield "printed", (world.folder / "printed").read_bytes()
    if world.is_postgres:
        yield from tables(world.database_url)


def dump(world: World) -> Iterable[tuple[str, bytes]]:
    """What people keep as a backup."""
    command = [sys.executable, "manage.py", "dumpdata"]
    done = subprocess.run(command, env=world.board.environment, cwd=ROOT, check=True, capture_output=True)
    assert b"servers.buildserver" in done.stdout
    yield "dumpdata", done.stdout + done.stderr


def answers(world: World, jobs: dict[Server, str]) -> Iterable[tuple[str, bytes]]:
    """The JSON API about all of it, to somebody who may do everything."""
    paths = ["/infrastructure/build-servers", "/infrastructure/build-jobs", "/secrets", "/tokens"]
    for server, job in jobs.items():
        of_server, of_job = f"/infrastructure/build-servers/{server.id}", f"/infrastructure/build-jobs/{job}"
        paths += [of_server, f"{of_server}/checks", f"{of_server}/capacity", of_job]
        paths += [
            f"{of_job}/{what}" for what in ("attempts", "events", "explain", "logs", "logs/raw", "status")
        ]
    for path in paths:
        yield path, world.board.read(path)


def pages(world: World, jobs: dict[Server, str]) -> Iterable[tuple[str, bytes]]:
    """The same to an administrator with a browser."""
    visitor = Visitor(world.board.url)
    visitor.sign_in("admin", world.board.password)
    assert all(server.name.encode() in visitor.page("/servers/") for server in jobs)
    paths = [
        "/",
        "/jobs/",
        "/servers/",
        "/servers/new/",
        "/admin/servers/buildserver/",
        "/admin/jobs/secret/",
    ]
    for server, job in jobs.items():
        paths += [
            f"/servers/{server.id}/",
            f"/servers/{server.id}/edit/",
            f"/jobs/{job}/",
            f"/jobs/{job}/log/",
        ]
        paths += [f"/admin/servers/buildserver/{server.id}/change/"]
    for path in paths:
        yield path, visitor.page(path)


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    secret = secrets.token_bytes(32)
    forms = forms_of(secret)

    for shift in range(5):
        around = bytes(shift) + secret + bytes(7)
        for text in (around, around.hex().encode(), base64.b64encode(around)):
            assert any(form in text for form in forms), shift
    with SshServer() as server:
        needles = needles_of_key(server.private_key)
        assert any(needle in server.private_key.encode() for needle in needles)
        assert not any(needle in server.public_key.encode() for needle in needles)
        with pytest.raises(AssertionError, match="client"):
            assert_nowhere(needles, files(server.folder))
