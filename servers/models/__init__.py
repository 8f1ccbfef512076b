"""Tables of the fleet. Status is written by health.py alone, quarantine by quarantine.py, slots by slots.py, leases by
leases.py.
"""

from servers.models.held import ServerLease, Slot
from servers.models.seen import ProbeSample, ServerCheck, Toolchain
from servers.models.server import NEVER, BuildServer, BuildServerQuerySet, EndField

__all__ = [
    "NEVER",
    "BuildServer",
    "BuildServerQuerySet",
    "EndField",
    "ProbeSample",
    "ServerCheck",
    "ServerLease",
    "Slot",
    "Toolchain",
]
