"""Testing the way to a server, over real sshd: what is seen and advised at each step, and what the board learns."""

import logging
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildboard.core.models import Event
from servers import check_steps
from servers.check_notes import NAMES
from servers.models import BuildServer, ServerCheck
from servers.registry import accept_host_key, add_server, change_server
from servers.starts import note_refused_start
from tests.factories import make_server
from tests.requirements import require
from tests.servers.checking import OLGA, address, check
from tests.ssh_servers import SshServer, calm_port

pytestmark = [pytest.mark.django_db, pytest.mark.ssh, pytest.mark.of_servers]


def ready(server: SshServer, **fields: Any) -> BuildServer:
    """A row that is pinned and whose key may log in."""
    row = add_server(address(server, host_key=server.host_key_line, **fields), actor=OLGA)
    server.authorize(row.public_key)
    return row


def results(steps: dict[str, Any]) -> list[bool | None]:
    return [steps[name]["ok"] for name in NAMES]


@pytest.fixture
def second_server() -> Iterator[SshServer]:
    require("sshd")
    with SshServer() as server:
        yield server


def test_from_a_new_server_to_its_first_build_step_by_step(ssh_server: SshServer) -> None:
    row = add_server(address(ssh_server), actor=OLGA)

    steps = check(row)

    assert results(steps) == [True, False, None, None, None, None, None, None]
    assert row.status == "unknown"
    assert row.seen_host_key == ssh_server.host_key_line
    assert str(row.seen_host_key_fingerprint) in steps["host_key"]["seen"]
    assert str(row.seen_host_key_fingerprint) in row.status_reason
    assert "publickey" not in ssh_server.auth_log(), "a login was tried before the key was accepted"

    accept_host_key(row, fingerprint=str(row.seen_host_key_fingerprint), actor=OLGA)
    row.refresh_from_db()
    steps = check(row)

    assert results(steps) == [True, True, False, None, None, None, None, None]
    assert "authorized_keys" in steps["login"]["advice"]
    assert row.status == "offline"

    ssh_server.authorize(row.public_key)
    steps = check(row)

    assert results(steps) == [True] * 8, steps
    assert all(step["advice"] == "" for step in steps.values())
    assert steps["git"]["seen"].startswith("git version ")
    assert row.status == "online"
    assert row.architectures != []
    assert row.toolchains.filter(name="git").exists()
    assert None not in row.samples.values_list("latency_ms", flat=True)
    assert ServerCheck.objects.order_by("requested_at").last().ok is True  # type: ignore[union-attr]  # there are some


def test_a_changed_host_key_takes_the_server_out_until_the_old_one_shows_again(
    ssh_server: SshServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: Any,
) -> None:
    row = ready(ssh_server)
    assert results(check(row)) == [True] * 8
    old = row.host_key_fingerprint
    kept = shutil.copytree(ssh_server.folder, tmp_path / "kept", ignore=shutil.ignore_patterns("home"))
    ssh_server.change_host_key()
    ssh_server.restart()

    with caplog.at_level(logging.ERROR), django_capture_on_commit_callbacks(execute=True):
        steps = check(row)
        again = check(row)

    assert results(steps) == results(again) == [True, False, None, None, None, None, None, None]
    new = str(row.seen_host_key_fingerprint)
    assert new != old
    assert row.status == "offline"
    assert all(text in row.status_reason for text in (str(old), new, "accept the new key"))
    event = Event.objects.get(kind="host_key_changed")
    assert event.data == {"pinned": old, "seen": new, "kind": "ssh-ed25519"}
    assert [record.levelname for record in caplog.records if record.name == "servers.health"] == ["ERROR"]

    for name in ("host_ed25519", "host_ed25519.pub"):
        shutil.copy(kept / name, ssh_server.folder / name)
    ssh_server.restart()
    steps = check(row)

    assert results(steps) == [True] * 8
    assert (row.status, row.seen_host_key) == ("online", "")
    assert Event.objects.filter(kind="host_key_back").count() == 1


def test_a_changed_host_key_is_over_when_an_operator_accepts_it(ssh_server: SshServer) -> None:
    row = ready(ssh_server)
    line = ssh_server.change_host_key()
    ssh_server.restart()
    check(row)

    accept_host_key(row, fingerprint=str(row.seen_host_key_fingerprint), actor=OLGA)
    row.refresh_from_db()

    assert (row.host_key, row.seen_host_key, row.status) == (line, "", "unknown")
    assert results(check(row)) == [True] * 8
    assert row.status == "online"


@pytest.mark.parametrize(
    ("hostname", "seen", "advice"),
    [
        ("127.0.0.1", "nothing listens there", "Start sshd"),
        ("nobody.invalid", "not known", "Correct the hostname"),
    ],
)
def test_who_cannot_be_reached(hostname: str, seen: str, advice: str) -> None:
    row = add_server(
        {"name": "box", "hostname": hostname, "ssh_port": calm_port(), "ssh_username": "x"}, actor=OLGA
    )

    steps = check(row)

    assert results(steps) == [False, None, None, None, None, None, None, None]
    assert seen in steps["reach"]["seen"]
    assert advice in steps["reach"]["advice"]
    assert (row.status, row.unreachable_since is None) == ("offline", False)


def test_what_listens_but_is_no_ssh_server_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        row = add_server(
            {
                "name": "b",
                "hostname": "127.0.0.1",
                "ssh_port": listener.getsockname()[1],
                "ssh_username": "x",
            },
            actor=OLGA,
        )
        monkeypatch.setattr(check_steps, "STEP_SECONDS", 1.0)
        steps = check(row)

    assert results(steps) == [True, False, None, None, None, None, None, None]
    assert "SSH" in steps["host_key"]["advice"]


def test_a_server_behind_a_jump_host(ssh_server: SshServer, second_server: SshServer) -> None:
    jump = ready(ssh_server)
    row = ready(second_server, name="inner", jump_host="box")

    steps = check(row)

    assert results(steps) == [True] * 8, steps
    assert "through box" in steps["reach"]["seen"]
    assert "Accepted publickey" in ssh_server.auth_log()
    change_server(jump, {"host_key": None}, actor=OLGA)

    steps = check(row)

    assert steps["host_key"]["ok"] is False
    assert "box" in steps["host_key"]["advice"]
    assert (row.status, row.seen_host_key) == ("offline", "")
    jump.refresh_from_db()
    assert (jump.status, jump.seen_host_key) == ("unknown", ssh_server.host_key_line)


def test_an_account_that_may_run_nothing(ssh_server: SshServer) -> None:
    row = ready(ssh_server)
    ssh_server.set("ForceCommand", "/bin/echo This account is locked.")
    ssh_server.restart()

    steps = check(row)

    assert results(steps) == [True, True, True, False, None, None, None, None]
    assert "This account is locked." in steps["shell"]["seen"]
    assert "ForceCommand" in steps["shell"]["advice"]
    assert row.status == "offline"


def test_a_work_folder_that_cannot_be_made(ssh_server: SshServer) -> None:
    row = ready(ssh_server, work_dir="/dev/null/here")

    steps = check(row)

    assert results(steps) == [True, True, True, True, None, False, None, None]
    assert "work folder" in steps["work_dir"]["advice"]
    assert row.status == "offline"


def test_a_server_without_git(ssh_server: SshServer, tmp_path: Path) -> None:
    for folder in ("/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            link = tmp_path / program.name
            if not program.name.startswith("git") and not link.exists():
                link.symlink_to(program)
    row = ready(ssh_server, environment={"PATH": str(tmp_path)})

    steps = check(row)

    assert results(steps) == [True, True, True, True, False, True, True, True]
    assert "environment" in steps["git"]["advice"]
    assert row.status == "degraded"
    assert "git" in row.status_reason


def test_a_path_that_leads_nowhere_is_told_by_the_shell_and_nothing_after_it_is_tried(
    ssh_server: SshServer,
) -> None:
    row = ready(ssh_server, environment={"PATH": "/nowhere"})

    steps = check(row)

    assert results(steps) == [True, True, True, False, None, None, None, None]
    sentence = "It finds no commands, not even uname: name /usr/bin and /bin in PATH in its environment."
    assert steps["shell"]["seen"] == sentence
    assert "`environment`" in steps["shell"]["advice"]
    assert (row.status, row.status_reason) == ("degraded", sentence)


def test_a_key_that_is_not_let_in_is_named_for_those_who_see_no_page(ssh_server: SshServer) -> None:
    row = add_server(address(ssh_server, host_key=ssh_server.host_key_line), actor=OLGA)

    steps = check(row)

    assert results(steps) == [True, True, False, None, None, None, None, None]
    assert steps["login"]["advice"] == (
        "Add the server's public key (`public_key` in the API, and on the server's page) as one line to "
        f"~/.ssh/authorized_keys of {ssh_server.username}, which must belong to that account and be writable by "
        "nobody else."
    )


def test_this_machine_needs_no_ssh(tmp_path: Path) -> None:
    row = make_server(work_dir=str(tmp_path / "work"))
    note_refused_start(row.pk, reason="The disk was full.")

    steps = check(row)

    assert results(steps) == [True] * 8, steps
    assert "own machine" in steps["reach"]["seen"]
    assert (row.starts_refused_until, row.starts_refused_reason) == (None, "")  # it may be asked again
