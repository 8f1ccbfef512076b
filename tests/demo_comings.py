"""The servers of the demo board that come, go or are not trusted: none of them takes a build.

A newcomer whose host key is to be accepted, one in quarantine, one that shows another host key, and one in maintenance
that is being removed while a build of it still runs.
"""

import base64
import random
from datetime import datetime, timedelta

from buildboard.core.audit import Actor
from jobs.states import AttemptStatus, JobStatus
from servers.health import note_host_key
from servers.host_keys import HostKey, parse_host_key
from servers.models import BuildServer, ServerCheck, Slot
from servers.quarantine import set_quarantine
from servers.removals import request_removal
from servers.states import ServerStatus, TransportKind
from tests.demo_fleet import HOST_KEY_LINE, Spec, make_one
from tests.demo_jobs import GATEWAY, Scene, attempted, submitted
from tests.demo_story import Story
from tests.factories import make_server

_OTHER_KEY = HostKey(
    "ssh-ed25519",
    base64.b64decode("AAAAC3NzaC1lZDI1NTE5AAAAIBWpgx4FyYWs5qyIr0oHcQnUjW0QO3p2y0RkW5gA2f7d"),
)
_OLGA = Actor("olga", "page")


def make_newcomer(*, story: Story, now: datetime) -> BuildServer:
    """One on its way into the fleet: it was looked at, and its host key waits to be accepted."""
    minute_ago = now - timedelta(minutes=1)
    server = make_server(
        "build-new-01",
        transport=TransportKind.SSH,
        hostname="build-new-01.example.org",
        ssh_username="builder",
        public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE3kT9mZ6YbqkqzqQeQm1lXqW0o8e8Jm0 buildboard-build-new-01",
        architectures=[],
        status=ServerStatus.UNKNOWN,
        status_reason="It waits for an operator to accept its host key.",
        status_changed_at=minute_ago,
        seen_host_key=HOST_KEY_LINE,
        created_at=minute_ago,
    )
    key = parse_host_key(HOST_KEY_LINE)
    reached = "build-new-01.example.org port 22 accepts connections."
    compare = (
        "Compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` (or its other keys) says on the "
        "server itself, then accept it. No login is tried before."
    )
    steps = [
        {"name": "reach", "ok": True, "seen": reached, "advice": "", "milliseconds": 4},
        {
            "name": "host_key",
            "ok": False,
            "seen": f"{key}, which nobody has accepted yet.",
            "advice": compare,
            "milliseconds": 21,
        },
    ]
    ServerCheck.objects.create(
        server=server, steps=steps, requested_at=minute_ago, started_at=minute_ago, finished_at=minute_ago
    )
    story.tell(server, "server_added", at=minute_ago, actor="olga")
    return server


def make_suspect(*, story: Story, now: datetime) -> BuildServer:
    """One that built nothing yet, for `quarantine`."""
    return _make(Spec("build-x86-05", "x86_64", 4, 0, (4.0, 19.0, 38.0)), story=story, now=now)


def quarantine(suspect: BuildServer) -> None:
    """Put it there by hand, without an end; the event of that is written at once."""
    reason = "Its kernel reports errors of a memory module."
    set_quarantine(suspect.pk, enabled=True, actor=_OLGA, reason=reason)


def make_impostor(*, story: Story, now: datetime) -> BuildServer:
    """One that was in service, for `show_other_key`."""
    return _make(Spec("build-arm-03", "aarch64", 2, 0, (9.0, 22.0, 35.0)), story=story, now=now)


def show_other_key(impostor: BuildServer) -> None:
    """Have it show another host key than the pinned one: the board takes it out, and writes the event of that."""
    note_host_key(impostor.pk, seen=_OTHER_KEY, changed=True)


def make_leaving(scene: Scene) -> BuildServer:
    """One in maintenance with an end while its last build goes on, for `remove`."""
    since, begun = scene.ago(5 * 60), scene.ago(6 * 60)
    server = _make(
        Spec("build-arm-04", "aarch64", 2, 1, (37.0, 41.0, 58.0)), story=scene.story, now=scene.now
    )
    job = submitted(
        scene,
        JobStatus.RUNNING,
        source_repository=GATEWAY,
        branch="main",
        target_architecture="aarch64",
        resolved_commit=scene.commit(),
        server=server,
        server_name=server.name,
        created_at=begun - timedelta(seconds=40),
        started_at=begun,
        progress=10,
        attempts=1,
    )
    attempt = attempted(scene, job, AttemptStatus.RUNNING, server=server, started=begun)
    Slot.objects.filter(server=server, number=1).update(holder=attempt.pk, taken_at=begun)
    BuildServer.objects.filter(pk=server.pk).update(
        status=ServerStatus.MAINTENANCE,
        status_reason="Its disks are exchanged.",
        status_changed_at=since,
        status_changed_by="olga",
        maintenance_until=scene.now + timedelta(hours=20),
    )
    scene.story.tell(
        server, "status", at=since, actor="olga", to_state="maintenance", reason="Its disks are exchanged."
    )
    return server


def remove(leaving: BuildServer) -> None:
    """Have it removed before its maintenance ends; the event of that is written at once."""
    request_removal(leaving, actor=_OLGA, confirm=leaving.name, reason="It goes back to its owner.")


def _make(spec: Spec, *, story: Story, now: datetime) -> BuildServer:
    return make_one(spec, chance=random.Random(5), story=story, now=now)
