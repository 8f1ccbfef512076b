"""Probes by a follower and checks by a runner, over real sshd: what an idle server's status follows."""

import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.machine import machine_id
from buildboard.core.models import Event
from jobs.execution import probing
from jobs.execution.checking import AT_ONCE, CheckDesk
from jobs.execution.probing import Prober
from servers import checks
from servers.drains import set_maintenance
from servers.models import BuildServer, ServerCheck, Toolchain
from servers.registry import accept_host_key, add_server, change_server
from servers.runs import RunClient
from servers.transport import HelperRefused, TransportTimeout
from tests.factories import make_server
from tests.jobs.board import log_of, make_local_server, running_runner, submit, wait_until_finished
from tests.repositories import make_repository
from tests.requirements import require
from tests.ssh_servers import SshServer, calm_port
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.ssh, pytest.mark.of_servers]
OLGA = Actor(name="olga", door="api")


def row_of(server: SshServer, **fields: Any) -> BuildServer:
    """A row whose key may log in, pinned unless told otherwise."""
    address = {"hostname": server.hostname, "ssh_port": server.port, "ssh_username": server.username}
    row = add_server({"name": "box", **address, "host_key": server.host_key_line, **fields}, actor=OLGA)
    server.authorize(row.public_key)
    return row


class Probed:
    """A prober whose next look is never far."""

    def __init__(self, row: BuildServer) -> None:
        self.row = row
        self.prober = Prober(row.pk, name="box")

    def once(self) -> BuildServer:
        """One whole probe, and the row after it."""
        self.prober.hurry()
        return self.look()

    def look(self) -> BuildServer:
        """The same, but a probe only if it is time for one."""
        self.prober.look()
        wait_for(lambda: self.prober._running is None or self.prober._running.done(), what="the probe")
        self.prober.look()
        self.row.refresh_from_db()
        return self.row


@pytest.fixture
def probed(ssh_server: SshServer) -> Iterator[Probed]:
    found = Probed(row_of(ssh_server))
    yield found
    found.prober._pool.shutdown(wait=True)


def test_tools_are_asked_at_first_and_after_a_reboot_all_over_one_connection(
    ssh_server: SshServer, probed: Probed
) -> None:
    first = dict(probed.once().facts)
    second = dict(probed.once().facts)

    assert probed.row.status == "online"
    assert (first["depth"], second["depth"]) == ("tools", "light")
    assert first.get("tool.git") == second.get("tool.git") is not None
    assert probed.row.samples.count() == 2
    BuildServer.objects.update(boot_id="another boot")
    assert probed.once().facts["depth"] == "light"
    assert probed.once().facts["depth"] == "tools"
    assert Event.objects.get(kind="rebooted").data["previous"] == "another boot"
    assert ssh_server.auth_log().count("Accepted publickey") == 1


def test_who_follows_next_asks_for_the_tools_when_they_are_due(probed: Probed) -> None:
    probed.once()

    depths = []
    for age in (timedelta(minutes=59), timedelta(hours=1, seconds=1)):
        Toolchain.objects.update(seen_at=timezone.now() - age)
        next_one = Probed(probed.row)
        depths.append(next_one.once().facts["depth"])
        next_one.prober.close()

    assert depths == ["light", "tools"]


def test_another_address_is_asked_for_its_tools_at_once(ssh_server: SshServer, probed: Probed) -> None:
    probed.once()

    change_server(probed.row, {"hostname": "localhost"}, actor=OLGA)
    probed.once()
    accept_host_key(probed.row, fingerprint=str(probed.row.seen_host_key_fingerprint), actor=OLGA)
    probed.row.refresh_from_db()
    ssh_server.authorize(probed.row.public_key)

    assert probed.once().facts["depth"] == "tools"
    assert Toolchain.objects.filter(server=probed.row).exists()


def test_an_idle_server_that_goes_away_is_offline_and_back_when_it_is(
    ssh_server: SshServer, probed: Probed
) -> None:
    probed.once()
    ssh_server.kill_all()

    gone = (probed.once().status, probed.row.unreachable_since is None)
    ssh_server.start()
    wait_for(lambda: probed.once().status == "online", what="the server's return")

    assert gone == ("offline", False)
    assert probed.row.unreachable_since is None


def test_an_unpinned_server_shows_its_key_and_waits(ssh_server: SshServer) -> None:
    found = Probed(row_of(ssh_server, host_key=None))

    row = found.once()

    assert (row.status, row.seen_host_key) == ("unknown", ssh_server.host_key_line)
    assert "publickey" not in ssh_server.auth_log()
    accept_host_key(row, fingerprint=str(row.seen_host_key_fingerprint), actor=OLGA)
    assert found.once().status == "online"


def test_after_an_alarm_a_warm_connection_proves_nothing(ssh_server: SshServer, probed: Probed) -> None:
    probed.once()
    old = {name: (ssh_server.folder / name).read_bytes() for name in ("host_ed25519", "host_ed25519.pub")}
    ssh_server.change_host_key()
    ssh_server.restart()  # sessions go on: the connection that was made before still answers
    assert probed.once().status == "online"
    check = checks.request_check(probed.row, actor=OLGA)
    checks.run_check(check.pk)

    row = probed.once()
    alarm = (row.status, bool(row.seen_host_key))
    row = probed.once()

    assert alarm == (row.status, bool(row.seen_host_key)) == ("offline", True)
    for name, content in old.items():
        (ssh_server.folder / name).write_bytes(content)
    ssh_server.restart()
    row = probed.once()
    assert (row.status, row.seen_host_key) == ("online", "")
    assert Event.objects.filter(kind="host_key_changed").count() == 1


def test_the_servers_own_variables_hold_for_its_probes(ssh_server: SshServer) -> None:
    tools = ssh_server.folder / "tools"
    tools.mkdir()
    (tools / "gcc").write_text("#!/bin/sh\necho gcc '(Own)' 77.7.7\n")
    (tools / "gcc").chmod(0o755)
    shutil.copy(tools / "gcc", tools / "riscv64-linux-gnu-gcc")
    found = Probed(row_of(ssh_server, environment={"PATH": f"{tools}:/usr/bin:/bin"}))

    row = found.once()

    own = row.toolchains.filter(path__startswith=str(tools)).order_by("path")
    assert list(own.values_list("name", "version", "target_architecture")) == [
        ("gcc", "77.7.7", ""),
        ("gcc", "77.7.7", "riscv64"),
    ]


# ---- the runner -------------------------------------------------------------------------------------------


def status_of(row: BuildServer) -> str:
    return str(BuildServer.objects.values_list("status", flat=True).get(pk=row.pk))


def test_a_runner_does_checks_and_probes_soon_after_maintenance(ssh_server: SshServer) -> None:
    row = row_of(ssh_server)
    with running_runner():
        wait_for(lambda: ServerCheck.objects.get().finished_at, what="the check")
        after_check = status_of(row)
        wait_for(
            lambda: BuildServer.objects.filter(pk=row.pk, samples__isnull=False).count() > 1, what="a probe"
        )
        set_maintenance(row.pk, enabled=True, actor=OLGA)
        set_maintenance(row.pk, enabled=False, actor=OLGA)
        after_maintenance = status_of(row)
        wait_for(lambda: status_of(row) == "online", what="the probe after maintenance", seconds=30)

    wait_for(lambda: not ssh_server.sessions(), what="the end of the connection with the runner's")
    check = ServerCheck.objects.get()
    assert check.ok is True, check.steps
    assert (after_check, after_maintenance) == ("online", "unknown")


def test_the_servers_own_variables_hold_for_its_builds(tmp_path: Path, settings: LazySettings) -> None:
    require("git")
    settings.LOCAL_REPOSITORIES = (tmp_path,)
    make_local_server(tmp_path / "work", environment={"SITE": "north", "LEVEL": "server"})
    job = submit(
        make_repository(tmp_path / "repository", {"README": "hello\n"}),
        build_command='echo "site=$SITE level=$LEVEL"',
        environment={"LEVEL": "job"},
    )
    with running_runner():
        wait_until_finished(job)

    assert b"site=north level=job\n" in log_of(job.attempt_set.get())


def test_a_few_checks_at_once_and_each_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [make_server(machine_id=machine_id()) for _ in range(AT_ONCE + 2)]
    for row in rows:
        checks.request_check(row, actor=OLGA)
    begun: list[Any] = []
    goes_on = True

    def wait(check_id: Any) -> bool:
        begun.append(check_id)
        claimed = checks.claim_check(check_id)
        while goes_on:
            time.sleep(0.01)
        assert claimed is not None
        ServerCheck.objects.filter(pk=check_id).update(
            finished_at=ServerCheck.objects.get(pk=check_id).started_at
        )
        return True

    monkeypatch.setattr("jobs.execution.checking.run_check", wait)
    desk, other = CheckDesk(machine=machine_id()), CheckDesk(machine="elsewhere")
    try:
        for _ in range(3):
            desk.look()
            other.look()
            wait_for(lambda: len(begun) >= AT_ONCE)
        at_first = len(begun)
    finally:
        goes_on = False

    def all_begun() -> bool:
        desk.look()
        return len(begun) == len(rows)

    wait_for(all_begun)
    wait_for(lambda: not [one for one in desk._threads.values() if one.is_alive()])

    assert at_first == AT_ONCE
    assert len(begun) == len(set(begun)) == len(rows)


def test_a_server_that_is_deleted_meanwhile_is_no_trouble() -> None:
    row = make_server()
    found = Probed(row)
    row.delete()

    found.prober.look()

    assert found.prober._running is None


# ---- what goes wrong beside the server itself -------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Probed]:
    found = Probed(make_local_server(tmp_path / "work", is_known=False))
    yield found
    found.prober._pool.shutdown(wait=True)


def test_a_server_is_asked_each_30_to_60_seconds_and_for_its_tools_each_hour(
    here: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    monkeypatch.setattr(probing, "time", SimpleNamespace(monotonic=lambda: clock))
    told = {}

    for clock in (0.0, 29.0, 60.0, 89.0, 120.0, 3500.0, 3661.0):
        before = here.row.samples.count()
        depth = here.look().facts["depth"]
        told[clock] = depth if here.row.samples.count() > before else "none"

    assert told == {
        0.0: "tools",
        29.0: "none",
        60.0: "light",
        89.0: "none",
        120.0: "light",
        3500.0: "light",
        3661.0: "tools",
    }


def test_folders_that_cannot_be_cleared_take_no_server_out(
    here: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(client: RunClient, **_: Any) -> None:
        tries.append(client)
        raise HelperRefused("full", status=74)

    tries: list[RunClient] = []
    monkeypatch.setattr(RunClient, "collect_garbage", refuse)

    depths = [here.once().facts["depth"], here.once().facts["depth"]]

    assert (here.row.status, depths) == ("online", ["tools", "light"])
    assert len(tries) == 1, "it was tried again at once"


def test_tools_that_hang_make_no_server_unwell(here: Probed, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = RunClient.probe
    asked: list[bool] = []

    def hang(client: RunClient, *, tools: bool = True, **named: Any) -> dict[str, str]:
        asked.append(tools)
        if tools:
            raise TransportTimeout("no answer within 60 s")
        return probe(client, tools=tools, **named)

    monkeypatch.setattr(RunClient, "probe", hang)

    depths = [here.once().facts["depth"], here.once().facts["depth"]]

    assert (here.row.status, here.row.unreachable_since, depths) == ("online", None, ["light", "light"])
    assert asked == [True, False, False]


def test_a_defect_of_the_board_ends_one_probe_and_is_told(
    here: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(RunClient, "probe", fail)
        failed = here.once()
        told = (failed.status, failed.status_reason)

    assert told == (
        "offline",
        "The board failed to probe it (ZeroDivisionError): see the log of its runner.",
    )
    assert here.once().status == "online"


def test_what_a_probe_saw_at_an_old_address_is_not_taken_in(
    ssh_server: SshServer, probed: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = RunClient.probe

    def move(client: RunClient, **named: Any) -> dict[str, str]:
        facts = probe(client, **named)
        fields = {"hostname": "127.0.0.1", "ssh_port": calm_port(), "host_key": ssh_server.host_key_line}
        change_server(BuildServer.objects.get(pk=probed.row.pk), fields, actor=OLGA)
        monkeypatch.undo()
        return facts

    monkeypatch.setattr(RunClient, "probe", move)

    row = probed.once()

    assert (row.facts, row.samples.count(), row.last_health_check) == ({}, 0, None)
    assert row.status == "unknown"
