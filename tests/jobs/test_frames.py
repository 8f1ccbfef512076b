"""Frames: every byte once, in order, on character borders, within 64 KiB."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.logs.frames import FRAME_BYTES, Frame, Framer, whole_characters
from jobs.logs.ring import RING_BYTES, RING_PIECES, Ring
from jobs.logs.store import Piece

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def frames_of(parts: list[bytes], *, offset: int = 0, line: int = 1) -> list[Frame]:
    """Feed part by part, taking what there is after each; then the end."""
    framer = Framer(offset=offset, line=line)
    frames: list[Frame] = []
    for number, part in enumerate([*parts, b""]):
        if part:
            framer.feed(Piece(framer.end, part, AT + timedelta(seconds=number)))
        while (frame := framer.take(final=number == len(parts))) is not None:
            frames.append(frame)
    return frames


def test_a_frame_is_as_the_contract_has_it() -> None:
    (frame,) = frames_of([b"caf\xc3\xa9\n"], offset=7, line=3)

    assert frame == Frame(7, 13, 3, "café\n", AT)
    assert frame.as_json() == (
        '{"type":"log","offset":7,"next_offset":13,"line":3,"text":"café\\n","time":"2026-01-02T03:04:05+00:00"}'
    )


def test_a_character_cut_by_two_pieces_comes_whole_in_the_later_frame() -> None:
    frames = frames_of([b"a\xf0\x9f", b"\x98", b"\x80b\nc"])

    assert [(f.offset, f.next_offset, f.line, f.text, f.at.second) for f in frames] == [
        (0, 1, 1, "a", 5),
        (1, 8, 1, "😀b\nc", 5),
    ]


def test_the_beginning_of_a_character_at_the_very_end_is_shown() -> None:
    assert [(f.offset, f.next_offset, f.text) for f in frames_of([b"ok\xe2\x82"])] == [
        (0, 2, "ok"),
        (2, 4, "\ufffd"),
    ]


def test_lines_are_counted_from_the_line_of_the_first_byte() -> None:
    assert [(f.line, f.text) for f in frames_of([b"one\ntw", b"o\n\n", b"four"])] == [
        (1, "one\ntw"),
        (2, "o\n\n"),
        (4, "four"),
    ]


def test_a_frame_has_the_time_of_its_first_byte() -> None:
    framer = Framer(offset=0, line=1)
    framer.feed(Piece(0, b"a", AT))
    framer.feed(Piece(1, b"b" * 65_100, AT + timedelta(seconds=1)))
    framer.feed(Piece(65_101, b"c", AT + timedelta(seconds=2)))

    first, second = framer.take(final=False), framer.take(final=False)

    assert first is not None and second is not None
    assert (first.at, second.at) == (AT, AT + timedelta(seconds=1))


def test_a_gap_or_a_repeat_is_refused() -> None:
    framer = Framer(offset=5, line=1)
    framer.feed(Piece(5, b"abc", AT))

    for offset in (5, 7, 9):
        with pytest.raises(ValueError, match="does not follow 8"):
            framer.feed(Piece(offset, b"x", AT))


@pytest.mark.parametrize("filler", [b"\x00", b"\xff", b"a", b"\n", b'"', "é".encode(), "😀".encode()])
def test_no_frame_is_over_its_limit_whatever_json_makes_of_the_bytes(filler: bytes) -> None:
    data = filler * (300_000 // len(filler))

    frames = frames_of([data])

    assert all(len(frame.as_json().encode()) <= FRAME_BYTES for frame in frames)
    assert "".join(frame.text for frame in frames) == data.decode(errors="replace")
    assert [frame.next_offset for frame in frames[:-1]] == [frame.offset for frame in frames[1:]]


@given(
    st.lists(st.binary(min_size=1, max_size=6) | st.text(min_size=1, max_size=3).map(str.encode), max_size=12)
)
def test_frames_join_to_the_decoded_log_however_it_arrived(parts: list[bytes]) -> None:
    whole = b"".join(parts)

    frames = frames_of(parts)

    assert "".join(frame.text for frame in frames) == whole.decode(errors="replace")
    position = 0
    for frame in frames:
        assert frame.offset == position < frame.next_offset
        assert frame.text == whole[frame.offset : frame.next_offset].decode(errors="replace")
        assert frame.line == 1 + whole[: frame.offset].count(b"\n")
        assert json.loads(frame.as_json())["text"] == frame.text
        position = frame.next_offset
    assert position == len(whole)


@given(st.binary(max_size=8))
def test_whole_characters_holds_back_less_than_one_character(data: bytes) -> None:
    count = whole_characters(data)

    assert len(data) - 3 <= count <= len(data)
    assert data[:count].decode(errors="replace") + data[count:].decode(errors="replace") == data.decode(
        errors="replace"
    )


# ---- the ring -------------------------------------------------------------------------------------------


def test_the_ring_gives_any_part_of_what_it_holds() -> None:
    ring = Ring(10)
    for offset, data in ((10, b"abc"), (13, b"d"), (14, b"efgh")):
        ring.append(Piece(offset, data, AT))

    for offset in range(10, 19):
        for limit in range(1, 10):
            taken = ring.take(offset, max_bytes=limit)
            assert taken is not None
            assert b"".join(piece.data for piece in taken) == b"abcdefgh"[offset - 10 : offset - 10 + limit]
            assert [piece.offset for piece in taken][:1] == ([offset] if offset < 18 else [])
    assert ring.take(9, max_bytes=5) is None
    assert ring.take(19, max_bytes=5) is None
    with pytest.raises(ValueError, match="does not follow 18"):
        ring.append(Piece(17, b"x", AT))


def test_the_ring_is_bounded_in_bytes_and_in_pieces() -> None:
    ring = Ring(0)
    for number in range(100):
        ring.append(Piece(number * 65536, bytes(65536), AT))
    assert (ring.start, ring.end) == (100 * 65536 - RING_BYTES, 100 * 65536)

    for number in range(RING_PIECES + 5):
        ring.append(Piece(ring.end, bytes([number % 256]), AT))
    assert (ring.start, ring.end) == (100 * 65536 + 5, 100 * 65536 + RING_PIECES + 5)


def test_an_empty_ring_has_nothing_new_at_its_start_alone() -> None:
    assert Ring(5).take(5, max_bytes=9) == []
    assert Ring(5).take(4, max_bytes=9) is None
