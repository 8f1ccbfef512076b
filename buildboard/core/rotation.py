"""Brings stored credentials under the newest encryption key, column by column, while the board works.

Which columns hold credentials is the caller's knowledge; the keys are crypto.py's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from buildboard.core.crypto import DecryptionError, is_current, rotate

BATCH = 200


@dataclass
class Rotation:
    """How it went: `changed` are under the newest key now, `current` were before, `failed` cannot be read at all."""

    changed: int = 0
    current: int = 0
    failed: list[str] = field(default_factory=list)


def rotate_column(rows: QuerySet[Any], *, column: str, what: str) -> Rotation:
    """Encrypt every value of `column` anew that is not under the newest key; `what` names a row in `failed`.

    A value that was replaced meanwhile is left as it is: whoever wrote it used the newest key.
    """
    result = Rotation()
    for batch in _batches(rows.exclude(**{column: ""}), column):
        renewed = [(id, token, _renew(id, token, what=what, result=result)) for id, token in batch]
        with transaction.atomic():
            for id, token, new in renewed:
                if new is not None:
                    result.changed += rows.filter(pk=id, **{column: token}).update(**{column: new})
    return result


def _renew(id: object, token: str, *, what: str, result: Rotation) -> str | None:
    """The value under the newest key; None when there is nothing to write."""
    if is_current(token):
        result.current += 1
        return None
    try:
        return rotate(token, record=what)
    except DecryptionError:
        result.failed.append(f"{what} {id}")
        return None


def _batches(rows: QuerySet[Any], column: str) -> Iterator[list[tuple[Any, str]]]:
    """Ids and values, a few at a time, each once."""
    rows = rows.order_by("pk")
    batch = list(rows.values_list("pk", column)[:BATCH])
    while batch:
        yield batch
        batch = list(rows.filter(pk__gt=batch[-1][0]).values_list("pk", column)[:BATCH])
