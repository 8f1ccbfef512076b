"""One build that spoils the answer about all of its server is asked alone; the others go on. The helper is real."""

import os
from pathlib import Path

import pytest

from jobs.models import Attempt
from jobs.providers import fleet
from jobs.states import JobStatus
from tests.jobs.board import log_of, make_local_server, running_runner, submit, wait_until_finished
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.of_servers]

# In a folder with a file `bad`, a tool of the server fails as on a disk that does.
FAILING_LS = """#!/bin/sh
[ -e bad ] || exec /bin/ls "$@"
%s
"""
WAYS = {
    "garbled": "echo '-rw------- 1 0 0 12x Jan 1 00:00 log'",
    "hangs": 'while [ -e bad ]; do sleep 0.2; done; exec /bin/ls "$@"',
}
# It goes on until its folder is sound again: its own end reads sizes too.
COUNTING = 'n=0; while [ "$n" -lt 60 ] || [ -e ../../bad ]; do n=$((n + 1)); echo "line $n"; sleep 0.05; done'


@pytest.mark.parametrize("way", WAYS)
def test_build_that_spoils_the_answer_stops_no_other(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "ls").write_text(FAILING_LS % WAYS[way])
    (tools / "ls").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(fleet, "POLL_SECONDS", 4.0)
    monkeypatch.setattr(fleet, "POLL_ONE_SECONDS", 3.0)
    server = make_local_server(tmp_path / "work", max_concurrent_builds=3)
    with running_runner():
        spoiler, *others = (submit(repository, build_command=COUNTING) for _ in range(3))
        attempts = Attempt.objects.filter(phase="building", log_size__gt=0)
        wait_for(lambda: attempts.count() == 3, what="all three build")
        bad = tmp_path / "work" / "jobs" / str(spoiler.attempt_set.get().pk) / "bad"
        bad.touch()

        for job in others:
            assert wait_until_finished(job).status == JobStatus.COMPLETED
        wait_for(
            lambda: spoiler.attempt_set.get().unreachable_since is not None,
            what="it counts as away, it alone",
        )

        server.refresh_from_db()
        assert (server.status, server.unreachable_since) == ("online", None)
        spoiler.refresh_from_db()
        assert spoiler.status == JobStatus.RUNNING
        bad.unlink()
        wait_until_finished(spoiler, seconds=100)

    assert spoiler.status == JobStatus.COMPLETED
    assert spoiler.attempt_set.get().unreachable_since is None
    for job in (spoiler, *others):
        kept = log_of(job.attempt_set.get())
        assert kept[kept.index(b"line 1\n") :].startswith(b"".join(b"line %d\n" % n for n in range(1, 61)))
