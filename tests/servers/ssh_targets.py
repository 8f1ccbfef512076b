"""Targets and transports to the sshd of the tests, and a helper that does what its first word says, badly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from servers.host_keys import parse_host_keys
from servers.ssh import SshTarget, SshTransport
from servers.transport import HELPER_NAME, TransportError
from tests.ssh_servers import SshServer
from tests.waiting import wait_for

REPLY_SECONDS = 30.0

BAD_HELPER = """
case $1 in
mirror) cat ;;
zeros) head -c "$2" /dev/zero ;;
blob) cat "$HOME/blob" ;;
endless) while :; do echo more; done ;;
errors) head -c "$2" /dev/zero >&2; echo told ;;
both) { cat <&3 >/dev/null & } 3<&0; head -c "$2" /dev/zero; wait; echo ;;
code) exit "$2" ;;
term) kill -TERM $$ ;;
hang) echo some; sleep 300 ;;
sleep) sleep "$2"; echo slept ;;
mark) echo "$2" >>"$HOME/marks"; echo "$2" ;;
where) echo "$BUILDBOARD_HOME"; echo "$0" ;;
esac
"""


def target_for(server: SshServer, **changes: Any) -> SshTarget:
    """The right target for this server, but for the changes."""
    right = SshTarget(
        hostname=server.hostname,
        port=server.port,
        username=server.username,
        private_key=server.private_key,
        host_keys=parse_host_keys(server.host_key_line),
    )
    return replace(right, **changes)


@contextmanager
def transport_for(
    server: SshServer, *, connect_seconds: float = 10, **changes: Any
) -> Iterator[SshTransport]:
    """A transport to this server, closed at the end."""
    transport = SshTransport(target_for(server, **changes), connect_seconds=connect_seconds)
    try:
        yield transport
    finally:
        transport.close()


def install_bad_helper(server: SshServer) -> None:
    """Where the real one would be."""
    library = server.home / ".buildboard" / "lib"
    library.mkdir(parents=True, exist_ok=True)
    (library / HELPER_NAME).write_text(BAD_HELPER)


def logins(server: SshServer) -> int:
    """How many connections have logged in."""
    return server.auth_log().count("Accepted publickey")


def code(transport: SshTransport, number: int = 0, *, seconds: float = REPLY_SECONDS) -> int:
    """What a command of the bad helper ends with that is to end with this number."""
    return transport.run(["code", str(number)], timeout_seconds=seconds).exit_code


def recovers(transport: SshTransport) -> None:
    """It answers again before long, whatever it says until then."""

    def answers() -> bool:
        try:
            return code(transport, 9) == 9
        except TransportError:
            return False

    wait_for(answers)
