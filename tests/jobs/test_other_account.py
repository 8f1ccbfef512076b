"""Builds of an account that is not root, nor the one that the board runs as: over real sshd, from start to end."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from django.conf import LazySettings

from buildboard.core.audit import Actor
from jobs.artifacts import read_artifact
from jobs.lifecycle import request_cancel
from jobs.models import Attempt
from jobs.states import JobStatus
from servers import checks
from servers.connections import forget_connections
from servers.models import BuildServer
from servers.registry import add_server
from tests.git_http import GitHttpServer
from tests.jobs.board import log_of, running_runner, submit, wait_until_finished
from tests.repositories import make_repository
from tests.requirements import require
from tests.ssh_servers import SshServer
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.ssh,
    pytest.mark.slow,
    pytest.mark.of_servers,
]
# Told from what the same tests start beside these, with the same account.
NAP = f"sleep 600.{os.getpid()}"
OLGA = Actor(name="olga", door="api")
ACCOUNT = "nobody"


@pytest.fixture
def sshd() -> Iterator[SshServer]:
    require("root")
    require("sshd")
    with SshServer(account=ACCOUNT, login_shell="/bin/sh") as server:
        yield server
        forget_connections()


@pytest.fixture
def box(sshd: SshServer) -> BuildServer:
    address = {"hostname": sshd.hostname, "ssh_port": sshd.port, "ssh_username": ACCOUNT}
    row = add_server({"name": "box", **address, "host_key": sshd.host_key_line}, actor=OLGA)
    sshd.authorize(row.public_key)
    return row


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """Where any account may read it: git wants files to be the account's own."""
    require("git http-backend")
    make_repository(tmp_path / "demo", {"README": "hello\n"})
    with GitHttpServer(tmp_path) as server:
        yield f"{server.url}/demo/.git"


def processes_of_account() -> list[str]:
    """What runs with its rights and was started by a build."""
    user_id = pwd.getpwnam(ACCOUNT).pw_uid
    found = []
    for process in psutil.process_iter(["uids", "cmdline", "status"]):
        if (
            process.info["uids"]
            and process.info["uids"].real == user_id
            and process.info["status"] != "zombie"
        ):
            found.append(" ".join(process.info["cmdline"] or []))
    return [words for words in found if words and not words.startswith("sshd:")]


def test_a_build_runs_with_the_rights_of_its_account_alone_and_leaves_nothing(
    box: BuildServer, sshd: SshServer, repository: str, tmp_path: Path, settings: LazySettings
) -> None:
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    command = (
        "id -un; cat README; touch /etc/not-mine 2>/dev/null && echo it was root; mkdir out; id -u >out/who.txt; "
        f"(exec >/dev/null 2>&1; setsid {NAP} &)"
    )
    with running_runner():
        job = submit(repository, build_command=command, artifact_paths=["out/*"])
        wait_until_finished(job)
        wait_for(lambda: not list((sshd.home / ".buildboard/jobs").iterdir()), what="its folder is gone")

    attempt = Attempt.objects.get()
    assert (job.status, job.error_message) == (JobStatus.COMPLETED, "")
    assert log_of(attempt).endswith(b"\nnobody\nhello\n--- finished: exit code 0\n")
    (artifact,) = attempt.artifacts.all()
    assert artifact.path == "out/who.txt"
    user_id = pwd.getpwnam(ACCOUNT).pw_uid
    assert b"".join(read_artifact(artifact, start=0, end=artifact.size)) == f"{user_id}\n".encode()
    assert {path.stat().st_uid for path in (sshd.home / ".buildboard").rglob("*")} == {user_id}
    assert [words for words in processes_of_account() if NAP in words] == []


def test_a_cancel_ends_the_whole_tree_of_such_a_build(
    box: BuildServer, sshd: SshServer, repository: str
) -> None:
    command = f"trap '' TERM; setsid {NAP} & {NAP} & echo started; wait"
    with running_runner():
        job = submit(repository, build_command=command)
        wait_for(lambda: Attempt.objects.filter(phase="building", log_size__gt=0).exists(), what="it builds")
        wait_for(lambda: len([one for one in processes_of_account() if one == NAP]) == 2, what="its tree")
        request_cancel(job, actor=OLGA)
        wait_until_finished(job)

    assert job.status == JobStatus.CANCELLED
    assert NAP not in processes_of_account()


def test_a_check_says_whose_account_it_is(box: BuildServer, sshd: SshServer) -> None:
    check = checks.request_check(box, actor=OLGA)

    checks.run_check(check.pk)

    check.refresh_from_db()
    steps = {step["name"]: step for step in check.steps}
    assert check.ok, check.steps
    assert steps["login"]["seen"] == f"Logged in as {ACCOUNT}."
    assert steps["work_dir"]["seen"] == f"{sshd.home}/.buildboard can be written by {ACCOUNT}."
    assert (sshd.home / ".buildboard").stat().st_uid == pwd.getpwnam(ACCOUNT).pw_uid
