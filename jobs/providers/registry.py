"""Which providers there are. Third parties add theirs by the entry point group `buildboard.providers`."""

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points

from jobs.providers.base import BuildProvider
from jobs.providers.fake import FakeProvider
from servers.models import BuildServer

ENTRY_POINT_GROUP = "buildboard.providers"
Connect = Callable[[BuildServer], BuildProvider]


def _connect_fleet(server: BuildServer) -> BuildProvider:
    from jobs.providers.fleet import connect_fleet  # noqa: PLC0415  # with it all of SSH is loaded; web never needs it

    return connect_fleet(server)


_BUILT_IN: dict[str, Connect] = {
    "fleet": _connect_fleet,
    "fake": FakeProvider.connect,
}


class UnknownProvider(Exception):
    """No provider has that name."""


@cache
def _third_party() -> dict[str, Connect]:
    return {point.name: point.load() for point in entry_points(group=ENTRY_POINT_GROUP)}


def provider_names() -> list[str]:
    """Every provider that a job may name now."""
    return sorted({*_BUILT_IN, *_third_party()})


def connect(name: str, *, server: BuildServer) -> BuildProvider:
    """The provider `name` for one server. Raises UnknownProvider."""
    make = _BUILT_IN.get(name) or _third_party().get(name)
    if make is None:
        raise UnknownProvider(f"There is no provider {name}; known are {', '.join(provider_names())}.")
    return make(server)
