"""A server that shows another host key is taken out by who sees it first, over real sshd: no probe is waited for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from buildboard.core.audit import Actor
from buildboard.core.models import Event
from jobs.execution.follow import ServerFollower
from jobs.execution.probing import Prober
from jobs.lifecycle import claim_job
from jobs.models import Attempt, BuildJob
from jobs.states import JobStatus
from servers.health import note_failure
from servers.host_keys import HostKey, parse_host_key
from servers.models import BuildServer
from servers.registry import add_server, change_server
from servers.slots import fit_slots
from servers.transport import HostKeyMismatch
from tests.factories import make_attempt
from tests.jobs.board import submit
from tests.ssh_servers import SshServer
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.ssh]
OLGA = Actor(name="olga", door="api")


@pytest.fixture(autouse=True)
def no_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody but who follows the builds can tell."""
    monkeypatch.setattr(Prober, "look", lambda self: None)


@pytest.fixture
def box(ssh_server: SshServer) -> BuildServer:
    """The server's row, pinned, online, with a key that may log in."""
    address = {
        "hostname": ssh_server.hostname,
        "ssh_port": ssh_server.port,
        "ssh_username": ssh_server.username,
    }
    fields = {"name": "box", **address, "host_key": ssh_server.host_key_line, "architectures": ["x86_64"]}
    row = add_server(fields, actor=OLGA)
    ssh_server.authorize(row.public_key)
    BuildServer.objects.filter(pk=row.pk).update(status="online")
    fit_slots(row)
    return row


@pytest.fixture
def follower(box: BuildServer) -> Iterator[ServerFollower]:
    found = ServerFollower(box.pk, name="box")
    yield found
    found.stop()
    found.close(wait=True)


def show_another_key(server: SshServer) -> None:
    server.kill_all()
    server.change_host_key()
    server.start()


def status_after_round(follower: ServerFollower, job: BuildJob) -> str:
    follower.round()
    return BuildJob.objects.get(pk=job.pk).status


def alarms() -> int:
    return Event.objects.filter(kind="host_key_changed").count()


def follow_until_alarm(follower: ServerFollower) -> None:
    def look() -> bool:
        follower.round()
        return bool(alarms())

    wait_for(look, what="the alarm", seconds=30)


def assert_taken_out(row: BuildServer, server: SshServer) -> None:
    row.refresh_from_db()
    assert (row.status, row.is_trusted) == ("offline", False)
    assert row.status_reason.startswith(f"Its host key changed: {row.host_key_fingerprint} is pinned")
    assert row.seen_host_key == server.host_key_line
    assert alarms() == 1


def test_a_poll_that_meets_another_key_raises_the_alarm(
    repository: Path, ssh_server: SshServer, box: BuildServer, follower: ServerFollower
) -> None:
    job = submit(repository, build_command="sleep 60")
    claim_job(job.pk, server=box)
    wait_for(lambda: status_after_round(follower, job) == JobStatus.RUNNING, what="it runs", seconds=30)
    show_another_key(ssh_server)
    logins = ssh_server.auth_log().count("Accepted publickey")

    follow_until_alarm(follower)
    follower.round()

    assert_taken_out(box, ssh_server)
    assert Attempt.objects.get().unreachable_since is not None
    assert BuildJob.objects.get(pk=job.pk).status == JobStatus.RUNNING
    assert ssh_server.auth_log().count("Accepted publickey") == logins


def test_a_start_that_meets_another_key_raises_the_alarm_and_is_given_back(
    repository: Path, ssh_server: SshServer, box: BuildServer, follower: ServerFollower
) -> None:
    job = submit(repository, build_command="true")
    claim_job(job.pk, server=box)
    show_another_key(ssh_server)

    follow_until_alarm(follower)

    assert_taken_out(box, ssh_server)
    assert BuildJob.objects.get(pk=job.pk).status == JobStatus.QUEUED
    assert "Accepted publickey" not in ssh_server.auth_log()


def test_a_removal_that_meets_another_key_raises_the_alarm(
    ssh_server: SshServer, box: BuildServer, follower: ServerFollower
) -> None:
    left = make_attempt(status="completed", server=box, server_name="box")
    Attempt.objects.filter(pk=left.pk).update(submitted_at=left.created_at)
    show_another_key(ssh_server)

    follow_until_alarm(follower)

    assert_taken_out(box, ssh_server)


@pytest.mark.parametrize("changed", [{"host_key": "seen"}, {"ssh_port": 2}])
def test_what_was_seen_on_a_way_that_is_no_more_is_no_alarm(
    ssh_server: SshServer, box: BuildServer, changed: dict[str, object]
) -> None:
    pinned, seen = parse_host_key(box.host_key), HostKey("ssh-ed25519", b"another")
    asked = (box.hostname, box.ssh_port, (pinned,))
    late = HostKeyMismatch("Another key.", seen=seen, server_id=str(box.pk), asked=asked)
    if "host_key" in changed:
        changed = {"host_key": ssh_server.change_host_key()}
    change_server(box, changed | {"host_key": changed.get("host_key", box.host_key)}, actor=OLGA)

    note_failure(box.pk, error=late)

    assert alarms() == 0
