"""Pages of a list of jobs by keyset, in each of its orders: a page deep in a million costs what the first one costs.

A page is read in pieces, each of which begins at its place in an index: what has the same value as the last row and
comes behind it, what has a value further on, and at the end, in either direction, what has no value at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Q
from django.http import QueryDict

from jobs.models import BuildJob
from jobs.models.job import BuildJobQuerySet

PAGE_SIZE = 50
NEWEST = "-created"


@dataclass(frozen=True)
class Order:
    """One order: by `column` (none: by age alone), then by age. Each part runs down when its flag says so."""

    word: str
    column: str = ""
    value_down: bool = False
    age_down: bool = True

    @property
    def reversed(self) -> "Order":
        """From the other end."""
        return Order(self.word, self.column, not self.value_down, not self.age_down)

    @property
    def valued(self) -> Q:
        """Which jobs have a value to be sorted by."""
        return {
            "server_name": Q(server_name__gt=""),
            "ran_ms": Q(ran_ms__isnull=False),
        }.get(self.column, Q())

    @property
    def valueless(self) -> Q | None:
        """Which have none and come last; None: each has one."""
        return {"server_name": Q(server_name=""), "ran_ms": Q(ran_ms__isnull=True)}.get(self.column)

    def by(self, *, with_value: bool) -> list[str]:
        """What the database is to sort by."""
        names = [_signed(self.column, down=self.value_down)] if with_value else []
        return [*names, _signed("created_at", down=self.age_down), _signed("id", down=self.age_down)]


def _signed(column: str, *, down: bool) -> str:
    return f"-{column}" if down else column


_FIRST = (
    ("created", Order("oldest first", age_down=False)),
    ("-status", Order("running first", "status", value_down=True)),
    ("server", Order("server, A to Z", "server_name")),
    ("-duration", Order("longest first", "ran_ms", value_down=True)),
)
_OTHER_WORDS = {
    "created": "newest first",
    "-status": "cancelled first",
    "server": "server, Z to A",
    "-duration": "shortest first",
}


def _other(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _orders() -> dict[str, Order]:
    found: dict[str, Order] = {}
    for name, order in _FIRST:
        turned = order.reversed
        found[name] = order
        found[_other(name)] = Order(_OTHER_WORDS[name], turned.column, turned.value_down, turned.age_down)
    return {NEWEST: found.pop(NEWEST), **found}


ORDERS = _orders()
"""By what an address calls them; the first is the usual one."""


@dataclass(frozen=True)
class Cursor:
    """The place of one row: its value (None: it has none, or the order asks for none), its age and id."""

    at: datetime
    id: UUID
    value: str | int | None = None


@dataclass(frozen=True)
class Page:
    """Some jobs in order, and the cursors of its neighbours (empty: there is none)."""

    jobs: list[BuildJob]
    newer: str = ""
    older: str = ""


def read_page(jobs: BuildJobQuerySet, *, order: Order, query: QueryDict) -> Page:
    """The page behind `before` or ahead of `after`; what is no cursor gives the first page.

    One query, up to three where values change within the page.
    """
    ahead, behind = (read_cursor(query.get(name, ""), order=order) for name in ("after", "before"))
    start = ahead or behind
    rows = _read(jobs, order=order.reversed if ahead else order, start=start, backwards=ahead is not None)
    found, has_more = rows[:PAGE_SIZE], len(rows) > PAGE_SIZE
    if ahead:
        found.reverse()
    first, last = (write_cursor(found[at], order=order) if found else "" for at in (0, -1))
    if ahead:
        return Page(found, newer=first if has_more else "", older=last)
    return Page(found, newer=first if behind else "", older=last if has_more else "")


def _read(jobs: BuildJobQuerySet, *, order: Order, start: Cursor | None, backwards: bool) -> list[BuildJob]:
    """One row more than a page."""
    rows: list[BuildJob] = []
    for condition, with_value in _pieces(order, start=start, backwards=backwards):
        piece = jobs.filter(condition).order_by(*order.by(with_value=with_value))
        rows += piece[: PAGE_SIZE + 1 - len(rows)]
        if len(rows) > PAGE_SIZE:
            break
    return rows


def _pieces(order: Order, *, start: Cursor | None, backwards: bool) -> Iterator[tuple[Q, bool]]:
    """Conditions of the pieces in which the rows follow each other, and whether each is sorted by the value."""
    if not order.column:
        yield (_behind(order, start) if start else Q()), False
        return
    valueless = order.valueless
    is_valueless = start is not None and start.value is None
    if start is None:
        yield order.valued, True
    elif not is_valueless:
        yield Q(**{order.column: start.value}) & _behind(order, start), False
        further = "lt" if order.value_down else "gt"
        yield order.valued & Q(**{f"{order.column}__{further}": start.value}), True
    if valueless is None:
        return
    if start is not None and is_valueless:
        yield valueless & _behind(order, start), False
        if backwards:
            yield order.valued, True
    elif not backwards:
        yield valueless, False


def _behind(order: Order, start: Cursor) -> Q:
    """Older, or newer, than the row at the cursor. The first part gives the index its place, the second its rest."""
    further = "lt" if order.age_down else "gt"
    within = Q(**{f"created_at__{further}": start.at}) | Q(**{f"id__{further}": start.id})
    return Q(**{f"created_at__{further}e": start.at}) & within


def write_cursor(job: BuildJob, *, order: Order) -> str:
    """The place of a job in an order, for an address."""
    place = f"{job.created_at.astimezone(UTC).strftime('%Y%m%dT%H%M%S.%f')}-{job.pk.hex}"
    value = getattr(job, order.column) if order.column else None
    return place if value in (None, "") else f"{place}-{value}"


def read_cursor(text: str, *, order: Order) -> Cursor | None:
    """What `write_cursor` wrote; None for anything else."""
    at, _, rest = text.partition("-")
    job_id, has_value, value = rest.partition("-")
    try:
        place = Cursor(datetime.strptime(at, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC), UUID(hex=job_id))
        if not has_value or not order.column:
            return place
        known = int(value) if order.column == "ran_ms" else value.replace("\0", "")
    except ValueError:
        return None
    if isinstance(known, int) and abs(known) >= 1 << 63:
        return None
    return Cursor(place.at, place.id, known)
