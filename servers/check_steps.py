"""Tries the way to a server step by step, for people: what was seen at each step, and what to do about it.

It connects anew, so that it shows how things are now. It writes no rows; what was learnt is told to health.py.
"""

import logging
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NoReturn

from servers import health
from servers.connections import open_fresh_transport, read_shown_host_key
from servers.host_keys import HostKey
from servers.models import BuildServer
from servers.probe import measure, troubles
from servers.runs import RunClient
from servers.states import TransportKind
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

NAMES = ("reach", "host_key", "login", "shell", "git", "work_dir", "disk")
STEP_SECONDS = 10.0
PROBE_SECONDS = 45.0
_GIB_KB = 1024 * 1024


class Superseded(Exception):
    """Another runner took the check over."""


@dataclass
class Step:
    """One step; `ok` is None while it is not known."""

    name: str
    ok: bool | None = None
    seen: str = ""
    advice: str = ""
    milliseconds: int | None = None


class _Failed(Exception):
    """A step failed and the ones after it cannot be tried. It was noted."""


class Way:
    """The steps to one server. `show` is given all of them whenever one changes; False means to stop."""

    def __init__(self, server: BuildServer, *, show: Callable[[list[dict[str, object]]], bool]) -> None:
        self._server = server
        self._show = show
        self._steps = {name: Step(name) for name in NAMES}
        self._began = time.monotonic()

    @property
    def steps(self) -> list[dict[str, object]]:
        """All steps as they are stored."""
        return [asdict(step) for step in self._steps.values()]

    def go(self) -> None:
        """Try each step until one fails. Raises Superseded."""
        self._write()
        try:
            if self._server.transport == TransportKind.SSH:
                self._reach()
                self._read_key_if_unpinned()
            transport = open_fresh_transport(self._server)
            try:
                self._log_in(transport)
                self._look_around(RunClient(transport))
            finally:
                transport.close()
        except _Failed:
            return
        except (TransportError, HelperRefused) as error:
            first = next((step for step in self._steps.values() if step.ok is None), self._steps["disk"])
            self._note(
                first.name, ok=False, seen=str(error), advice="Test again; if it stays so, look at its sshd."
            )
            health.note_failure(self._server.pk, error=error)

    def break_off(self, error: Exception) -> None:
        """The board itself failed: say so at the step where it was."""
        step = next((step for step in self._steps.values() if step.ok is None), self._steps["disk"])
        step.ok, step.seen = False, f"The board failed here: {type(error).__name__}."
        step.advice = "The log of the board's runner says more; please report it."

    # ---- the way in -------------------------------------------------------------------------------------

    def _reach(self) -> None:
        server = self._server
        address = f"{server.hostname} port {server.ssh_port}"
        if server.jump_host is not None:
            return  # reading the key goes through it
        step = self._begin("reach")
        try:
            socket.create_connection((server.hostname, server.ssh_port), STEP_SECONDS).close()
        except OSError as error:
            self._fail(step, f"{address}: {_cause(error)}", _reach_advice(error), Unreachable(_cause(error)))
        self._pass(step, f"{address} accepts connections.")

    def _read_key_if_unpinned(self) -> None:
        """A pinned key is compared by the login, as every connection does it."""
        if self._server.host_key:
            return
        step = self._begin("host_key")
        try:
            seen = read_shown_host_key(self._server, timeout_seconds=STEP_SECONDS)
        except HostKeyProblem as error:  # of a jump host
            self._fail_at_jump_host(step, error)
        except TransportError as error:
            reach = self._steps["reach"]
            at = step if reach.ok else reach
            self._fail(
                at, str(error), "See that sshd runs there and speaks SSH 2 with an accepted key type.", error
            )
        self._wait_for_acceptance(step, seen)

    def _wait_for_acceptance(self, step: Step, seen: HostKey) -> NoReturn:
        self._pass_reach()
        health.note_host_key(self._server.pk, seen=seen, changed=False)
        text = f"{seen.kind} {seen.fingerprint}, which nobody has accepted yet."
        advice = (
            "Compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` (or its other keys) says on the "
            "server itself, then accept it. No login is tried before."
        )
        self._fail(step, text, advice, None)

    def _log_in(self, transport: Transport) -> None:
        """The first command: it connects, compares the pinned key, logs in and starts a shell."""
        server = self._server
        step = self._begin("login")
        try:
            transport.run(["poll", secrets.token_hex(8), "1"], timeout_seconds=STEP_SECONDS)
        except HostKeyMismatch as error:
            self._fail_at_key(error)
        except HostKeyProblem as error:
            self._fail_at_jump_host(self._steps["host_key"], error)
        except LoginRefused as error:
            self._pass_key()
            advice = (
                f"Add the server's public key, as it is shown here, as one line to ~/.ssh/authorized_keys of "
                f"{server.ssh_username}, which must belong to that account and be writable by nobody else."
            )
            self._fail(step, str(error), advice, error)
        except (Unreachable, TransportTimeout) as error:
            at = step if self._steps["reach"].ok else self._steps["reach"]
            self._fail(at, str(error), "Look at sshd's log on the server, and at what is between.", error)
        except BadReply as error:
            self._pass_key()
            self._fail(self._steps["shell"], str(error), _SHELL_ADVICE, error)
        self._pass_key()
        self._pass(step, f"Logged in as {server.ssh_username}." if server.ssh_username else "Needs none.")

    def _fail_at_key(self, error: HostKeyMismatch) -> NoReturn:
        if error.server_id not in {"", str(self._server.pk)}:
            self._fail_at_jump_host(self._steps["host_key"], error)
        self._pass_reach()
        advice = (
            "If the server was set up anew, compare the new key there and accept it. If not, somebody may have put "
            "another machine in its place: nothing was sent."
        )
        text = (
            f"{error.seen.kind} {error.seen.fingerprint}, but {self._server.host_key_fingerprint} is pinned."
        )
        self._fail(self._steps["host_key"], text, advice, error)

    def _fail_at_jump_host(self, step: Step, error: HostKeyProblem) -> NoReturn:
        jump = self._server.jump_host
        name = jump.name if jump else "the jump host"
        self._fail(step, f"{name}: {error}", f"Test {name} first and accept its key.", error)

    # ---- what is there ----------------------------------------------------------------------------------

    def _look_around(self, client: RunClient) -> None:
        server = self._server
        step = self._begin("shell")
        try:
            client.poll([], timeout_seconds=STEP_SECONDS)
        except HelperRefused as error:
            self._fail(step, f"The helper answers: {error}", "The server needs a readable /proc.", error)
        except BadReply as error:
            self._fail(step, str(error), _SHELL_ADVICE, error)
        except (Unreachable, TransportTimeout):
            raise
        except TransportError as error:  # the helper could not be put there
            self._pass(step, "A shell runs commands.")
            advice = "Give the account a home or a work folder that it can write, or make room there."
            self._fail(self._steps["work_dir"], str(error), advice, error)
        self._pass(step, "The helper answers.")
        step = self._begin("work_dir")
        try:
            facts = client.probe(tools=False, environment=server.environment, timeout_seconds=STEP_SECONDS)
        except HelperRefused as error:
            advice = "Make room there, or let the account write to the folder."
            self._fail(step, f"The work folder takes no files: {error}", advice, error)
        self._steps[
            "shell"
        ].seen = f"{facts.get('os', '')} {facts.get('kernel', '')} on {facts.get('arch', '')}."
        self._pass(step, f"{facts.get('work_dir', '')} can be written by {facts.get('user', '')}.")
        self._judge_git(facts)
        self._judge_disk(facts)
        self._probe_tools(client)

    def _judge_git(self, facts: dict[str, str]) -> None:
        if "git" in facts:
            self._note("git", ok=True, seen=facts["git"])
        else:
            seen = f"There is none in {facts.get('path', 'PATH')}."
            advice = "Install git, or add its folder to PATH in this server's environment."
            self._note("git", ok=False, seen=seen, advice=advice)

    def _judge_disk(self, facts: dict[str, str]) -> None:
        measures = measure(facts, now=time.time())
        if measures.free_kb is None:
            self._note(
                "disk", ok=False, seen="df says nothing of it.", advice="See what `df -Pk` says there."
            )
            return
        percent = measures.storage_percent or 0
        seen = f"{measures.free_kb / _GIB_KB:.1f} GiB are free, {percent:.0f} % used."
        limit = self._server.storage_limit_percent
        advice = " ".join(troubles(measures, facts)) if measures.free_kb < _GIB_KB else ""
        if percent > limit:
            advice = f"It takes no builds over {limit} %: make room, or raise the limit."
        self._note("disk", ok=not advice, seen=seen, advice=advice)

    def _probe_tools(self, client: RunClient) -> None:
        """The way is free: what the server is and has is stored at once, with its tools."""
        if not self._server.host_key and self._server.transport == TransportKind.SSH:
            return
        health.note_pinned_key(self._server.pk)
        facts = client.probe(environment=self._server.environment, timeout_seconds=PROBE_SECONDS)
        health.apply_probe(self._server.pk, facts=facts, latency_ms=self._steps["shell"].milliseconds)

    # ---- notes ------------------------------------------------------------------------------------------

    def _begin(self, name: str) -> Step:
        self._began = time.monotonic()
        return self._steps[name]

    def _note(self, name: str, *, ok: bool, seen: str, advice: str = "") -> None:
        step = self._steps[name]
        step.ok, step.seen, step.advice = ok, seen[:500], advice[:500]
        self._write()

    def _pass(self, step: Step, seen: str) -> None:
        step.milliseconds = round((time.monotonic() - self._began) * 1000)
        self._note(step.name, ok=True, seen=seen)

    def _fail(
        self, step: Step, seen: str, advice: str, error: TransportError | HelperRefused | None
    ) -> NoReturn:
        """Note it, tell health, and end."""
        step.milliseconds = round((time.monotonic() - self._began) * 1000)
        if error is not None:
            health.note_failure(self._server.pk, error=error)
        self._note(step.name, ok=False, seen=seen, advice=advice)
        raise _Failed

    def _pass_reach(self) -> None:
        step, jump = self._steps["reach"], self._server.jump_host
        if step.ok is None:
            step.ok, step.seen = (
                True,
                f"It answers through {jump.name}." if jump else "It is the board's own machine.",
            )

    def _pass_key(self) -> None:
        self._pass_reach()
        step, pinned = self._steps["host_key"], self._server.host_key_fingerprint
        step.ok, step.seen = True, f"{pinned}, as pinned." if pinned else "None is needed without SSH."

    def _write(self) -> None:
        if not self._show(self.steps):
            raise Superseded


_SHELL_ADVICE = (
    "The account needs a POSIX shell, and must be allowed to run commands: see its login shell, and `command=` or "
    "`ForceCommand` for its key."
)


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
