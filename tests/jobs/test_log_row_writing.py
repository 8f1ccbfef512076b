"""Rows of a log as each database takes them: whole, in their order, once."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction

from jobs.logs.row_writing import CHUNK_BYTES, cut, insert_rows
from jobs.models import LogChunk
from tests.factories import make_attempt

pytestmark = pytest.mark.django_db
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def test_cut_counts_the_line_feeds_of_each_piece() -> None:
    kept = b"a\n\n" + b"x" * (CHUNK_BYTES - 4) + b"\n" + b"\ny"

    assert [(bytes(data), lines) for data, lines in cut(kept)] == [(kept[:CHUNK_BYTES], 3), (b"\ny", 1)]
    assert cut(b"") == []


@pytest.mark.parametrize("kept", [b"\x00\xff\n'\\", b"\x00\xff\n'\\" * 50_000], ids=["small", "large"])
def test_rows_hold_all_that_was_given(kept: bytes) -> None:
    attempt = make_attempt()

    insert_rows(attempt.pk, cut(kept), offset=7, first_line=3, at=AT)

    rows = list(LogChunk.objects.order_by("offset"))
    assert b"".join(bytes(row.data) for row in rows) == kept
    at, line = 7, 3
    for row in rows:
        assert (row.attempt_id, row.offset, row.first_line, row.at) == (attempt.pk, at, line, AT)
        assert (row.size, row.lines) == (len(row.data), bytes(row.data).count(b"\n"))
        at, line = at + row.size, line + row.lines


@pytest.mark.parametrize("size", [1, 2 * CHUNK_BYTES])
def test_second_row_at_an_offset_is_refused_and_nothing_of_it_is_kept(size: int) -> None:
    attempt = make_attempt()
    insert_rows(attempt.pk, cut(b"first"), offset=CHUNK_BYTES, first_line=0, at=AT)

    with pytest.raises(IntegrityError), transaction.atomic():
        insert_rows(attempt.pk, cut(b"x" * size), offset=0, first_line=0, at=AT)
        insert_rows(attempt.pk, cut(b"y"), offset=CHUNK_BYTES, first_line=0, at=AT)

    assert [bytes(row.data) for row in LogChunk.objects.all()] == [b"first"]


def test_large_rows_are_compressed_the_fast_way_and_only_there() -> None:
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
        )
        expected = "lz4" if cursor.fetchone()[0] else "pglz"
        attempt = make_attempt()
        with transaction.atomic():
            insert_rows(attempt.pk, cut(b"line\n" * CHUNK_BYTES), offset=0, first_line=0, at=AT)

        cursor.execute("SELECT DISTINCT pg_column_compression(data) FROM jobs_logchunk")
        assert cursor.fetchall() == [(expected,)]
