"""Adds servers to the fleet: this machine as build server `local`. It is not in charge of their health."""

import os
import platform

from django.db import transaction

from servers.architectures import canonical_architecture
from servers.health import set_status
from servers.models import BuildServer
from servers.slots import fit_slots
from servers.states import ServerStatus, TransportKind

LOCAL_NAME = "local"


def register_local_server(*, machine: str) -> BuildServer:
    """Make (or enable again) the build server that is this machine; settings that an operator made stay.

    Another machine's `local` keeps its name: this one is then called `local-` and the machine's first letters.
    """
    with transaction.atomic():
        server = BuildServer.objects.filter(transport=TransportKind.LOCAL, machine_id=machine).first()
        if server is None:
            taken = BuildServer.objects.filter(name=LOCAL_NAME).exists()
            server = BuildServer.objects.create(
                name=f"{LOCAL_NAME}-{machine[:8]}" if taken else LOCAL_NAME,
                transport=TransportKind.LOCAL,
                machine_id=machine,
                architectures=[canonical_architecture(platform.machine())],
                max_concurrent_builds=max(2, min(4, os.cpu_count() or 2)),
                total_cpu_cores=os.cpu_count(),
            )
            set_status(server.pk, status=ServerStatus.ONLINE, reason="It is this machine.")
            server.refresh_from_db()
        elif not server.enabled:
            BuildServer.objects.filter(pk=server.pk).update(enabled=True)
            server.enabled = True
        fit_slots(server)
    return server


def disable_local_server(*, machine: str) -> None:
    """Send nothing new to this machine; what runs on it goes on."""
    BuildServer.objects.filter(transport=TransportKind.LOCAL, machine_id=machine).update(enabled=False)
