"""Where a job stands in the queue as one number, which the database computes and keeps. Used by order.py."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, Func
from django.db.models.sql.compiler import SQLCompiler

LEVEL = 10  # between one priority and the next
_MS_OF_A_POINT = 1000 // LEVEL


def ageing_seconds() -> int:
    """How long a new job waits before it goes level with a fresh one of the next priority."""
    return int(settings.AGEING_SECONDS)


def rank_of(created_at: datetime, *, priority: int, ageing: int) -> int:
    """The rank of a job that is not stored yet, in milliseconds, as RankMilliseconds has it."""
    return round(created_at.timestamp() * 1000) - priority * ageing * _MS_OF_A_POINT


class RankMilliseconds(Func):
    """When the job was made, in milliseconds since 1970, less the head start that its priority gives it.

    It never changes while a job waits, though all grow older: an old job of low priority comes before a new urgent
    one as soon as that one's head start is less than the time between them. The smallest goes first.
    """

    arity = 3  # created_at, priority, ageing_seconds
    output_field = BigIntegerField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        """Days as SQLite counts them, in which 1970 begins at 2440587.5; it keeps times to the millisecond."""
        return self._less_head_start(
            compiler, "CAST(ROUND((julianday(%(created_at)s) - 2440587.5) * 86400000) AS INTEGER)"
        )

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        """An interval's seconds: those of a moment would not be immutable, as a stored column must be."""
        since_1970 = "(%(created_at)s - TIMESTAMPTZ '1970-01-01 00:00:00+00')"
        return self._less_head_start(
            compiler, f"CAST(ROUND(EXTRACT(EPOCH FROM {since_1970}) * 1000) AS bigint)"
        )

    def _less_head_start(self, compiler: SQLCompiler, made: str) -> tuple[str, list[Any]]:
        columns = [compiler.compile(one) for one in self.get_source_expressions()]
        (created_at, _), (priority, _), (ageing, _) = columns
        head_start = f"CAST(%(priority)s AS bigint) * %(ageing)s * {_MS_OF_A_POINT}"
        sql = f"({made} - {head_start})" % {"created_at": created_at, "priority": priority, "ageing": ageing}
        return sql, [value for _, params in columns for value in params]
