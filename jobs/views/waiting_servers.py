"""The table of a waiting job's servers: each with what it does not meet, by kind and in pages. It judges nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.http import HttpRequest

from jobs.queue.conditions import Kind
from jobs.queue.lasting import Range
from jobs.queue.verdicts import ServerVerdict, Verdict
from jobs.queue.waits import Since
from jobs.states import BADGES

A_PAGE = 200
FREE = "free"
_TABS = (
    ("", "All"),
    (FREE, "Free"),
    ("busy", "Busy"),
    ("offline", "Out of service"),
    ("impossible", "Impossible"),
)
_QUERY = "servers"
_BEGIN = "from"


@dataclass(frozen=True)
class ServerRow:
    """One server; `word` is free, busy, offline or impossible, `free_in` in how many seconds it has a slot again."""

    verdict: ServerVerdict
    word: str
    since: Callable[[], Since]
    free_in: Range | None = None

    @property
    def badge(self) -> str:
        """Its word; of a server that is out of service what it is: draining, in maintenance, offline."""
        if self.word != Kind.OFFLINE:
            return self.word
        states = [one.condition.value for one in self.verdict.refused if one.kind is Kind.OFFLINE]
        return next((one for one in states if one in BADGES), self.word)

    @property
    def findings(self) -> list[tuple[str, datetime | None]]:
        """Each sentence on what it does not meet, and since when; None where no look at the queue has kept that."""
        since = self.since() if self.verdict.refused else {}
        return [
            (reason, since.get((self.verdict.server.id, one.condition)))
            for one, reason in zip(self.verdict.refused, self.verdict.reasons, strict=True)
        ]


@dataclass(frozen=True)
class KindTab:
    """One choice of the filter and where it leads."""

    word: str
    count: int
    address: str
    current: bool


@dataclass(frozen=True)
class ServerTable:
    """One page of it. `first` is the number of its first row, from 1; the addresses are empty where nothing is."""

    rows: Sequence[ServerRow]
    tabs: Sequence[KindTab]
    total: int
    first: int
    before: str = ""
    behind: str = ""

    @property
    def last(self) -> int:
        """The number of its last row."""
        return self.first + len(self.rows) - 1

    @property
    def key(self) -> object:
        """What changes when the table looks different."""
        return [(one.verdict.server.name, one.verdict.refused, one.free_in) for one in self.rows], self.tabs


def table_of(
    request: HttpRequest,
    servers: Sequence[ServerVerdict],
    *,
    free_in: Mapping[UUID, Range],
    since: Callable[[], Since],
) -> ServerTable:
    """The servers, nearest first, as the address asks: `?servers=busy` those of a kind, `?from=201` the next page.

    `since` is not called before a row is shown that does not meet something.
    """
    chosen = request.GET.get(_QUERY, "")
    words = [FREE if one.kind is None else one.kind.value for one in servers]
    counts = {word: words.count(word) for word in set(words)} | {"": len(servers)}
    if chosen not in counts:
        chosen = ""
    found = [(one, word) for one, word in zip(servers, words, strict=True) if chosen in ("", word)]
    begin = _begin(request, len(found))
    end = begin + A_PAGE
    return ServerTable(
        rows=[_row(one, word, since, free_in) for one, word in found[begin:end]],
        tabs=[
            KindTab(label, counts[word], _address(request, word), word == chosen)
            for word, label in _TABS
            if counts.get(word) or word == ""
        ],
        total=len(found),
        first=begin + 1,
        before=_address(request, chosen, max(1, begin + 1 - A_PAGE)) if begin else "",
        behind=_address(request, chosen, end + 1) if end < len(found) else "",
    )


def _row(
    one: ServerVerdict, word: str, since: Callable[[], Since], free_in: Mapping[UUID, Range]
) -> ServerRow:
    return ServerRow(one, word, since, free_in.get(one.server.id) if one.verdict is Verdict.BUSY else None)


def _begin(request: HttpRequest, total: int) -> int:
    """Where the page begins, from 0; a number that is none, or too great, is the first page."""
    text = request.GET.get(_BEGIN, "")
    begin = int(text) - 1 if text.isascii() and text.isdecimal() and len(text) <= len(str(total)) else 0
    return begin if 0 <= begin < total else 0


def _address(request: HttpRequest, word: str, begin: int = 1) -> str:
    query = request.GET.copy()
    for name in ("v", _QUERY, _BEGIN):
        query.pop(name, None)
    query["view"] = "waiting"
    if word:
        query[_QUERY] = word
    if begin > 1:
        query[_BEGIN] = str(begin)
    return f"?{query.urlencode()}#conditions"
