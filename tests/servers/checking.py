"""Checks of servers for tests: asked for by one person and done at once."""

from typing import Any

from buildboard.core.audit import Actor
from servers import checks
from servers.check_notes import NAMES
from servers.models import BuildServer
from tests.ssh_servers import SshServer

OLGA = Actor(name="olga", door="api")


def address(server: SshServer, **fields: Any) -> dict[str, Any]:
    """What somebody says of a server to add it, as `box`."""
    return {
        "name": "box",
        "hostname": server.hostname,
        "ssh_port": server.port,
        "ssh_username": server.username,
        **fields,
    }


def check(row: BuildServer) -> dict[str, Any]:
    """The steps of a check that was asked for and done, by name; the row is read anew."""
    found = checks.request_check(row, actor=OLGA)
    assert checks.run_check(found.pk) is True
    found.refresh_from_db()
    row.refresh_from_db()
    assert [step["name"] for step in found.steps] == list(NAMES)
    return {step["name"]: step for step in found.steps}
