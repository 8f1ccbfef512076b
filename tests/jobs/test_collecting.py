"""Artifacts of real builds: fetched beside the logs of others, stopped, taken up again, and told when left out."""

import contextlib
import hashlib
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connections

from buildboard.core.audit import Actor
from buildboard.core.crypto import encrypt
from jobs import artifacts
from jobs.artifacts import Keeper, read_artifact
from jobs.lifecycle import request_cancel
from jobs.models import Artifact, Attempt, BuildJob, Secret
from jobs.providers.base import BuiltFiles
from jobs.providers.fleet import FleetProvider
from jobs.states import JobStatus, Phase
from tests.factories import make_attempt
from tests.jobs.board import log_of, make_local_server, running_runner, submit, wait_until_finished
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.of_servers]


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, settings: LazySettings) -> Path:
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    return tmp_path / "storage" / "artifacts"


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The server's tar waits for as long as this file is there."""
    flag, folder = tmp_path / "held", tmp_path / "tools"
    flag.touch()
    folder.mkdir()
    wait = f"case $* in --version) ;; *) while [ -e '{flag}' ]; do sleep 0.05; done ;; esac"
    (folder / "tar").write_text(f'#!/bin/sh\n{wait}\nexec {shutil.which("tar")} "$@"\n')
    (folder / "tar").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    yield flag
    flag.unlink(missing_ok=True)


def kept(attempt: Attempt) -> dict[str, bytes]:
    """Every artifact with its bytes, whose sum is true."""
    found = {}
    for artifact in Artifact.objects.filter(attempt=attempt):
        found[artifact.path] = b"".join(read_artifact(artifact, start=0, end=artifact.size))
        assert hashlib.sha256(found[artifact.path]).hexdigest() == artifact.sha256
    return found


def drafts(storage: Path) -> list[Path]:
    return list(storage.glob(".part-*"))


def wait_until_collecting(job: BuildJob) -> Attempt:
    wait_for(lambda: Attempt.objects.filter(job=job, phase=Phase.COLLECTING).exists(), what="it collects")
    return Attempt.objects.get(job=job)


def test_thousand_files_are_kept(repository: Path, tmp_path: Path, storage: Path) -> None:
    make_local_server(tmp_path / "work")
    command = "mkdir out; i=0; while [ $i -lt 1000 ]; do echo $i >out/$i; i=$((i+1)); done; cp out/1 more"
    with running_runner():
        job = wait_until_finished(submit(repository, build_command=command, artifact_paths=["out", "more"]))

    attempt = job.attempt_set.get()
    assert (job.status, len(kept(attempt))) == (JobStatus.COMPLETED, 1000)
    assert kept(attempt) == {"more": b"1\n"} | {
        f"out/{n}": f"{n}\n".encode() for n in range(1000) if n != 999
    }
    assert attempt.metrics == {"artifacts_left_out": ["out/999: a job keeps at most 1000 files"]}
    assert drafts(storage) == []


def test_log_of_another_build_goes_on_while_artifacts_are_fetched(
    repository: Path, tmp_path: Path, held: Path
) -> None:
    make_local_server(tmp_path / "work")
    with running_runner():
        slow = submit(repository, build_command="echo x >file", artifact_paths=["file"])
        wait_until_collecting(slow)
        other = wait_until_finished(submit(repository, build_command="echo other"))

        assert log_of(other.attempt_set.get()).endswith(b"other\n--- finished: exit code 0\n")
        slow.refresh_from_db()
        assert (slow.status, kept(slow.attempt_set.get())) == (JobStatus.RUNNING, {})
        held.unlink()
        wait_until_finished(slow)
    assert (slow.status, kept(slow.attempt_set.get())) == (JobStatus.COMPLETED, {"file": b"x\n"})


def test_cancel_while_artifacts_are_fetched_ends_the_fetching_and_the_result_stays(
    repository: Path, tmp_path: Path, held: Path
) -> None:
    make_local_server(tmp_path / "work")
    with running_runner():
        job = submit(
            repository, build_command="echo x >file; exit 3", artifact_paths=["file", "a.deb", "b.deb"]
        )
        wait_until_collecting(job)
        wait_for(lambda: is_packing(held), what="tar was started")
        request_cancel(job, actor=Actor("ann", "api"))
        wait_until_finished(job)
        held.unlink()

    assert (job.status, job.exit_code) == (JobStatus.FAILED, 3)
    metrics = job.attempt_set.get().metrics
    assert metrics == {
        "artifacts_left_out": [
            "the rest: the build was cancelled meanwhile",
            "a.deb: no file has such a name",
            "b.deb: no file has such a name",
        ]
    }


def test_more_files_than_can_be_looked_at_are_told_before_what_is_wrong_with_single_ones(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_files = FleetProvider.list_files

    def cut(provider: FleetProvider, build_id: str, *, starts: Sequence[tuple[str, int]]) -> BuiltFiles:
        return replace(list_files(provider, build_id, starts=starts), refused=2, truncated=True)

    monkeypatch.setattr(FleetProvider, "list_files", cut)
    make_local_server(tmp_path / "work")
    with running_runner():
        wanted = ["file", *(f"{number}.deb" for number in range(63))]
        job = wait_until_finished(submit(repository, build_command="echo x >file", artifact_paths=wanted))

    told = job.attempt_set.get().metrics["artifacts_left_out"]
    assert told[:3] == [
        "the build left more than 1 files, and only those were looked at: name the folders more closely",
        "2 files: their names hold control characters, are not UTF-8 or are too long",
        "0.deb: no file has such a name",
    ]
    assert len(told) == 65


def test_file_that_vanishes_or_changes_is_named_and_the_others_are_kept(
    repository: Path, tmp_path: Path, held: Path
) -> None:
    make_local_server(tmp_path / "work")
    command = "for f in a b c d e f; do echo 1 >$f; done"
    with running_runner():
        job = submit(repository, build_command=command, artifact_paths=["?"])
        attempt = wait_until_collecting(job)
        tree = tmp_path / "work" / "jobs" / str(attempt.pk) / "ws" / "src"
        wait_for((tree / "f").exists)
        wait_for(lambda: is_packing(held), what="tar was started")
        (tree / "a").unlink()
        (tree / "b").unlink()
        os.mkfifo(tree / "b")
        (tree / "c").unlink()
        (tree / "c").symlink_to("/etc/passwd")
        (tree / "d").write_text("longer\n")
        (tree / "e").write_text("2\n")
        held.unlink()
        wait_until_finished(job)

    assert (job.status, kept(attempt)) == (JobStatus.COMPLETED, {"f": b"1\n"})
    attempt.refresh_from_db()
    assert sorted(attempt.metrics["artifacts_left_out"]) == [
        "a: it is gone, or no regular file any more",
        "b: it is gone, or no regular file any more",
        "c: it lies behind a symbolic link now",
        "d: it grew past 2 bytes while it was read",
        "e: it changed while it was read",
    ]


def is_packing(held: Path) -> bool:
    """Whether this server's tar was started; other servers of other tests may be at theirs."""
    tar = os.fsencode(held.parent / "tools" / "tar")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes()
            if tar in line and b"--format=gnu" in line:
                return True
    return False


def test_secrets_in_names_are_masked_wherever_they_are_shown(repository: Path, tmp_path: Path) -> None:
    make_local_server(tmp_path / "work")
    Secret.objects.create(name="TOKEN", encrypted_value=encrypt("s3cret-value"))
    command = "mkdir out; echo 1 >out/$TOKEN.txt; echo 2 >'out/***.txt'; head -c 3000 /dev/zero >big-$TOKEN"
    with running_runner():
        job = wait_until_finished(
            submit(
                repository,
                build_command=command,
                secrets=["TOKEN"],
                artifact_paths=["out/*", "big-*", "s3cret-value.deb"],
            )
        )

    attempt = job.attempt_set.get()
    assert sorted(kept(attempt)) == ["big-***", "out/***.txt"]
    assert attempt.metrics["artifacts_left_out"] == [
        "***.deb: no file has such a name",
        "out/***.txt: another name is the same once secrets are masked",
    ]


def test_storage_that_cannot_be_written_to_is_told_and_the_job_ends(
    repository: Path, tmp_path: Path, storage: Path
) -> None:
    make_local_server(tmp_path / "work")
    storage.parent.mkdir()
    storage.write_text("in the way")
    with running_runner():
        job = wait_until_finished(submit(repository, build_command="echo x >file", artifact_paths=["file"]))

    assert job.status == JobStatus.COMPLETED
    assert job.attempt_set.get().metrics == {
        "artifacts_left_out": ["the rest: the board's own storage cannot be written to: File exists"]
    }


def test_runner_that_stops_while_it_fetches_is_followed_by_one_that_fetches_the_rest(
    repository: Path, tmp_path: Path, held: Path, storage: Path
) -> None:
    make_local_server(tmp_path / "work")
    job = submit(repository, build_command="echo x >a; echo y >b", artifact_paths=["a", "b"])
    with running_runner():
        attempt = wait_until_collecting(job)
    with Keeper(attempt) as keeper:
        keeper.keep(path="a", chunks=[b"kept before\n"], limit_bytes=100)
    held.unlink()
    with running_runner():
        wait_until_finished(job)

    assert (job.status, job.attempts) == (JobStatus.COMPLETED, 1)
    assert kept(attempt) == {"a": b"kept before\n", "b": b"y\n"}
    assert drafts(storage) == []


FILES = {f"f{number}": os.urandom(3000) + bytes([number]) for number in range(5)}


class Deadly:
    """Counts calls, and kills its own process with -9 at one of them."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self, data: bytes = b"") -> bytes:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return data


def keep_until_killed(attempt: Attempt, at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Keep all files in another process, which is killed at that call of whatever leaves a trace; whether it was."""
    child = os.fork()
    if child == 0:
        connections["default"].connection = None  # the parent's, which the child must not use
        deadly = Deadly(at)
        for name in ("fsync", "replace", "unlink", "mkdir", "open"):
            plain = getattr(os, name)
            monkeypatch.setattr(
                os, name, lambda *given, plain=plain, **named: (deadly(), plain(*given, **named))[1]
            )
        with Keeper(attempt) as keeper:
            for path, data in FILES.items():
                pieces = (deadly(data[at : at + 1000]) for at in range(0, len(data), 1000))
                keeper.keep(path=path, chunks=pieces, limit_bytes=10_000)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in {0, signal.SIGKILL}
    return status != 0


def test_kill_at_any_moment_loses_and_repeats_no_file(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "BATCH_FILES", 2)
    kills = 0
    while True:
        attempt = make_attempt()
        if not keep_until_killed(attempt, kills, monkeypatch):
            break
        kills += 1
        before = kept(attempt)
        assert before.items() <= FILES.items()

        with Keeper(attempt) as keeper:
            assert keeper.kept == set(before)
            assert drafts(storage) == []
            for path, data in FILES.items():
                pieces = iter([data]) if path not in before else map(refuse, [data])
                keeper.keep(path=path, chunks=pieces, limit_bytes=10_000)
        assert kept(attempt) == FILES
    assert kills > 30
    assert len(list(storage.glob("*/*"))) == len(FILES)


def refuse(_: bytes) -> bytes:
    raise AssertionError("a file that is kept is not read again")
