"""A build that exchanges its records while they are read harms itself alone."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers.frames import RunState
from tests.servers.durable import SHELLS, Durable, is_alive, kill
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

RECORDS = Path(__file__).parents[2] / "servers" / "records.sh"
SWAP_SECONDS = 10
SHORT_SECONDS = 4  # under the other shells
# Each record becomes, as fast as it can, what never ends when it is opened or read; and now and then itself again.
SWAPPER = """
import contextlib, os, random, sys
os.chdir(sys.argv[1])
records = ["exit", "phase", "commit", "runner", "build", "watch", "logger", "cancel", "rc", "spec", "starts", "err"]
own = {name: open(name, "rb").read() for name in records if os.path.exists(name)}

def fifo(name):
    os.mkfifo(name)

def large(name):
    with open(name, "wb") as new:
        new.truncate(1 << 30)

def solid(name):
    with open(name, "wb") as new:
        new.write(b"1" * (4 << 20))

def grows(name):  # the very file that may be open already
    with open(name, "r+b") as old:
        old.truncate(0)
        old.truncate(1 << 30)

def itself(name):
    with open(name, "wb") as new:
        new.write(own.get(name, b"1 2 3\\n"))

ways = [fifo, large, solid, grows, itself, itself, os.mkdir, lambda name: os.symlink("/dev/zero", name)]
print("began", flush=True)
while True:
    name, way = random.choice(records), random.choice(ways)
    with contextlib.suppress(OSError):
        if way is grows:
            grows(name)
        else:
            way("swapped")
            with contextlib.suppress(OSError):
                os.rmdir(name)
            os.rename("swapped", name)
    with contextlib.suppress(OSError):
        os.unlink("swapped")
    with contextlib.suppress(OSError):
        os.rmdir("swapped")
"""


@contextmanager
def swapping(durable: Durable, attempt: str) -> Iterator[None]:
    """Exchange the records of this attempt for the length of the block."""
    program = [sys.executable, "-c", SWAPPER, str(durable.job(attempt))]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"began\n"
        try:
            yield
            assert process.poll() is None
        finally:
            process.kill()


def test_records_that_are_swapped_while_others_are_polled_hold_up_nobody(durable_any_shell: Durable) -> None:
    durable = durable_any_shell
    seconds = SWAP_SECONDS if durable.shell == SHELLS["dash"] else SHORT_SECONDS
    forged = durable.start("echo forged; sleep 600")
    other = durable.start(
        f"end=$(($(date +%s) + {seconds})) n=0\n"
        'while [ $(date +%s) -lt $end ]; do n=$((n + 1)); echo "line $n"; sleep 0.01; done; echo "$n" >../count'
    )
    for attempt in (forged, other):
        durable.wait_settled(attempt)
    log, state = b"", RunState.RUNNING
    deadline = time.monotonic() + 6 * seconds

    with swapping(durable, forged):
        while state != RunState.DONE and time.monotonic() < deadline:
            reply = durable.client.poll([(forged, 0), (other, len(log))], timeout_seconds=20)
            log, state = log + reply[1].data, reply[1].state

    count = int((durable.job(other) / "count").read_text())
    assert log == b"".join(b"line %d\n" % number for number in range(1, count + 1))
    assert state == RunState.DONE


def test_log_that_is_cut_under_the_reader_is_filled_up(durable: Durable) -> None:
    """So that the others, behind it in the same reply, are still found."""
    cut = durable.start("while :; do head -c 300000 /dev/zero >../log; : >../log; done")
    other = durable.start("echo other; sleep 60")
    wait_for(lambda: durable.look(other).data)

    until = time.monotonic() + 3
    while time.monotonic() < until:
        reply = durable.client.poll([(cut, 0), (cut, 65_537), (other, 0)], timeout_seconds=20)
        assert reply[2].data == b"other\n"


# Two items, of which the first takes more than a second of the processor's time, before its answer or within it.
SLOW_ITEMS = """
. "$1"
MARK=- when=$2
now() { read -r NOW _ </proc/uptime; NOW=${NOW%%.*}; }
burn() {
    used=0
    while [ "$used" -lt 130 ]; do # in hundredths
        read -r line </proc/self/stat
        set -- ${line##*) }
        used=$((${12} + ${13}))
    done
}
act() {
    [ "$when $1" != "before one" ] || burn
    begin_answer
    printf '%s ' "$1"
    [ "$when $1" != "within one" ] || burn
    echo answers
}
act_damaged() { echo "$1 is damaged"; }
survey act one two
"""


@pytest.mark.parametrize(
    ("when", "answers"),
    [("before", "one is damaged\ntwo answers\n"), ("within", "one answers\ntwo answers\n")],
)
def test_answer_that_was_begun_comes_whole_however_long_it_took_until_then(when: str, answers: str) -> None:
    words = ["sh", "-c", SLOW_ITEMS, "sh", str(RECORDS), when]

    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == (answers, 0)


LYING_LS = """#!/bin/sh
/bin/ls "$@" | sed 's/ 1073741824 / 5 /'
"""


def test_record_that_takes_too_long_is_damaged_and_the_next_is_told(tmp_path: Path) -> None:
    """The bound itself, without a race: the size that is looked at first is wrong."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "ls").write_text(LYING_LS)
    (tools / "ls").chmod(0o755)
    durable = Durable(tmp_path / "work", environment={"PATH": f"{tools}:{os.environ['PATH']}"})
    attempts = [durable.start(f"echo {word}; sleep 600") for word in ("one", "two", "three")]
    for attempt in attempts:
        durable.wait_settled(attempt)
    with (durable.job(attempts[1]) / "phase").open("wb") as phase:
        phase.truncate(1 << 30)
    kill(durable.pid(attempts[2], "runner"), durable.pid(attempts[2], "watch"))

    try:
        reply = durable.client.poll([(attempt, 0) for attempt in attempts])

        assert [(entry.state, entry.data) for entry in reply] == [
            (RunState.RUNNING, b"one\n"),
            (RunState.DAMAGED, b""),
            (RunState.ORPHAN, b"three\n"),
        ]
        wait_for(lambda: is_alive(durable.pid(attempts[2], "watch")), what="a watchdog took over")
        durable.client.cancel(attempts[2])
        assert durable.finish(attempts[2]).exit is not None  # its watchdog has no bound on its time
    finally:
        durable.clear()
