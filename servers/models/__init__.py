"""Tables of the fleet. Status is written by health.py alone, quarantine by quarantine.py, slots by slots.py, leases by
leases.py.
"""

from servers.models.held import ServerLease, Slot
from servers.models.seen import ProbeSample, ServerCheck, Toolchain
from servers.models.server import BuildServer, BuildServerQuerySet

__all__ = [
    "BuildServer",
    "BuildServerQuerySet",
    "ProbeSample",
    "ServerCheck",
    "ServerLease",
    "Slot",
    "Toolchain",
]
