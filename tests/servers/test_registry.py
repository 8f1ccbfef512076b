"""This machine as a build server: made once, kept as an operator set it, switched off and on."""

import os
import platform

import pytest

from buildboard.core.models import Event
from servers.architectures import canonical_architecture
from servers.models import BuildServer, Slot
from servers.registry import disable_local_server, register_local_server
from servers.states import ServerStatus, TransportKind

pytestmark = pytest.mark.django_db
THIS, THAT = "a" * 32, "b" * 32


def test_this_machine_is_registered_online_with_its_slots() -> None:
    server = register_local_server(machine=THIS)

    assert BuildServer.objects.get() == server
    assert (server.name, server.transport, server.machine_id) == ("local", TransportKind.LOCAL, THIS)
    assert (server.enabled, server.status) == (True, ServerStatus.ONLINE)
    assert server.architectures == [canonical_architecture(platform.machine())]
    assert server.total_cpu_cores == os.cpu_count()
    numbers = list(Slot.objects.filter(server=server).values_list("number", flat=True))
    assert numbers == list(range(1, server.max_concurrent_builds + 1))
    assert list(Event.objects.values_list("subject_id", "kind", "from_state", "to_state", "reason")) == [
        (str(server.pk), "status", "unknown", "online", "It is this machine.")
    ]


def test_registered_again_it_stays_as_an_operator_set_it() -> None:
    first = register_local_server(machine=THIS)
    BuildServer.objects.update(name="mine", max_concurrent_builds=1, status=ServerStatus.MAINTENANCE)

    again = register_local_server(machine=THIS)

    assert BuildServer.objects.count() == 1
    assert (again.pk, again.name, again.status) == (first.pk, "mine", ServerStatus.MAINTENANCE)
    assert list(Slot.objects.values_list("number", flat=True)) == [1]


def test_a_second_machine_gets_a_name_of_its_own() -> None:
    servers = [register_local_server(machine=machine) for machine in (THIS, THAT, THAT)]

    assert [server.name for server in servers] == ["local", "local-bbbbbbbb", "local-bbbbbbbb"]
    assert BuildServer.objects.count() == 2


def test_a_machine_is_switched_off_alone_and_on_again_when_it_is_registered() -> None:
    register_local_server(machine=THIS)
    register_local_server(machine=THAT)

    disable_local_server(machine=THIS)
    assert dict(BuildServer.objects.values_list("machine_id", "enabled")) == {THIS: False, THAT: True}

    assert register_local_server(machine=THIS).enabled is True
    assert dict(BuildServer.objects.values_list("machine_id", "enabled")) == {THIS: True, THAT: True}
