"""A long log in parts: each exact and in its place, whatever the pieces that it comes in; what is cut is told."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers import log_frames
from servers.frames import ExitRecord, PollEntry, RunState
from servers.log_frames import iter_log
from servers.runs import RunClient
from servers.transport import BadReply
from tests.servers.durable import Durable

NONCE = "0123456789abcdef"
ID = "11111111-0000-4000-8000-000000000000"
DATA = bytes(range(256)) * 4
OFFSET = 7
REPLY = (
    f"hello\nBB1 {NONCE}\n".encode()
    + f"@ {ID} done {OFFSET} {len(DATA)} 9000 - - exited 3 9000 1700000002 left=0\n".encode()
    + DATA
    + f"BBEND {NONCE} 0\n".encode()
)
HEAD = PollEntry(
    ID, RunState.DONE, OFFSET, b"", 9000, exit=ExitRecord("exited", 3, 9000, 1700000002, left=False)
)


def parts_of(*chunks: bytes, part_bytes: int = 100) -> Iterator[PollEntry]:
    return iter_log(chunks, nonce=NONCE, id=ID, offset=OFFSET, part_bytes=part_bytes)


@given(cuts=st.lists(st.integers(0, len(REPLY)), max_size=20), part_bytes=st.integers(1, 2000))
def test_parts_are_exact_however_they_come(cuts: list[int], part_bytes: int) -> None:
    places = [0, *sorted(cuts), len(REPLY)]
    chunks = [REPLY[begin:end] for begin, end in pairwise(places)]

    found = list(parts_of(*chunks, part_bytes=part_bytes))

    expected = range(0, len(DATA), part_bytes)
    assert found == [replace(HEAD, offset=OFFSET + at, data=DATA[at : at + part_bytes]) for at in expected]


@pytest.mark.parametrize("length", range(0, len(REPLY), 7))
def test_reply_that_is_cut_gives_its_good_parts_and_then_an_error(length: int) -> None:
    whole = b""

    with pytest.raises(BadReply):
        for part in parts_of(REPLY[:length]):
            assert part.offset == OFFSET + len(whole)
            whole += part.data

    assert DATA.startswith(whole)
    assert len(whole) >= (length - REPLY.index(DATA)) // 100 * 100 or length < REPLY.index(DATA)


def test_reply_about_another_place_or_of_more_is_refused() -> None:
    for wrong in (
        REPLY.replace(ID.encode(), ID.replace("1", "2").encode()),
        REPLY.replace(b" 7 1024 ", b" 8 1024 "),
        REPLY.replace(b" 7 1024 ", b" 7 1023 "),
        REPLY.replace(b"BBEND", b"BBEN"),
    ):
        with pytest.raises(BadReply):
            list(parts_of(wrong))


def test_attempt_without_news_gives_one_part_that_says_so() -> None:
    reply = REPLY.replace(DATA, b"").replace(b" 7 1024 ", b" 7 0 ")

    assert list(parts_of(reply)) == [HEAD]


def test_slow_log_is_given_as_far_as_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_frames, "PART_SECONDS", 0.0)
    begin = REPLY.index(DATA)

    found = list(parts_of(REPLY[:begin], DATA[:10], DATA[10:30], REPLY[begin + 30 :], part_bytes=1 << 20))

    assert [len(part.data) for part in found] == [10, 20, len(DATA) - 30]


@pytest.mark.slow
def test_log_of_a_run_is_read_in_parts(durable: Durable) -> None:
    attempt = durable.start("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done")
    whole = durable.finish(attempt).data

    found = list(RunClient(durable.transport).read_log(attempt, offset=10, max_bytes=20_000, part_bytes=8192))

    assert [(part.offset, len(part.data)) for part in found] == [(10, 8192), (8202, 8192), (16394, 3616)]
    assert b"".join(part.data for part in found) == whole[10:20_010]
    assert {(part.state, part.size) for part in found} == {(RunState.DONE, len(whole))}
