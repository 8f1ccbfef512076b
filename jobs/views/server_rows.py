"""The rows of the list of servers: read in a constant number of queries, filtered by what the address asks."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from django.utils import timezone

from jobs.queue.estimate import Foresight
from jobs.queue.lasting import Range
from jobs.views.filters import Filters
from jobs.views.server_looks import (
    BEATS_MINUTES,
    MOST_TOOLS,
    Meter,
    Slots,
    beats_of,
    is_out,
    is_well,
    meters_of,
    needs_attention,
    quarantine_words,
    states_of,
)
from servers.architectures import canonical_architecture
from servers.fleet import why_it_takes_none
from servers.models import BuildServer, ProbeSample, Toolchain

MOST_SHOWN = 200
TABS: dict[str, tuple[str, Callable[[BuildServer], bool]]] = {
    "online": ("Online", is_well),
    "attention": ("Needs attention", needs_attention),
    "out": ("Taken out", is_out),
}


@dataclass(frozen=True)
class FleetSelection(Filters):
    """Which servers the reader asked to see."""

    STATUSES = TABS
    LONGEST: ClassVar[Mapping[str, int]] = {**Filters.LONGEST, "group": 64, "label": 330}

    group: str = ""
    label: str = ""

    @property
    def is_filtered(self) -> bool:
        """Whether anything but everything is asked for."""
        return super().is_filtered or bool(self.group or self.label)

    def fits(self, server: BuildServer, *, tools: Iterable[str]) -> bool:
        """Whether a server is among those asked for. Every word of the search must be found somewhere.

        A label is asked for by its name alone, or as `name=value`.
        """
        if self.status and not TABS[self.status][1](server):
            return False
        if self.architecture and _canonical(self.architecture) not in server.architectures:
            return False
        labels = [f"{key}={value}" for key, value in server.labels.items()]
        if self.group and self.group != server.group:
            return False
        if self.label and self.label not in {*labels, *server.labels}:
            return False
        texts = [server.name, server.hostname, server.group, *server.architectures, *labels, *tools]
        haystack = "\n".join(texts).lower()
        return all(word in haystack for word in self.search.lower().split())


def _canonical(name: str) -> str:
    try:
        return canonical_architecture(name)
    except ValueError:
        return name


@dataclass(frozen=True)
class ServerRow:
    """One server as the list shows it: `takes_none` why it takes no build, `free_in` when it has a slot again."""

    server: BuildServer
    states: list[str]
    quarantine: str
    slots: Slots
    takes_none: str
    free_in: Range | None
    meters: list[Meter]
    tools: list[str]
    more_tools: int
    beats: list[str]


def read_tools() -> dict[UUID, list[str]]:
    """What builds on each server: names with their first version number, such as `gcc-12`; one query."""
    rows = Toolchain.objects.order_by("name", "version").values_list("server_id", "name", "version")
    found: dict[UUID, dict[str, None]] = defaultdict(dict)
    for server_id, name, version in rows:
        major = version.partition(".")[0]
        found[server_id][f"{name}-{major}" if major else name] = None
    return {server_id: list(names) for server_id, names in found.items()}


def make_rows(
    servers: list[BuildServer], *, tools: dict[UUID, list[str]], held: dict[UUID, int]
) -> list[ServerRow]:
    """The rows of these servers; a query for their last half hour, one for full ones where forecasts are kept."""
    now, foresight = timezone.now(), Foresight()
    seen = _read_beats(servers, since=now - timedelta(minutes=BEATS_MINUTES))
    return [
        ServerRow(
            server=server,
            states=states_of(server),
            quarantine=quarantine_words(server),
            slots=(slots := Slots(held.get(server.pk, 0), server.max_concurrent_builds)),
            takes_none=why_it_takes_none(server),
            free_in=free_again_in(server, slots=slots, foresight=foresight),
            meters=meters_of(server),
            tools=tools.get(server.pk, [])[:MOST_TOOLS],
            more_tools=max(0, len(tools.get(server.pk, [])) - MOST_TOOLS),
            beats=beats_of(server, seen_at=seen.get(server.pk, []), now=now),
        )
        for server in servers
    ]


def free_again_in(server: BuildServer, *, slots: Slots, foresight: Foresight) -> Range | None:
    """In how many seconds a full server has a slot again; None: one is free, it takes no build, or nobody can tell.

    What is foreseen is read or played for a full one only.
    """
    return None if slots.free or why_it_takes_none(server) else foresight.free_in.get(server.pk)


def _read_beats(servers: list[BuildServer], *, since: datetime) -> dict[UUID, list[datetime]]:
    samples = ProbeSample.objects.filter(server__in=servers, at__gte=since)
    found: dict[UUID, list[datetime]] = defaultdict(list)
    for server_id, at in samples.values_list("server_id", "at"):
        found[server_id].append(at)
    return found
