"""Puts the rows of LogChunk into the database, in the way that many large ones cost each database least.

Through models a large log takes twice the processor time on SQLite, and on PostgreSQL, to which it would travel as
statements of hexadecimal digits, several times the whole. It is not in charge of transactions and offsets (store.py).
"""

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from jobs.logs.sgr import lead_after
from jobs.models import LogChunk

CHUNK_BYTES = 64 * 1024
Cut = Sequence[tuple[memoryview, int]]
_Row = tuple[Any, ...]  # in the order of the columns
_COLUMNS = ("attempt_id", "offset", "size", "first_line", "lines", "sgr", "data", "at")
_POSTGRES_TYPES = ("uuid", "int8", "int4", "int8", "int4", "text", "bytea", "timestamptz")
# PostgreSQL compresses what is large, by default in a way that takes a multiple of the time. Not every server was
# built with this one; the setting is of the transaction alone.
_COMPRESS_FAST = (
    "SELECT set_config(name, 'lz4', true) FROM pg_settings"
    " WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)"
)


def cut(kept: bytes) -> Cut:
    """These bytes in pieces of at most 64 KiB, each with the number of LFs in it. Nothing is copied."""
    whole = memoryview(kept)
    return [
        (whole[at : at + CHUNK_BYTES], kept.count(b"\n", at, at + CHUNK_BYTES))
        for at in range(0, len(kept), CHUNK_BYTES)
    ]


def insert_rows(
    attempt_id: uuid.UUID, pieces: Cut, *, offset: int, first_line: int, at: datetime, lead: str = ""
) -> str:
    """A row a piece, the first at `offset` and in the colours of `lead`; what sets the colours behind the last.

    Raises IntegrityError where there is a row. A transaction must be open.
    """
    leads = [lead]
    for data, _ in pieces:
        leads.append(lead_after(leads[-1], bytes(data)))
    _insert(attempt_id, pieces, leads, offset=offset, first_line=first_line, at=at)
    return leads[-1]


def _insert(
    attempt_id: uuid.UUID, pieces: Cut, leads: Sequence[str], *, offset: int, first_line: int, at: datetime
) -> None:
    if connection.vendor == "postgresql":
        rows = _rows(attempt_id, pieces, leads, offset=offset, first_line=first_line, at=at)
        _copy(rows, large=len(pieces) > 1)
        return
    as_id = LogChunk._meta.get_field("attempt").get_db_prep_save(attempt_id, connection)
    as_time = LogChunk._meta.get_field("at").get_db_prep_save(at, connection)
    marks = ", ".join("%s" for _ in _COLUMNS)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {_table()} VALUES ({marks})",  # noqa: S608  # names alone
            list(_rows(as_id, pieces, leads, offset=offset, first_line=first_line, at=as_time)),
        )


def _rows(
    attempt_id: Any, pieces: Cut, leads: Sequence[str], *, offset: int, first_line: int, at: Any
) -> Iterator[_Row]:
    for (data, lines), lead in zip(pieces, leads, strict=False):  # the last lead is for what comes
        yield attempt_id, offset, len(data), first_line, lines, lead, data, at
        offset += len(data)
        first_line += lines


def _copy(rows: Iterator[_Row], *, large: bool) -> None:
    with connection.cursor() as cursor, connection.wrap_database_errors:
        if large:
            cursor.execute(_COMPRESS_FAST)
        with cursor.copy(f"COPY {_table()} FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(_POSTGRES_TYPES)
            for row in rows:
                copy.write_row(row)


def _table() -> str:
    """The table with its `_COLUMNS`, as SQL."""
    quote = connection.ops.quote_name
    return f"{quote(LogChunk._meta.db_table)} ({', '.join(map(quote, _COLUMNS))})"
