"""The text that is searched: what is shown, line for line, whichever way it was made."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.logs.lines import show_line
from jobs.logs.plain import SHOWN_BYTES, Block, LineBlocks, line_blocks, plain_line, plain_lines

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)
PARTS = st.one_of(
    st.text(max_size=6),
    st.characters(max_codepoint=0xFF),
    st.sampled_from(
        ["\n", "\n", "\r\n", "\r", "\b", "\x1b[", "\x1b]", "\x1b", "m", "K", "31", ";", "\x07", "\x00"]
    ),
    st.sampled_from(
        ["\x1b[31m", "\x1b[m", "\x1b[K", "\x1b[2K", "\x1b[3G", "\u202e", "\u2019", "\x85", "\u061c"]
    ),
)


@given(st.lists(PARTS, max_size=30).map("".join))
@example("a\x1b[\x1b[1m31mb\n")
@example("\x1b[1m\x1b[K\r\nx\x1b[Ky\rz")
def test_each_line_is_what_is_shown_of_it(text: str) -> None:
    lines = text.split("\n")
    expected = [re.sub(r"\x1b\[[0-9;]*m", "", show_line(line)[0].text) for line in lines]

    assert plain_lines(text.encode(), lower=False).decode().split("\n") == expected
    assert [plain_line(line.encode()) for line in lines] == expected


@given(st.binary(max_size=200))
def test_no_line_is_lost_whatever_the_bytes_are(data: bytes) -> None:
    plain = plain_lines(data, lower=True)

    assert plain.count(b"\n") == data.count(b"\n")
    assert plain == plain.lower()


@pytest.mark.parametrize(
    "unit", [b"\x1b[", b"\x1b]", b"\r", b"\x1b[31m", b"\x00", b"\xe2\x80\xae", b"\x1b[K\r", b"x\n\r"]
)
def test_a_mebibyte_of_hostile_bytes_ends(unit: bytes) -> None:
    """Anything quadratic would take hours here and end in the test's time-out."""
    data = unit * ((1 << 20) // len(unit))

    assert plain_lines(data, lower=True).count(b"\n") == data.count(b"\n")


def test_blocks_are_whole_lines_with_the_times_at_which_they_began() -> None:
    blocks = LineBlocks()

    assert blocks.feed(b"on", at=NOW) is None
    assert blocks.feed(b"e\ntwo\nthr", at=LATER) == Block(0, b"one\ntwo\n", NOW, LATER)
    assert blocks.rest() == Block(2, b"thr", LATER, LATER)
    assert blocks.feed(b"ee\n", at=LATER) == Block(2, b"three\n", LATER, LATER)
    assert blocks.rest() is None


def test_an_endless_line_is_held_no_longer_than_it_is_looked_at() -> None:
    blocks = LineBlocks()
    for _ in range(100):
        assert blocks.feed(b"x" * SHOWN_BYTES, at=NOW) is None

    rest = blocks.rest()
    assert rest is not None
    assert len(rest.data) == SHOWN_BYTES + 1
    after = blocks.feed(b"\nnext\n", at=NOW)
    assert after is not None
    assert (after.first_line, after.data[-6:]) == (0, b"\nnext\n")


@given(
    st.lists(st.binary(max_size=9).map(lambda part: part.replace(b"\x01", b"\n")), max_size=9),
    st.integers(1, 9),
)
def test_blocks_join_to_all_lines(parts: list[bytes], joined: int) -> None:
    blocks = list(line_blocks(((part, NOW) for part in parts), joined_bytes=joined))

    assert b"".join(block.data for block in blocks) == b"".join(parts)
    lines = 0
    for block in blocks:
        assert block.first_line == lines
        lines += block.data.count(b"\n")
