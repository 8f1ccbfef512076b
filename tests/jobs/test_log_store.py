"""The log store: no byte twice or missing, whoever writes, and windows by offset and by line."""

import os
import random
import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from jobs.logs import store
from jobs.logs.row_writing import CHUNK_BYTES
from jobs.logs.store import Appended, LineWindow, LogGap
from jobs.models import Attempt, LogChunk
from jobs.states import ATTEMPT_TERMINAL, AttemptStatus
from tests.factories import make_attempt
from tests.jobs.log_writing import append_log


def read(attempt: Attempt, start: int = 0, end: int = 1 << 60) -> bytes:
    return b"".join(store.read_bytes(attempt, start=start, end=end))


@pytest.mark.django_db
def test_append_moves_both_offsets_and_keeps_the_bytes() -> None:
    attempt = make_attempt()
    at = datetime(2026, 1, 2, tzinfo=UTC)

    first = store.append(
        attempt.pk, lease_id=attempt.lease_id, source_read=0, log_size=0, kept=b"a ***\nb", consumed=10, at=at
    )
    second = store.append(
        attempt.pk, lease_id=attempt.lease_id, source_read=10, log_size=7, kept=b"\n", consumed=1, omitted=3
    )

    assert first == Appended(source_read=10, log_size=7, log_lines=1)
    assert second == Appended(source_read=11, log_size=8, log_lines=2)
    attempt.refresh_from_db()
    assert (attempt.source_read, attempt.log_size, attempt.log_lines, attempt.log_omitted) == (11, 8, 2, 3)
    assert [(c.offset, c.size, c.first_line, c.lines, bytes(c.data)) for c in LogChunk.objects.all()] == [
        (0, 7, 0, 1, b"a ***\nb"),
        (7, 1, 1, 1, b"\n"),
    ]
    assert LogChunk.objects.get(offset=0).at == at
    assert [
        (piece.offset, piece.data, piece.end) for piece in store.read_pieces(attempt, start=2, end=8)
    ] == [
        (2, b"***\nb", 7),
        (7, b"\n", 8),
    ]


@pytest.mark.django_db
def test_append_of_nothing_kept_moves_the_source_alone() -> None:
    attempt = make_attempt()

    appended = store.append(
        attempt.pk, lease_id=attempt.lease_id, source_read=0, log_size=0, kept=b"", consumed=5
    )

    assert appended == Appended(source_read=5, log_size=0, log_lines=0)
    assert not LogChunk.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong",
    [{"lease_id": uuid.uuid4()}, {"source_read": 1}, {"log_size": 1}, {"source_read": 4, "log_size": 4}],
    ids=["stale lease", "source moved", "log moved", "both moved"],
)
def test_append_of_another_than_the_holder_changes_nothing(wrong: dict[str, object]) -> None:
    attempt = make_attempt()
    arguments: dict[str, object] = {"lease_id": attempt.lease_id, "source_read": 0, "log_size": 0}

    appended = store.append(attempt.pk, **arguments | wrong, kept=b"late\n", consumed=5)  # type: ignore[arg-type]  # by name

    assert appended is None
    attempt.refresh_from_db()
    assert (attempt.source_read, attempt.log_size, attempt.log_lines) == (0, 0, 0)
    assert not LogChunk.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("status", sorted(ATTEMPT_TERMINAL))
def test_append_to_an_ended_attempt_changes_nothing(status: AttemptStatus) -> None:
    attempt = make_attempt(status=status)

    appended = store.append(
        attempt.pk, lease_id=attempt.lease_id, source_read=0, log_size=0, kept=b"late", consumed=4
    )

    assert appended is None
    assert store.size(attempt) == 0


@pytest.mark.django_db
@pytest.mark.parametrize(("consumed", "omitted"), [(-1, 0), (0, -1)])
def test_append_refuses_to_go_back(consumed: int, omitted: int) -> None:
    attempt = make_attempt()

    with pytest.raises(ValueError, match="never go back"):
        store.append(
            attempt.pk,
            lease_id=attempt.lease_id,
            source_read=0,
            log_size=0,
            kept=b"",
            consumed=consumed,
            omitted=omitted,
        )


@pytest.mark.django_db
def test_append_splits_into_chunks_with_true_line_numbers() -> None:
    attempt = make_attempt()
    data = b"".join(b"line %d\n" % number for number in range(20_000))

    append_log(attempt, data)

    assert [chunk.size for chunk in LogChunk.objects.all()] == [*[CHUNK_BYTES] * 3, 12_282]
    assert read(attempt) == data
    for chunk in LogChunk.objects.all():
        assert chunk.first_line == data[: chunk.offset].count(b"\n")
        assert chunk.lines == bytes(chunk.data).count(b"\n")


@pytest.mark.django_db
def test_read_bytes_gives_any_range() -> None:
    attempt = make_attempt()
    whole = bytes(range(256)) * 3
    append_log(attempt, whole[:1], whole[1:200], whole[200:201], whole[201:])

    for start in range(0, len(whole) + 2, 7):
        for end in (start, start + 1, start + 199, len(whole), len(whole) + 5):
            assert read(attempt, start, end) == whole[start:end]
    assert read(attempt, -5, 3) == whole[:3]
    assert store.size(attempt) == len(whole)


@pytest.mark.django_db
def test_read_bytes_takes_many_small_chunks_in_a_few_queries_of_bounded_size(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    attempt = make_attempt()
    append_log(attempt, *(b"%02d\n" % number for number in range(40)))

    with django_assert_num_queries(5):
        data = read(attempt)

    assert data == b"".join(b"%02d\n" % number for number in range(40))


@pytest.mark.django_db
def test_missing_bytes_are_an_error_and_never_silence() -> None:
    attempt = make_attempt()
    append_log(attempt, b"one\n", b"two\n", b"three\n")
    LogChunk.objects.filter(offset=4).delete()

    with pytest.raises(LogGap, match="no byte 4"):
        read(attempt)
    with pytest.raises(LogGap, match="no byte 5"):
        read(attempt, 5, 6)
    LogChunk.objects.filter(offset=0).delete()
    with pytest.raises(LogGap, match="no byte 0"):
        read(attempt)
    with pytest.raises(LogGap, match="no line 3"):
        store.read_lines(attempt, first_line=2, limit=1, max_bytes=100)


@pytest.mark.django_db
def test_read_lines_of_an_empty_log() -> None:
    attempt = make_attempt()

    assert store.read_lines(attempt, first_line=0, limit=10, max_bytes=100) == LineWindow([], 0, 0, 0)
    assert store.line_at(attempt, 0) == 0


@pytest.mark.django_db
def test_read_lines_counts_an_unended_last_line() -> None:
    attempt = make_attempt()
    append_log(attempt, b"one\ntw", b"o\n\nfo", b"ur")

    assert store.read_lines(attempt, first_line=0, limit=10, max_bytes=100) == LineWindow(
        ["one", "two", "", "four"], 0, 4, 4
    )
    assert store.read_lines(attempt, first_line=1, limit=2, max_bytes=100) == LineWindow(["two", ""], 1, 3, 4)
    assert store.read_lines(attempt, first_line=4, limit=2, max_bytes=100) == LineWindow([], 4, 4, 4)
    append_log(attempt, b"\n")
    assert store.read_lines(attempt, first_line=3, limit=2, max_bytes=100) == LineWindow(["four"], 3, 4, 4)


@pytest.mark.django_db
def test_read_lines_shows_bytes_that_are_not_text_as_replacement_characters() -> None:
    attempt = make_attempt()
    append_log(attempt, b"ok \xff\xfe caf\xc3", b"\xa9 \x00\x1b[31m\r\n\xe2\x82")

    window = store.read_lines(attempt, first_line=0, limit=10, max_bytes=100)

    assert window.lines == ["ok \ufffd\ufffd café \x00\x1b[31m\r", "\ufffd"]


@pytest.mark.django_db
def test_read_lines_stops_before_max_bytes_and_cuts_only_a_line_that_alone_is_over_it() -> None:
    attempt = make_attempt()
    append_log(attempt, b"aaaa\nbbbb\n" + b"c" * 30 + b"\nd\n")

    def window(first_line: int, max_bytes: int) -> tuple[list[str], int]:
        found = store.read_lines(attempt, first_line=first_line, limit=10, max_bytes=max_bytes)
        return found.lines, found.next_line

    assert window(0, 10) == (["aaaa", "bbbb"], 2)
    assert window(0, 9) == (["aaaa"], 1)
    assert window(0, 3) == (["aaa"], 1)
    assert window(2, 10) == (["c" * 10], 3)
    assert window(2, 30) == (["c" * 30], 3)
    assert window(2, 33) == (["c" * 30, "d"], 4)
    assert window(2, 32) == (["c" * 30], 3)


@pytest.mark.django_db
def test_read_lines_finds_lines_around_one_of_many_chunks() -> None:
    attempt = make_attempt()
    append_log(attempt, b"first\n", b"x" * (5 * CHUNK_BYTES), b"\nlast\n")

    assert store.read_lines(attempt, first_line=0, limit=1, max_bytes=100).lines == ["first"]
    assert store.read_lines(attempt, first_line=1, limit=9, max_bytes=100) == LineWindow(["x" * 100], 1, 2, 3)
    assert store.read_lines(attempt, first_line=2, limit=9, max_bytes=100) == LineWindow(["last"], 2, 3, 3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.binary(min_size=1, max_size=12).map(lambda b: b.replace(b"\x01", b"\n")), max_size=8),
    limit=st.integers(1, 4),
)
@pytest.mark.django_db
def test_line_windows_join_to_the_whole_log(parts: list[bytes], limit: int) -> None:
    attempt = make_attempt()
    append_log(attempt, *parts)
    whole = b"".join(parts)
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        expected.pop()

    found: list[str] = []
    while True:
        window = store.read_lines(attempt, first_line=len(found), limit=limit, max_bytes=1000)
        assert window.total_lines == len(expected)
        if not window.lines:
            break
        assert len(window.lines) <= limit
        found += window.lines

    assert found == [line.decode(errors="replace") for line in expected]
    for offset in range(len(whole) + 1):
        assert store.line_at(attempt, offset) == whole[:offset].count(b"\n")


@pytest.mark.django_db(transaction=True)
def test_two_followers_at_once_neither_lose_nor_repeat_a_byte() -> None:
    attempt = make_attempt()
    source = random.Random(7).randbytes(300_000)
    failures: list[BaseException] = []
    wins = [0, 0]
    rounds = [0, 0]
    both = threading.Barrier(2, timeout=60)

    def follow(number: int) -> None:
        choice = random.Random(number)
        try:
            while True:
                both.wait()  # both read the same row, then both append to it
                row = Attempt.objects.get(pk=attempt.pk)
                both.wait()
                if row.source_read == len(source):
                    return
                rounds[number] += 1
                part = source[row.source_read : row.source_read + choice.randrange(1, 9000)]
                appended = store.append(
                    row.pk,
                    lease_id=row.lease_id,
                    source_read=row.source_read,
                    log_size=row.log_size,
                    kept=part,
                    consumed=len(part),
                )
                wins[number] += appended is not None
        except BaseException as error:  # noqa: BLE001  # handed to the test's thread
            failures.append(error)
            both.abort()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    assert read(attempt) == source
    assert rounds == [sum(wins), sum(wins)]  # of two at once, one is kept
    attempt.refresh_from_db()
    assert (attempt.log_size, attempt.log_lines) == (len(source), source.count(b"\n"))


@pytest.mark.django_db
def test_a_window_deep_in_a_log_goes_by_the_index() -> None:
    attempt = make_attempt()
    append_log(attempt, b"one\n", b"two\n")
    query = LogChunk.objects.filter(attempt=attempt.pk, first_line__lt=2, lines__gt=0).order_by("-first_line")

    plan = query.values_list("offset", "first_line", "data")[:1].explain()

    if connection.vendor == "sqlite":
        assert "chunk_line_of_attempt" in plan
        assert "TEMP B-TREE" not in plan


@pytest.mark.django_db
def test_pieces_carry_the_time_at_which_they_were_kept() -> None:
    attempt = make_attempt()
    first = datetime(2026, 1, 2, tzinfo=UTC)
    for number in range(3):
        store.append(
            attempt.pk,
            lease_id=attempt.lease_id,
            source_read=number,
            log_size=number,
            kept=os.urandom(1),
            consumed=1,
            at=first + timedelta(seconds=number),
        )

    pieces = store.read_pieces(attempt, start=1, end=3)

    assert [piece.at for piece in pieces] == [first + timedelta(seconds=1), first + timedelta(seconds=2)]
