"""Frames: what is cut, foreign or forged is refused; what is whole comes out exactly."""

import subprocess
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.frames import (
    ExitRecord,
    PhaseMark,
    PollEntry,
    RunLimits,
    RunListing,
    RunState,
    build_submission,
    parse_answer,
    parse_list,
    parse_poll,
    unframe,
)
from servers.transport import BadReply, HelperRefused

NONCE = "0123456789abcdef"
FIRST, SECOND, THIRD = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "123")
REQUESTS = [(FIRST, 5), (SECOND, 0), (THIRD, 0)]
DATA = b"\xff\0BBEND " + NONCE.encode() + b" 0\n@ x\n"
POLL = (
    f"BB1 {NONCE}\n".encode()
    + f"@ {FIRST} running 5 {len(DATA)} 900 building:1700000001:17 abc123 \n".encode()
    + DATA
    + f"@ {SECOND} done 0 0 12 - - exited 7 12 1700000002 left=0\n".encode()
    + f"@ {THIRD} absent 0 0 0 - -\n".encode()
    + f"BBEND {NONCE} 0\n".encode()
)
PARSED = (
    PollEntry(
        FIRST,
        RunState.RUNNING,
        5,
        DATA,
        900,
        phase=PhaseMark("building", 1700000001, 17),
        commit="abc123",
    ),
    PollEntry(SECOND, RunState.DONE, 0, b"", 12, exit=ExitRecord("exited", 7, 12, 1700000002, left=False)),
    PollEntry(THIRD, RunState.ABSENT, 0, b"", 0),
)


def answer(body: str, *, status: int = 0) -> bytes:
    """A reply of lines."""
    return f"BB1 {NONCE}\n{body}BBEND {NONCE} {status}\n".encode()


def test_poll_is_parsed() -> None:
    assert parse_poll(POLL, nonce=NONCE, requests=REQUESTS) == PARSED


@pytest.mark.parametrize("length", range(len(POLL)))
def test_poll_cut_at_any_byte_is_refused(length: int) -> None:
    with pytest.raises(BadReply):
        parse_poll(POLL[:length], nonce=NONCE, requests=REQUESTS)


def test_poll_ignores_noise_before_and_after() -> None:
    noisy = b"Welcome!\nBB1 another\nBBEND \xff no newline:" + POLL + b"bye\n"

    assert parse_poll(noisy, nonce=NONCE, requests=REQUESTS) == PARSED


@pytest.mark.parametrize(
    "requests",
    [
        REQUESTS[:2],
        [*REQUESTS, (FIRST, 5)],
        [REQUESTS[1], REQUESTS[0], REQUESTS[2]],
        [(FIRST, 6), *REQUESTS[1:]],
        [],
    ],
)
def test_poll_of_something_else_is_refused(requests: Sequence[tuple[str, int]]) -> None:
    with pytest.raises(BadReply):
        parse_poll(POLL, nonce=NONCE, requests=requests)


def test_poll_with_another_nonce_is_refused() -> None:
    with pytest.raises(BadReply):
        parse_poll(POLL, nonce="f" * 16, requests=REQUESTS)


def test_poll_with_the_wrong_count_is_refused() -> None:
    for wrong in (len(DATA) - 1, len(DATA) + 1, 10**9):
        forged = POLL.replace(b" 5 %d " % len(DATA), b" 5 %d " % wrong)
        with pytest.raises(BadReply):
            parse_poll(forged, nonce=NONCE, requests=REQUESTS)


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=10**12))
def test_poll_keeps_any_bytes(data: bytes, offset: int) -> None:
    reply = f"BB1 {NONCE}\n@ {FIRST} running {offset} {len(data)} {offset + len(data)} - - \n".encode()

    parsed = parse_poll(
        reply + data + f"BBEND {NONCE} 0\n".encode(), nonce=NONCE, requests=[(FIRST, offset)]
    )[0]

    assert (parsed.data, parsed.size) == (data, offset + len(data))


@given(st.binary(max_size=120))
def test_anything_else_is_refused_and_never_crashes(noise: bytes) -> None:
    for reply in (noise, f"BB1 {NONCE}\n".encode() + noise):
        with pytest.raises(BadReply):
            parse_poll(reply, nonce=NONCE, requests=REQUESTS)


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 19, "\N{SUPERSCRIPT TWO}", "-1", "+1", "1_0"])
def test_poll_with_a_number_of_no_log_is_refused(number: str) -> None:
    for place in (b" 5 %d 900 " % len(DATA), b" 0 0 12 "):
        for at in (2, 3):
            words = place.split(b" ")
            words[at] = number.encode()
            forged = POLL.replace(place, b" ".join(words))
            with pytest.raises(BadReply):
                parse_poll(forged, nonce=NONCE, requests=REQUESTS)


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 19, "x"])
def test_phase_and_commit_that_a_build_forged_are_none(number: str) -> None:
    forged = POLL.replace(b":1700000001:17 abc123 ", f":{number}:17 {'a' * 65} ".encode())

    entry = parse_poll(forged, nonce=NONCE, requests=REQUESTS)[0]

    assert (entry.phase, entry.commit, entry.data) == (None, None, DATA)


def test_answer_gives_its_words_or_its_refusal() -> None:
    assert parse_answer(b"noise" + answer("launched 1 2 x\n"), nonce=NONCE) == ["launched", "1", "2", "x"]
    with pytest.raises(HelperRefused) as refused:
        parse_answer(answer("notstarted sh: no room\n", status=75), nonce=NONCE)
    assert (refused.value.word, refused.value.detail, refused.value.status) == (
        "notstarted",
        "sh: no room",
        75,
    )
    with pytest.raises(HelperRefused, match="usage"):
        parse_answer(answer("", status=64), nonce=NONCE)


@pytest.mark.parametrize(
    "reply", [answer("launched 1 2 x\n"), answer("", status=64), answer("a\nb\n", status=75)]
)
def test_answer_cut_at_any_byte_is_refused(reply: bytes) -> None:
    for length in range(len(reply)):
        with pytest.raises(BadReply):
            unframe(reply[:length], nonce=NONCE)


def test_list_is_parsed() -> None:
    reply = answer(f"{FIRST} done exited 3 10 99 left=1\n{SECOND} orphan \n")

    assert parse_list(reply, nonce=NONCE) == (
        RunListing(FIRST, RunState.DONE, ExitRecord("exited", 3, 10, 99, left=True)),
        RunListing(SECOND, RunState.ORPHAN, None),
    )
    assert parse_list(answer(""), nonce=NONCE) == ()


def test_forged_exit_record_is_damaged_and_not_believed() -> None:
    for record in (
        *("all is well", "exited x 1 2 left=0", "exited 0 1 2 left=0 more", ""),
        *(f"exited {code} 1 2 left=0" for code in (256, -2, "9" * 4000, "\N{SUPERSCRIPT TWO}", "1_0")),
        *(f"exited 0 {size} 2 left=0" for size in (-1, "9" * 19, "9" * 4000)),
        *(f"exited 0 1 {epoch} left=0" for epoch in (-1, "9" * 19)),
        f"{'x' * 33} 0 1 2 left=0",
        "<script> 0 1 2 left=0",
    ):
        (run,) = parse_list(answer(f"{FIRST} done {record}\n"), nonce=NONCE)
        assert run.exit == ExitRecord("damaged", -1, 0, 0, left=True)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
def test_environment_comes_through_a_shell_as_it_went_in(value: str) -> None:
    sizes, payload = build_submission(b"", environment={"VALUE": value}, limits=RunLimits())
    variables = payload[int(sizes[0]) :]

    told = subprocess.run(
        ["dash", "-s"], input=variables + b'printf %s "$VALUE"', capture_output=True, check=True
    )

    assert told.stdout == value.encode()


def test_submission_is_three_parts_in_one_piece() -> None:
    limits = RunLimits(wall_seconds=1, idle_seconds=2, grace_seconds=3, disk_floor_kib=4)

    sizes, payload = build_submission(b"\xffscript", environment={"A": "b'c"}, limits=limits)

    spec, variables, script = (
        b"WALL=1\nIDLE=2\nGRACE=3\nDISKMIN=4\n",
        b"command export A='b'\\''c'\n:\n",
        b"\xffscript",
    )
    assert payload == spec + variables + script
    assert sizes == [str(len(part)) for part in (spec, variables, script)]


@pytest.mark.parametrize(
    "environment", [{"A-B": "x"}, {"": "x"}, {"1A": "x"}, {"IFS": "x"}, {"A": "x\0y"}, {"A": "\ud800"}]
)
def test_environment_that_no_shell_could_carry_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"environment|NUL|surrogates"):
        build_submission(b"", environment=environment, limits=RunLimits())
