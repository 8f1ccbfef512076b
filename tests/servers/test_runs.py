"""The client of runs: answers as plain values, refusals that say what to do, a missing helper brought."""

from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from servers.frames import RunLimits, RunState
from servers.local import LocalTransport
from servers.runs import CancelOutcome, RunClient, SubmitOutcome
from servers.transport import HELPER_NAME, BadReply, Chunks, Completed, HelperRefused, said
from tests.servers.durable import Durable

pytestmark = pytest.mark.slow

LIMITS = RunLimits(grace_seconds=1)


class CutTransport(LocalTransport):
    """A connection that ends after so many bytes of a reply; what was asked for happened."""

    left = 0

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float) -> Completed:
        """The same, cut."""
        done = super().run(words, stdin=stdin, timeout_seconds=timeout_seconds)
        return Completed(done.exit_code, done.stdout[: self.left], done.stderr)

    def stream(self, words: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float) -> Chunks:
        """The same, cut."""
        whole = b"".join(super().stream(words, stdin=stdin, timeout_seconds=timeout_seconds))
        yield whole[: self.left]


class NoisyTransport(LocalTransport):
    """A login shell that greets."""

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float) -> Completed:
        """The same, after a greeting."""
        done = super().run(words, stdin=stdin, timeout_seconds=timeout_seconds)
        return Completed(done.exit_code, b"hello from .bashrc\xff" + done.stdout, done.stderr)


def test_submit_installs_a_missing_helper_and_starts_once(durable: Durable) -> None:
    attempt = str(uuid4())

    outcomes = [
        durable.client.submit(attempt, script=b"echo $A", environment={"A": "b"}, limits=LIMITS)
        for _ in range(2)
    ]

    assert outcomes == [SubmitOutcome(already=False), SubmitOutcome(already=True)]
    assert durable.finish(attempt).data == b"b\n"


def test_helper_that_vanishes_is_brought_again(durable: Durable) -> None:
    attempt = durable.start("echo hi; echo x >f")
    durable.finish(attempt)
    (durable.root / "lib" / HELPER_NAME).unlink()

    assert durable.look(attempt).data == b"hi\n"
    (durable.root / "lib" / HELPER_NAME).unlink()
    fresh = RunClient(durable.transport)
    assert b"".join(fresh.read_file(attempt, "f")) == b"x\n"


def test_poll_tells_of_many_in_their_order_and_of_none(durable: Durable) -> None:
    attempts = [durable.start(f"echo {number}") for number in range(5)]
    for attempt in attempts:
        durable.finish(attempt)
    unknown = str(uuid4())

    reply = durable.client.poll([(attempt, 1) for attempt in [*reversed(attempts), unknown]])

    assert [entry.id for entry in reply] == [*reversed(attempts), unknown]
    assert [entry.state for entry in reply] == [RunState.DONE] * 5 + [RunState.ABSENT]
    assert [entry.data for entry in reply] == [b"\n"] * 5 + [b""]
    assert durable.client.poll([]) == ()


def test_poll_of_40_attempts_in_one_exec(durable: Durable) -> None:
    attempt = durable.start("echo hi")
    durable.finish(attempt)

    entries = durable.client.poll([(attempt, 0)] * 40)

    assert [entry.data for entry in entries] == [b"hi\n"] * 40


def test_reply_cut_anywhere_is_bad_and_can_be_asked_again(durable: Durable) -> None:
    attempt = str(uuid4())
    cut = CutTransport(durable.root)
    cut.install()
    client = RunClient(cut)
    for length in (0, 1, 10, 22, 30, 60):
        cut.left = length
        with pytest.raises(BadReply):
            client.submit(attempt, script=b"echo ran", environment={}, limits=LIMITS)

    cut.left = 10**6
    assert client.submit(attempt, script=b"echo ran", environment={}, limits=LIMITS).already
    assert durable.finish(attempt).data == b"ran\n"
    assert durable.starts(attempt) == 1


def test_file_cut_in_the_middle_is_resumed_where_it_stopped(durable: Durable) -> None:
    attempt = durable.start("head -c 5000 /dev/urandom >f")
    durable.finish(attempt)
    cut = CutTransport(durable.root)
    client = RunClient(cut)
    cut.left = 10**6
    client.poll([])
    cut.left = 1000

    got = b""
    with pytest.raises(BadReply):
        for piece in client.read_file(attempt, "f"):
            got += piece
    cut.left = 10**6
    got += b"".join(client.read_file(attempt, "f", offset=len(got)))

    assert got == (durable.job(attempt) / "ws" / "f").read_bytes()


def test_noise_of_a_login_shell_is_ignored(durable: Durable) -> None:
    client = RunClient(NoisyTransport(durable.root))
    attempt = str(uuid4())

    assert client.submit(attempt, script=b"echo ran", environment={}, limits=LIMITS) == SubmitOutcome(
        already=False
    )
    durable.finish(attempt)
    assert client.poll([(attempt, 0)])[0].data == b"ran\n"
    assert [run.id for run in client.list_runs()] == [attempt]


def test_cancel_outcomes(durable: Durable) -> None:
    attempt = durable.start("sleep 60")
    absent = str(uuid4())

    assert durable.client.cancel(attempt, reason="timeout") == CancelOutcome.REQUESTED
    entry = durable.finish(attempt)

    assert entry.exit is not None
    assert entry.exit.reason == "timeout"
    assert durable.client.cancel(attempt) == CancelOutcome.DONE
    assert durable.client.cancel(absent) == CancelOutcome.ABSENT
    assert durable.client.cancel(absent, claim=True) == CancelOutcome.NEVER_STARTED
    assert durable.client.cancel(absent, claim=True) == CancelOutcome.NEVER_STARTED


def test_wrong_words_are_refused_by_the_helper(durable: Durable) -> None:
    with pytest.raises(HelperRefused) as refused:
        durable.client.cancel("not-an-id")

    assert (refused.value.word, refused.value.status, refused.value.retry_helps) == ("usage", 64, False)


def test_path_with_control_characters_is_no_path(durable: Durable) -> None:
    with pytest.raises(ValueError, match="control"):
        next(durable.client.read_file(str(uuid4()), "a\nb"))


def test_probe_tells_what_the_server_is_and_has(durable: Durable) -> None:
    light, full = durable.client.probe(tools=False), durable.client.probe()

    assert (light["os"], int(light["cores"]) > 0, int(light["disk.available_kb"]) > 0) == (
        "Linux",
        True,
        True,
    )
    assert light["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert not [key for key in light if key.startswith("tool.")]
    assert "|" in full["tool.git"]
    assert set(light) <= set(full)
    assert all(value.isprintable() and len(value) <= 160 for value in full.values())


def test_something_that_is_no_helper_is_a_bad_reply(tmp_path: Path) -> None:
    transport = LocalTransport(tmp_path, shell=("true",))

    with pytest.raises(BadReply, match="did not answer"):
        RunClient(transport).poll([])


@pytest.mark.parametrize("stream", ["", " >&2"])
def test_what_stands_in_place_of_a_helper_is_quoted_in_one_printable_line(
    tmp_path: Path, stream: str
) -> None:
    library = tmp_path / "lib"
    library.mkdir()
    (library / HELPER_NAME).write_text(
        f"printf '\\033[31mno\\000\\nway\\342\\200\\256 für\\t%0900d' 7{stream}\nexit 3\n"
    )

    with pytest.raises(BadReply) as caught:
        RunClient(LocalTransport(tmp_path)).poll([])

    assert str(caught.value) == f"the helper did not answer (exit code 3): {'0' * 299}7"


def test_what_a_helper_says_against_it_is_printable() -> None:
    refused = HelperRefused("full\x1b", status=74, detail="\x00/srv\n\u202e" + "x" * 1000)

    assert (refused.word, refused.detail, str(refused)) == ("full", "x" * 300, "full " + "x" * 300)
    assert said(b"\x1b[1mgr\xc3\xbc\xc3\x9fe\xff\x00\r\n") == "[1mgrüße\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("said_there", ["nonsense", "1 2 3", "-1 0", "9" * 5000])
@pytest.mark.parametrize("ask", ["cancel", "remove", "collect_garbage"])
def test_an_answer_that_no_helper_gives_is_a_bad_reply(tmp_path: Path, ask: str, said_there: str) -> None:
    library = tmp_path / "lib"
    library.mkdir()
    answer = f'echo "BB1 $2"; echo "{said_there}"; echo "BBEND $2 0"\n'
    (library / HELPER_NAME).write_text(answer)
    client = RunClient(LocalTransport(tmp_path))

    attempt = str(uuid4())
    questions: dict[str, Callable[[], object]] = {
        "cancel": lambda: client.cancel(attempt),
        "remove": lambda: client.remove([attempt]),
        "collect_garbage": lambda: client.collect_garbage(days=1),
    }

    with pytest.raises(BadReply):
        questions[ask]()
