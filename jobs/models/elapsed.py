"""The time between two columns as an expression that the database can keep and index."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, Func
from django.db.models.sql.compiler import SQLCompiler


class ElapsedMilliseconds(Func):
    """From the first time to the second, in whole milliseconds; null while one of them is.

    Written out for each database: Django's own difference of times is a function of its connection to SQLite, which
    no other program that opens the file would have, so no stored column may use it.
    """

    arity = 2
    output_field = BigIntegerField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        """Days as SQLite counts them; it keeps times to the millisecond."""
        template = "CAST(ROUND((julianday(%(end)s) - julianday(%(start)s)) * 86400000) AS INTEGER)"
        return self._between(compiler, template)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        """An interval's seconds."""
        return self._between(
            compiler, "CAST(ROUND(EXTRACT(EPOCH FROM (%(end)s - %(start)s)) * 1000) AS bigint)"
        )

    def _between(self, compiler: SQLCompiler, template: str) -> tuple[str, list[Any]]:
        start, end = (compiler.compile(one) for one in self.get_source_expressions())
        return template % {"start": start[0], "end": end[0]}, [*end[1], *start[1]]
