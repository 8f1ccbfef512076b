"""Files of builds over SSH: whole and in one stream, taken up again after a cut; a broken-off one leaves nothing."""

import hashlib
from collections.abc import Iterator
from uuid import uuid4

import pytest

from servers.frames import RunLimits, RunState
from servers.runs import RunClient
from servers.transport import TransportError
from tests.servers.ssh_targets import transport_for
from tests.ssh_servers import SshServer
from tests.waiting import wait_for

pytestmark = [pytest.mark.ssh, pytest.mark.slow]
SCRIPT = """
mkdir -p src/many; i=0
while [ $i -lt 300 ]; do echo $i >src/many/$i; i=$((i + 1)); done
head -c 20000000 /dev/urandom >src/big; printf x >'src/-rf'; printf y >"src/$(printf '\\303\\251') b"
"""


@pytest.fixture
def client(ssh_server: SshServer) -> Iterator[RunClient]:
    with transport_for(ssh_server) as transport:
        yield RunClient(transport)


def built(client: RunClient) -> tuple[str, dict[str, int]]:
    """An attempt that ended, and its files with their sizes."""
    attempt = str(uuid4())
    client.submit(attempt, script=SCRIPT.encode(), environment={}, limits=RunLimits())
    wait_for(lambda: client.poll([(attempt, 0)])[0].state == RunState.DONE)
    listing = client.list_files(attempt, starts=[("src", 100)])
    return attempt, {file.path: file.size for file in listing.files}


def test_files_come_whole_in_one_stream(client: RunClient, ssh_server: SshServer) -> None:
    attempt, wanted = built(client)
    tree = ssh_server.home / ".buildboard" / "jobs" / attempt / "ws"

    found = {file.path: b"".join(file.chunks) for file in client.read_files(attempt, wanted)}

    assert len(found) == 303
    assert found == {path: (tree / path).read_bytes() for path in wanted}


def test_stream_that_is_cut_is_taken_up_again(client: RunClient, ssh_server: SshServer) -> None:
    attempt, wanted = built(client)
    left, cuts = dict(wanted), 0

    while left:
        try:
            for file in client.read_files(attempt, left.copy()):
                digest = hashlib.sha256()
                for number, chunk in enumerate(file.chunks):
                    digest.update(chunk)
                    if cuts < 3 and number == 2:  # in the middle of the large one
                        cuts += 1
                        ssh_server.kill_all()
                        ssh_server.start()
                assert digest.hexdigest() == file.sha256
                del left[file.path]
        except TransportError:
            continue

    assert cuts == 3


def test_stream_that_is_broken_off_leaves_nothing_and_the_connection_goes_on(
    client: RunClient, ssh_server: SshServer
) -> None:
    attempt, wanted = built(client)
    for _ in range(6):
        for file in client.read_files(attempt, wanted):
            next(file.chunks)
            break

    assert client.poll([(attempt, 0)])[0].state == RunState.DONE
    wait_for(lambda: not ssh_server.processes())


def test_caches_are_cleared_behind_the_call(client: RunClient, ssh_server: SshServer) -> None:
    client.tidy_caches(days=30, most_kib=1 << 40, floor_kib=0)

    wait_for(lambda: not ssh_server.processes())
