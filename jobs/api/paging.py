"""Lists by keyset: a page begins behind the last row of the one before, whatever came in between."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Schema
from pydantic import Field

from buildboard.core.errors import ApiError
from buildboard.core.instants import utc_text

MAX_LIMIT = 200
_BIG = 1 << 63

Row = TypeVar("Row", bound=Model)


class Page(Schema):
    """Which part of a list is asked for."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Rows in the answer.")] = 50
    cursor: Annotated[
        str | None, Field(max_length=512, description="From the Link header of the page before.")
    ] = None


PageQuery = Query[Page]


@dataclass(frozen=True)
class Keyset:
    """The unique order of a list: these columns, all up or all down."""

    columns: tuple[str, ...]
    descending: bool = False


NEWEST_FIRST = Keyset(("created_at", "id"), descending=True)


def read_page(
    rows: QuerySet[Row], *, keyset: Keyset, page: Page, request: HttpRequest, response: HttpResponse
) -> list[Row]:
    """The rows of a page, with the way to the next one in the `Link` header. One query.

    Raises ApiError 422 for a cursor that this list did not give.
    """
    if page.cursor is not None:
        rows = rows.filter(
            _behind(rows.model, keyset=keyset, values=_decode(rows.model, page.cursor, keyset=keyset))
        )
    sign = "-" if keyset.descending else ""
    found = list(rows.order_by(*(sign + column for column in keyset.columns))[: page.limit + 1])
    if len(found) > page.limit:
        found.pop()
        query = request.GET.copy()
        query["cursor"] = _encode(found[-1], keyset=keyset)
        response["Link"] = f'<{_address(request)}?{query.urlencode()}>; rel="next"'
    return found


def _behind(model: type[Model], *, keyset: Keyset, values: list[Any]) -> Q:
    """Rows behind these values: (a, b) > (x, y), written so that the index on its first column is used."""
    word = "lt" if keyset.descending else "gt"
    first = keyset.columns[0]
    condition = Q()
    for number, column in enumerate(keyset.columns):
        equal = {name: values[at] for at, name in enumerate(keyset.columns[:number])}
        condition |= Q(**equal, **{f"{column}__{word}": values[number]})
    return Q(**{f"{first}__{word}e": values[0]}) & condition


def _encode(row: Model, *, keyset: Keyset) -> str:
    values = [getattr(row, column) for column in keyset.columns]
    texts = [utc_text(value) if hasattr(value, "tzinfo") else str(value) for value in values]
    return base64.urlsafe_b64encode(json.dumps(texts).encode()).decode().rstrip("=")


def _decode(model: type[Model], cursor: str, *, keyset: Keyset) -> list[Any]:
    refused = ApiError(
        422,
        "invalid",
        "Take the cursor from the Link header of the page before, unchanged.",
        errors=[{"field": "cursor", "message": "This is not a cursor of this list."}],
    )
    try:
        texts = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if not isinstance(texts, list) or len(texts) != len(keyset.columns):
            raise refused
        return [_value(model, column, text) for column, text in zip(keyset.columns, texts, strict=True)]
    except (ValueError, binascii.Error, ValidationError, OverflowError, RecursionError) as error:
        raise refused from error


def _value(model: type[Model], column: str, text: Any) -> Any:
    """One value of a cursor, within what a database compares. Raises ValueError or ValidationError."""
    if not isinstance(text, str) or "\0" in text:
        raise ValueError("not a text")
    text.encode()
    field: Any = model._meta.get_field(column)
    value = field.to_python(text)
    if hasattr(value, "tzinfo") and not (value.tzinfo and 1970 <= value.year <= 9990):
        raise ValueError("not a time")
    if isinstance(value, int) and not -_BIG <= value < _BIG:
        raise ValueError("not a number of ours")
    if value is None:
        raise ValueError("empty")
    return value


def _address(request: HttpRequest) -> str:
    """This list's address as people use it."""
    return (
        f"{settings.PUBLIC_URL}{request.path}"
        if settings.PUBLIC_URL
        else request.build_absolute_uri(request.path)
    )
