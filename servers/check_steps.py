"""Tries the way to a server step by step, for people: what was seen at each step, and what to do about it.

It connects anew, so that it shows how things are now. It writes no rows; what was learnt is told to health.py.
"""

import logging
import secrets
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from servers import health
from servers.check_notes import Notes, StepFailed
from servers.connections import forget_failures, open_fresh_transport, read_shown_host_key, way_to
from servers.models import BuildServer
from servers.probe import find_tools, measure, troubles
from servers.runs import RunClient
from servers.starts import forget_refused_start
from servers.states import TransportKind
from servers.thresholds import FREE_STORAGE
from servers.transport import (
    BadReply,
    HelperRefused,
    HostKeyMismatch,
    HostKeyProblem,
    LoginRefused,
    Transport,
    TransportError,
    TransportTimeout,
    Unreachable,
)

logger = logging.getLogger(__name__)

STEP_SECONDS = 10.0
PROBE_SECONDS = 45.0
_GIB_KB = 1024 * 1024
_SHELL_ADVICE = (
    "The account needs a POSIX shell, and must be allowed to run commands: see its login shell, and `command=` or "
    "`ForceCommand` for its key."
)


def try_way(server: BuildServer, *, notes: Notes) -> None:
    """Try each step until one fails. Raises Superseded."""
    way = _Way(server, notes)
    notes.show()
    try:
        if server.transport == TransportKind.SSH:
            way.reach()
            if not server.host_key:
                way.read_key()
        transport = open_fresh_transport(server)
        try:
            way.log_in(transport)
            way.look_around(RunClient(transport))
        finally:
            transport.close()
    except StepFailed:
        return
    except (TransportError, HelperRefused) as error:
        advice = "Test again; if it stays so, look at the server's own log."
        notes.write(notes.current, ok=False, seen=str(error), advice=advice)
        way.tell(partial(health.note_failure, server.pk, error=error))


class _Way:
    """The steps to one server."""

    def __init__(self, server: BuildServer, notes: Notes) -> None:
        self._server = server
        self._notes = notes
        self._settings = way_to(server)

    def tell(self, note: Callable[[], object]) -> None:
        """Tell health, unless address, key or pin were changed meanwhile: what was seen is of another way then."""
        now = BuildServer.objects.to_reach(self._server.pk)
        if now is not None and way_to(now) == self._settings:
            note()

    # ---- the way in -------------------------------------------------------------------------------------

    def reach(self) -> None:
        """A connection to the port; through a jump host the next step tells."""
        server = self._server
        if server.jump_host is not None:
            return
        address = f"{server.hostname} port {server.ssh_port}"
        self._notes.begin()
        try:
            socket.create_connection((server.hostname, server.ssh_port), STEP_SECONDS).close()
        except OSError as error:
            text = f"{address}: {_cause(error)}"
            self._fail("reach", text, _reach_advice(error), Unreachable(f"{text}."))
        self._notes.write("reach", ok=True, seen=f"{address} accepts connections.")

    def read_key(self) -> NoReturn:
        """Without a pin the key is read, and that is all. A pinned one is compared by the login."""
        self._notes.begin()
        try:
            seen = read_shown_host_key(self._server, timeout_seconds=STEP_SECONDS)
        except HostKeyProblem as error:
            self._fail_at_jump_host(error)
        except TransportError as error:
            at = "host_key" if self._notes["reach"].ok else "reach"
            self._fail(
                at, str(error), "See that sshd runs there and speaks SSH 2 with an accepted key type.", error
            )
        self._settle_reach()
        self.tell(partial(health.note_host_key, self._server.pk, seen=seen, changed=False))
        advice = (
            "Compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` (or its other keys) says on the "
            "server itself, then accept it. No login is tried before."
        )
        self._fail(
            "host_key", f"{seen.kind} {seen.fingerprint}, which nobody has accepted yet.", advice, None
        )

    def log_in(self, transport: Transport) -> None:
        """The first command: it connects, compares the pinned key, logs in and starts a shell."""
        server = self._server
        self._notes.begin()
        try:
            transport.run(["poll", secrets.token_hex(8), "1"], timeout_seconds=STEP_SECONDS)
        except HostKeyMismatch as error:
            self._fail_at_key(error)
        except HostKeyProblem as error:
            self._fail_at_jump_host(error)
        except LoginRefused as error:
            self._settle_key()
            advice = (
                "Add the server's public key (`public_key` in the API, and on the server's page) as one line to "
                f"~/.ssh/authorized_keys of {server.ssh_username}, which must belong to that account and be writable "
                "by nobody else."
            )
            self._fail("login", str(error), advice, error)
        except (Unreachable, TransportTimeout) as error:
            at = "login" if self._notes["reach"].ok else "reach"
            self._fail(at, str(error), "Look at sshd's log on the server, and at what is between.", error)
        except BadReply as error:
            self._settle_key()
            self._fail("shell", str(error), _SHELL_ADVICE, error)
        self._settle_key()
        who = server.ssh_username
        self._notes.write(
            "login", ok=True, seen=f"Logged in as {who}." if who else "None is needed without SSH."
        )

    def _fail_at_key(self, error: HostKeyMismatch) -> NoReturn:
        if error.server_id not in {"", str(self._server.pk)}:
            self._fail_at_jump_host(error)
        self._settle_reach()
        advice = (
            "If the server was set up anew, compare the new key there and accept it. If not, somebody may have put "
            "another machine in its place: nothing was sent."
        )
        text = (
            f"{error.seen.kind} {error.seen.fingerprint}, but {self._server.host_key_fingerprint} is pinned."
        )
        self._fail("host_key", text, advice, error)

    def _fail_at_jump_host(self, error: HostKeyProblem) -> NoReturn:
        jump = self._server.jump_host
        name = jump.name if jump else "the jump host"
        self._fail("host_key", f"{name}: {error}", f"Test {name} first and accept its key.", error)

    def _settle_reach(self) -> None:
        jump = self._server.jump_host
        if self._notes["reach"].ok is None:
            seen = f"It answers through {jump.name}." if jump else "It is the board's own machine."
            self._notes.imply("reach", ok=True, seen=seen)

    def _settle_key(self) -> None:
        self._settle_reach()
        pinned = self._server.host_key_fingerprint
        seen = f"{pinned}, as pinned." if pinned else "None is needed without SSH."
        self._notes.imply("host_key", ok=True, seen=seen)

    # ---- what is there ----------------------------------------------------------------------------------

    def look_around(self, client: RunClient) -> None:
        """The helper, then what it says of git, the work folder and the disk; in the end its tools."""
        self._start_helper(client)
        self._notes.begin()
        try:
            facts = client.probe(
                tools=False, environment=self._server.environment, timeout_seconds=STEP_SECONDS
            )
        except HelperRefused as error:
            advice = "Make room there, or let the account write to the folder."
            self._fail("work_dir", f"The work folder takes no files: {error}", advice, error)
        if facts.get("os") == "":  # it ran, and found nothing to run: no other fact of it means anything
            self.tell(partial(health.apply_probe, self._server.pk, facts=facts))
            seen = " ".join(troubles(facts))
            advice = "Correct PATH in the server's `environment`, or take it out: then sshd's own is used."
            self._fail("shell", seen, advice, None)
        seen = f"{facts.get('os', '')} {facts.get('kernel', '')} on {facts.get('arch', '')}."
        self._notes.imply("shell", ok=True, seen=seen)
        seen = f"{facts.get('work_dir', '')} can be written by {facts.get('user', '')}."
        self._notes.write("work_dir", ok=True, seen=seen)
        self._judge_git(facts)
        self._judge_disk(facts)
        self._store(client, facts)

    def _start_helper(self, client: RunClient) -> None:
        self._notes.begin()
        try:
            client.poll([], timeout_seconds=STEP_SECONDS)
        except HelperRefused as error:
            self._fail("shell", f"The helper answers: {error}", "The server needs a readable /proc.", error)
        except BadReply as error:
            self._fail("shell", str(error), _SHELL_ADVICE, error)
        except (Unreachable, TransportTimeout):
            raise
        except TransportError as error:  # the helper could not be put there
            self._notes.imply("shell", ok=True, seen="A shell runs commands.")
            advice = "Give the account a home or a work folder that it can write, or make room there."
            self._fail("work_dir", str(error), advice, error)
        self._notes.write("shell", ok=True, seen="The helper answers.")

    def _judge_git(self, facts: dict[str, str]) -> None:
        if "git" in facts:
            self._notes.imply("git", ok=True, seen=facts["git"])
            return
        seen = f"There is none in {facts.get('path', 'PATH')}."
        advice = "Install git, or add its folder to PATH in this server's environment."
        self._notes.imply("git", ok=False, seen=seen, advice=advice)

    def _judge_disk(self, facts: dict[str, str]) -> None:
        measures = measure(facts, now=time.time())
        if measures.free_kb is None:
            seen, advice = "df says nothing of it.", "See what `df -Pk` says there."
            self._notes.imply("disk", ok=False, seen=seen, advice=advice)
            return
        percent, limit = measures.storage_percent or 0, self._server.storage_limit_percent
        free_mb = measures.free_kb / 1024
        advice = FREE_STORAGE.sentence(free_mb) if FREE_STORAGE.is_past(free_mb) else ""
        if percent > limit:
            advice = f"It takes no builds over {limit}%: make room, or raise the limit."
        seen = f"{measures.free_kb / _GIB_KB:.1f} GiB are free, {percent:.0f}% used."
        self._notes.imply("disk", ok=not advice, seen=seen, advice=advice)

    def _store(self, client: RunClient, facts: dict[str, str]) -> None:
        """The way is free: what the server is and has is kept at once, then its tools, which take longer."""
        server_id, latency = self._server.pk, self._notes["shell"].milliseconds
        forget_failures(server_id)  # or who follows builds would say for a while that it is away
        self.tell(partial(forget_refused_start, server_id))
        self.tell(partial(health.note_pinned_key, server_id))
        self.tell(partial(health.apply_probe, server_id, facts=facts, latency_ms=latency))
        self._notes.show()
        self._notes.begin()
        try:
            facts = client.probe(environment=self._server.environment, timeout_seconds=PROBE_SECONDS)
        except (TransportError, HelperRefused) as error:  # the next full probe is within the hour
            logger.info("%s: %s", self._server.name, error, extra={"action": "check"})
            advice = "One of them hangs, perhaps. It takes builds all the same; they are asked again soon."
            self._notes.write("tools", ok=False, seen=f"They did not answer: {error}", advice=advice)
            return
        self.tell(partial(health.apply_probe, server_id, facts=facts, latency_ms=latency))
        self._notes.write("tools", ok=True, seen=_tool_words(facts), advice="")

    def _fail(
        self, name: str, seen: str, advice: str, error: TransportError | HelperRefused | None
    ) -> NoReturn:
        """Tell health, note it, and end."""
        if error is not None:
            self.tell(partial(health.note_failure, self._server.pk, error=error))
        self._notes.write(name, ok=False, seen=seen, advice=advice)
        raise StepFailed


def _tool_words(facts: dict[str, str]) -> str:
    """How many there are, and for which architectures."""
    tools = find_tools(facts)
    targets = sorted({tool.target for tool in tools if tool.target})
    if not tools:
        return "No compiler or build tool was found: install what builds need, or add its folder to PATH."
    across = f", some for {', '.join(targets)}" if targets else ""
    return f"{len(tools)} tools and compilers{across}."


def _cause(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "this name is not known"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return f"no answer within {STEP_SECONDS:g} s"
    return (error.strerror or str(error)).lower()


def _reach_advice(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "Correct the hostname, or the name service of the machine that the board's runner is on."
    if isinstance(error, ConnectionRefusedError):
        return "Start sshd there, or correct the port."
    return "See that the machine is up, and that firewalls let the board's machine through to this port."
