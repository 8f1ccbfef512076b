"""Servers as plain facts, for tests of the pure functions that choose among them."""

import uuid
from datetime import UTC, datetime
from typing import Any

from jobs.needs import Needs
from servers.fleet import ServerFacts, ToolchainFacts

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
X86 = Needs(architecture="x86_64")


def facts(name: str = "one", **fields: Any) -> ServerFacts:
    """A free server for x86_64 and i686; its id comes from its name."""
    defaults: dict[str, Any] = {
        "id": uuid.uuid5(uuid.NAMESPACE_DNS, name),
        "architectures": frozenset({"x86_64", "i686"}),
        "toolchains": (ToolchainFacts("gcc", "12.2.0"),),
        "labels": {"disk": "nvme"},
        "group": "north",
        "cores": 8,
        "memory_mb": 1024,
        "storage_gb": 100,
    }
    return ServerFacts(name=name, **defaults | fields)
