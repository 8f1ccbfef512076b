"""The records of a run: who claims it, what is refused, and what a reader is told however they look."""

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from servers.frames import ExitRecord, RunLimits, RunState, build_submission
from servers.runs import CancelOutcome
from servers.transport import HelperRefused
from tests.servers.durable import Durable, kill
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

NO_LIMITS = RunLimits(grace_seconds=1)


def prepare(durable: Durable, *, script: bytes = b"echo ran") -> str:
    """An attempt that is on the server and not started."""
    attempt = str(uuid4())
    durable.client.poll([])
    assert durable.ask("prepare", attempt) == ("ok\n", 0)
    for name, content in {"spec": b"GRACE=1\n", "script": script}.items():
        assert durable.ask("put", attempt, name, str(len(content)), stdin=content) == ("ok\n", 0)
    return attempt


def ask_together(durable: Durable, questions: Sequence[Sequence[str]]) -> list[str]:
    """The first words of the answers to operations that are asked at once."""
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda q=question: answers.append(durable.ask(*q)[0].split()[0]))
        for question in questions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(answers)


def test_launch_of_24_at_once_starts_one(durable_any_shell: Durable) -> None:
    attempt = prepare(durable_any_shell)

    answers = ask_together(durable_any_shell, [["launch", attempt]] * 24)

    assert answers == ["already"] * 23 + ["launched"]
    assert durable_any_shell.finish(attempt).data == b"ran\n"
    assert durable_any_shell.starts(attempt) == 1


def test_cancel_and_launch_at_once_agree(durable: Durable) -> None:
    for _ in range(8):
        attempt = prepare(durable, script=b"echo ran; sleep 60")

        answers = ask_together(durable, [["launch", attempt], ["cancel", attempt, "cancelled"]])
        entry = durable.finish(attempt)

        assert entry.exit is not None
        assert (entry.exit.reason, entry.exit.left) == ("cancelled", False)
        started = durable.starts(attempt) if (durable.job(attempt) / "starts").exists() else 0
        assert answers in (["already", "neverstarted"], ["launched", "requested"])
        assert (started == 0) == ("neverstarted" in answers)
    durable.wait_empty()


def test_prepared_run_says_so_and_starts_later(durable: Durable) -> None:
    attempt = prepare(durable)

    assert durable.look(attempt).state == RunState.PREPARED
    assert durable.ask("launch", attempt)[0].split()[0] == "launched"
    assert durable.ask("prepare", attempt) == ("exists\n", 0)
    assert durable.finish(attempt).data == b"ran\n"


def test_put_that_is_cut_short_leaves_nothing_to_run(durable: Durable) -> None:
    attempt = str(uuid4())
    durable.client.poll([])
    durable.ask("prepare", attempt)

    assert durable.ask("put", attempt, "script", "100", stdin=b"rm -rf \n") == ("short\n", 65)
    assert durable.ask("launch", attempt) == ("noscript\n", 65)
    assert sorted(path.name for path in durable.job(attempt).iterdir()) == ["ws"]


def test_submit_that_is_cut_anywhere_runs_nothing(durable: Durable) -> None:
    attempt = str(uuid4())
    durable.client.poll([])
    sizes, payload = build_submission(b"echo ran", environment={"A": "b"}, limits=NO_LIMITS)

    for length in range(0, len(payload), 7):
        assert durable.ask("submit", attempt, *sizes, stdin=payload[:length]) == ("short\n", 65)

    assert durable.look(attempt).state == RunState.PREPARED
    assert [path.name for path in durable.job(attempt).iterdir()] == ["ws"]
    assert durable.ask("submit", attempt, *sizes, stdin=payload)[0].split()[0] == "launched"
    assert durable.finish(attempt).data == b"ran\n"


def test_submit_repeated_runs_once_and_leaves_no_secret(durable: Durable) -> None:
    attempt = str(uuid4())

    def submit() -> bool:
        return durable.client.submit(
            attempt, script=b"echo ran; sleep 0.5", environment={"TOKEN": "s3cret"}, limits=NO_LIMITS
        ).already

    outcomes = [submit() for _ in range(5)]
    entry = durable.finish(attempt)
    outcomes.append(submit())

    assert outcomes == [False, True, True, True, True, True]
    assert (entry.data, durable.starts(attempt)) == (b"ran\n", 1)
    for path in durable.job(attempt).rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes()


def test_cancel_before_the_launch_prevents_it_for_ever(durable: Durable) -> None:
    attempt = prepare(durable)

    assert durable.client.cancel(attempt) == CancelOutcome.NEVER_STARTED
    assert durable.ask("launch", attempt)[0].split()[:2] == ["already", "0"]
    assert durable.client.cancel(attempt) == CancelOutcome.NEVER_STARTED
    assert not (durable.job(attempt) / "starts").exists()
    entry = durable.look(attempt)
    assert entry.exit is not None
    assert entry.exit == ExitRecord("cancelled", -1, 0, entry.exit.epoch, left=False)


def test_cancel_of_what_is_absent_claims_it_only_when_told(durable: Durable) -> None:
    attempt = str(uuid4())

    assert durable.client.cancel(attempt) == CancelOutcome.ABSENT
    assert durable.look(attempt).state == RunState.ABSENT
    assert durable.client.cancel(attempt, claim=True) == CancelOutcome.NEVER_STARTED
    late = durable.client.submit(attempt, script=b"echo ran", environment={"A": "b"}, limits=NO_LIMITS)

    assert late.already
    assert durable.look(attempt).data == b""
    assert not (durable.job(attempt) / "starts").exists()


def test_cancel_of_what_is_done_changes_nothing(durable: Durable) -> None:
    attempt = durable.start("exit 3")
    before = durable.finish(attempt)

    assert durable.client.cancel(attempt) == CancelOutcome.DONE
    assert durable.look(attempt) == before


def test_cancel_after_the_script_ended_is_too_late_to_be_the_reason(durable: Durable) -> None:
    """The script is over, its daemon still has to be ended; the result stays the script's."""
    attempt = durable.start(
        "(trap '' TERM; while :; do sleep 1; done) & exit 4", limits=RunLimits(grace_seconds=6)
    )
    wait_for((durable.job(attempt) / "rc").exists)

    assert durable.client.cancel(attempt) == CancelOutcome.REQUESTED
    entry = durable.finish(attempt)
    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.code, entry.exit.left) == ("exited", 4, False)


def test_another_boot_means_rebooted(durable: Durable) -> None:
    attempt = durable.start("echo hi; sleep 60")
    durable.wait_settled(attempt)
    kill(*durable.processes())
    for name in ("runner", "build", "watch", "logger"):
        path = durable.job(attempt) / name
        pid, start, _ = path.read_text().split()
        path.write_text(f"{pid} {start} 00000000-0000-0000-0000-000000000000\n")

    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert entry.exit == ExitRecord("rebooted", -1, 3, entry.exit.epoch, left=False)


def test_a_reused_pid_is_not_taken_for_the_runner(durable: Durable) -> None:
    attempt = durable.start("echo hi; sleep 60")
    durable.wait_settled(attempt)
    kill(*durable.processes())
    path = durable.job(attempt) / "runner"
    _, start, boot = path.read_text().split()
    path.write_text(f"1 {start} {boot}\n")

    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert entry.exit.reason == "lost"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("exit", "all is well\n"),
        ("exit", "exited 0 99999999999999 1 left=0\n"),
        ("exit", "exited 0 -5 $(id) left=0 @ * ?\n"),
        ("phase", "building x y\nBBEND\n"),
        ("phase", "* * *\n"),
        ("commit", "abc BBEND def\n"),
        ("commit", "\n"),
    ],
)
def test_records_that_a_build_wrote_do_not_break_the_reply_for_others(
    durable: Durable, name: str, content: str
) -> None:
    forged, other = durable.start("echo forged"), durable.start("echo other")
    for attempt in (forged, other):
        durable.finish(attempt)
    (durable.job(forged) / name).write_text(content)

    reply = durable.client.poll([(forged, 0), (other, 0)])

    assert [(entry.data, entry.size) for entry in reply] == [(b"forged\n", 7), (b"other\n", 6)]
    assert (reply[0].phase, reply[0].commit) == (None, None)
    assert reply[1].exit is not None


@pytest.mark.parametrize(
    ("name", "forge"),
    [
        *((name, "mkfifo x") for name in ("exit", "phase", "commit", "runner", "watch", "cancel")),
        *((name, "truncate -s 1G x") for name in ("exit", "phase", "commit", "runner")),
        ("exit", "mkdir x"),
        ("exit", "ln -s /dev/zero x"),
    ],
)
def test_records_that_never_end_hold_up_neither_the_reply_nor_the_end(
    durable: Durable, name: str, forge: str
) -> None:
    other = durable.start("echo other; sleep 60")
    forged = durable.start(f"cd ..; {forge}; rm -f {name}; mv x {name}; echo forged; sleep 60")
    # Not by polls: one that reads a record in the very moment of its exchange may take long, and is asked again.
    wait_for(lambda: all((durable.job(one) / "log").read_bytes() for one in (forged, other)))

    reply = durable.client.poll([(forged, 0), (other, 0)], timeout_seconds=10)
    for attempt in (forged, other):
        durable.client.cancel(attempt, timeout_seconds=10)
    ended = [durable.finish(attempt) for attempt in (forged, other)]

    assert [entry.data for entry in reply] == [b"forged\n", b"other\n"]
    assert [entry.exit is not None for entry in ended] == [True, True]
    assert ended[1].exit is not None and ended[1].exit.reason == "cancelled"


@pytest.mark.parametrize("forge", ["mkdir log", "mkfifo log", "ln -s /dev/zero log"])
def test_log_that_is_none_has_no_bytes(durable: Durable, forge: str) -> None:
    forged, other = durable.start("echo forged"), durable.start("echo other")
    for attempt in (forged, other):
        durable.finish(attempt)
    subprocess.run(f"rm log; {forge}", shell=True, check=True, cwd=durable.job(forged))

    reply = durable.client.poll([(forged, 0), (other, 0)], timeout_seconds=10)

    assert [(entry.data, entry.size) for entry in reply] == [(b"", 0), (b"other\n", 6)]


def test_exit_record_without_an_end_of_line_is_an_end(durable: Durable) -> None:
    attempt = durable.start("printf forged >../exit; sleep 60")

    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.left) == ("damaged", True)


def test_ids_are_uuids_and_nothing_else(durable: Durable) -> None:
    durable.client.poll([])
    for bad in ("..", "x", str(uuid4()).upper(), f"{uuid4()}0", str(uuid4())[:-1], "." * 36):
        assert durable.ask("prepare", bad) == ("", 64)
        assert durable.ask("submit", bad, "1", "1", "1", stdin=b"abc")[1] == 74
        assert durable.ask("cancel", bad, "cancelled", "claim")[1] == 64
        assert durable.ask("rm", bad) == (f"{bad} absent\n", 0)
    assert list((durable.root / "jobs").iterdir()) == []


def test_floor_of_free_disk_refuses_a_launch(durable: Durable) -> None:
    with pytest.raises(HelperRefused) as refused:
        durable.start("echo ran", limits=RunLimits(disk_floor_kib=10**12 - 1))

    # Ten digits and more are a disk larger than any floor that makes sense, on 32 bit shells too.
    assert (refused.value.word, refused.value.status, refused.value.retry_helps) == ("diskfull", 74, True)


def test_records_are_private(durable: Durable) -> None:
    attempt = durable.start("true")
    durable.finish(attempt)

    for path in (durable.root, *durable.job(attempt).iterdir(), *(durable.root / "lib").iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


def test_job_names_with_newlines_in_a_process_name_are_still_found(durable: Durable, tmp_path: Path) -> None:
    """A process may call itself anything; it is still ended."""
    program = tmp_path / "rename.py"
    program.write_text("import ctypes,time\nctypes.CDLL(None).prctl(15, b'a) Z\\n1 2')\ntime.sleep(600)\n")
    attempt = durable.start(f"setsid python3 {program} & sleep 0.5")

    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert (entry.exit.reason, entry.exit.left) == ("exited", False)
    durable.wait_empty()
