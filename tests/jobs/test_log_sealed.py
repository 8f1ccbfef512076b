"""A log is read the same from either form, rows or a sealed object, and while the one becomes the other."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.logs import objects, rows, seal, sealed, store
from jobs.logs.outline import read_outline
from jobs.logs.seal import seal_log
from jobs.logs.search import search
from jobs.logs.store import Place
from jobs.logs.windows import read_window
from jobs.models import Attempt, LogChunk, SealedLog
from tests.jobs.log_forms import ended_with, is_sealed, sealed_twin, whole

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_object_left")]
ESCAPES = [
    b"\x1b[31m",
    b"\x1b[0m",
    b"\x1b[1;4",
    b"m",
    b"\x1b[K",
    b"\x1b[2K",
    b"\xc3",
    b"\xa9",
    b"\xe2\x80\xae",
]
WORDS = [b"a", b"Ab", b"error: ", b"warning: ", b"--- step", b"::group::x"]
TEXT = st.sampled_from([b"\n", b"\n", b"\n", b"\r", b"\r\n", b"\x00", b"\x08", *ESCAPES, *WORDS])


def pieces_of(attempt: Attempt, start: int, end: int) -> list[tuple[int, bytes, Any]]:
    """Byte by byte, since pieces may be cut in other places."""
    return [
        (piece.offset + index, piece.data[index : index + 1], piece.at)
        for piece in store.read_pieces(attempt, start=start, end=end)
        for index in range(len(piece.data))
    ]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.one_of(st.binary(max_size=9), st.lists(TEXT, max_size=9).map(b"".join)), max_size=9),
    block=st.sampled_from([3, 7, 64]),
)
def test_either_form_is_read_the_same(parts: list[bytes], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "BLOCK_BYTES", block)
        live = ended_with(parts)
        twin = sealed_twin(live)
        size, lines = live.log_size, live.log_lines

        assert pieces_of(twin, 0, size) == pieces_of(live, 0, size)
        for offset in range(size + 1):
            assert store.line_at(twin, offset) == store.line_at(live, offset)
            assert pieces_of(twin, offset, min(offset + 5, size)) == pieces_of(
                live, offset, min(offset + 5, size)
            )
        for line in range(lines + 1):
            assert store.locate_line(twin, line) == store.locate_line(live, line)
            assert window(twin, line) == window(live, line)
            wanted = {"first_line": line, "limit": 2, "max_bytes": 9}
            assert store.read_lines(twin, **wanted) == store.read_lines(live, **wanted)
        for text in ("a", "ab", "é", "error", "x1b"):
            assert search(twin, text=text) == search(live, text=text)
        assert read_outline(twin) == read_outline(live)


def window(attempt: Attempt, line: int) -> Any:
    return read_window(attempt, first_line=line, limit=3, is_live=False)


def test_a_window_deep_in_a_sealed_log_reads_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = ended_with([b"\x1b[32m" + b"".join(b"line %07d\n" % number for number in range(100_000))])
    assert seal_log(attempt.pk)
    read: list[int] = []
    original = sealed.Sealed._block

    def counted(self: sealed.Sealed, number: int) -> Any:
        read.append(number)
        return original(self, number)

    monkeypatch.setattr(sealed.Sealed, "_block", counted)

    found = read_window(attempt, first_line=76_543, limit=2, is_live=False)

    assert [line.shown.text for line in found.lines] == ["\x1b[0;32mline 0076543", "\x1b[0;32mline 0076544"]
    assert set(read) == {76_543 * 13 // sealed.BLOCK_BYTES}


# ---- while it is sealed -----------------------------------------------------------------------------------


def test_a_reader_goes_on_in_the_other_form_without_gap_or_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [bytes([65 + number % 26]) * 1000 + b"\n" for number in range(40)]
    attempt = ended_with(parts)
    monkeypatch.setattr(rows, "_MOST_ROWS", 4)

    found = b""
    for piece in store.read_pieces(attempt, start=500, end=attempt.log_size):
        if not found:
            assert seal_log(attempt.pk)
        assert piece.offset == 500 + len(found)
        found += piece.data

    assert found == b"".join(parts)[500:]


@pytest.mark.parametrize("name", ["line_at", "locate_line"])
def test_lines_are_found_while_their_rows_go(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    attempt = ended_with([b"one\n", b"two\n", b"three"])
    original: Callable[..., Any] = getattr(rows, name)

    def sealed_meanwhile(attempt_id: Any, wanted: int) -> Any:
        seal_log(attempt.pk)
        return original(attempt_id, wanted)

    monkeypatch.setattr(rows, name, sealed_meanwhile)

    assert store.line_at(attempt, 9) == 2
    assert store.locate_line(attempt, 2) == Place(8, store.locate_line(attempt, 0).sgr)
    assert is_sealed(attempt)


def test_rows_that_go_little_by_little_mislead_nobody() -> None:
    attempt = ended_with([b"one\n", b"two\n", b"three\n", b"four\n"])
    assert seal_log(sealed_twin(attempt).pk) is False
    key = objects.new_key(attempt.pk)
    draft = SealedLog.objects.create(attempt=attempt, storage_key=key)
    assert seal._publish(attempt, draft, seal._write(attempt, draft))
    LogChunk.objects.bulk_create(
        [
            LogChunk(attempt=attempt, offset=0, size=4, first_line=0, lines=1, data=b"one\n"),
            LogChunk(attempt=attempt, offset=4, size=4, first_line=1, lines=1, data=b"two\n"),
        ]
    )

    assert whole(attempt) == b"one\ntwo\nthree\nfour\n"
    assert [store.locate_line(attempt, line).offset for line in range(5)] == [0, 4, 8, 14, 19]
    assert [store.line_at(attempt, offset) for offset in (3, 4, 8, 13, 14, 19)] == [0, 1, 2, 2, 3, 4]
    assert seal_log(attempt.pk) is False
    assert is_sealed(attempt)
