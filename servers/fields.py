"""What a person gives for a build server, checked and turned into columns; API, pages and admin share it.

Single rules are validation.py's, writing is registry.py's. A private key is read here and kept nowhere else in
the clear.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from buildboard.core.crypto import load_ssh_private_key
from buildboard.core.errors import FieldProblem
from servers import validation
from servers.errors import InvalidServer
from servers.models import BuildServer
from servers.states import TransportKind
from servers.validation import Invalid

MAX_JUMPS = 8
_SSH_NEEDS = ("hostname", "ssh_username")
_OF_SSH = ("hostname", "ssh_username", "private_key", "host_key", "jump_host")
_LIMITS = {"cpu_percent", "memory_percent", "storage_percent"}
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": validation.check_name,
    "hostname": validation.check_hostname,
    "ssh_port": validation.check_port,
    "ssh_username": validation.check_username,
    "host_key": validation.check_host_key,
    "architectures": validation.check_architectures,
    "max_concurrent_builds": validation.check_builds,
    "labels": validation.check_labels,
    "group": validation.check_group,
    "work_dir": validation.check_work_dir,
    "environment": validation.check_environment,
    "enabled": bool,
    "draining": bool,
    "draining_reason": validation.check_reason,
    "draining_until": validation.check_until,
}
_MAY_BE_EMPTY = {"group", "work_dir", "host_key", "draining_reason"}
_KNOWN = {*_CHECKS, "transport", "jump_host", "utilization_limits", "private_key", "private_key_passphrase"}


@dataclass(frozen=True)
class GivenKey:
    """A login key that a person gave: private text without passphrase, and its public line."""

    private_text: str = field(repr=False)
    public_line: str


@dataclass(frozen=True)
class CheckedFields:
    """Columns to write. `names_key`: the private key was spoken of; with no `key` a fresh pair is wanted."""

    columns: dict[str, Any]
    key: GivenKey | None = None
    names_key: bool = False


def check_fields(fields: Mapping[str, Any], *, server: BuildServer | None) -> CheckedFields:
    """The columns that these fields mean, for a new server or for `server`. Raises InvalidServer with all problems."""
    reader = _Reader(fields, server)
    reader.refuse_unknown()
    reader.read_transport()
    reader.read_plain()
    reader.read_limits()
    reader.read_jump_host()
    key = reader.read_key()
    if server is None and not reader.is_local:
        reader.require_address()
    if reader.problems:
        raise InvalidServer(reader.problems)
    return CheckedFields(reader.columns, key, "private_key" in fields)


def check_outage(*, reason: str, until: datetime | None) -> tuple[str, datetime | None]:
    """Why a server is taken out, and when that ends by itself. Raises InvalidServer with all problems."""
    problems: list[FieldProblem] = []
    checks: tuple[tuple[str, Callable[[Any], Any], Any], ...] = (
        ("reason", validation.check_reason, reason),
        ("until", validation.check_until, until),
    )
    for name, check, value in checks:
        try:
            check(value)
        except Invalid as error:
            problems.append({"field": name, "message": str(error)})
    if problems:
        raise InvalidServer(problems)
    return reason.strip(), until


def with_kept(
    kept: Collection[str], known: tuple[str, datetime | None], *, reason: str, until: datetime | None
) -> tuple[str, datetime | None]:
    """Reason and end of being out as they are asked for, but for those that are `kept` as they are `known`."""
    return known[0] if "reason" in kept else reason, known[1] if "until" in kept else until


class _Reader:
    """Goes through the fields once and gathers columns and problems."""

    def __init__(self, fields: Mapping[str, Any], server: BuildServer | None) -> None:
        self._fields = fields
        self._server = server
        self.is_local = server is not None and server.transport == TransportKind.LOCAL
        self.columns: dict[str, Any] = {}
        self.problems: list[FieldProblem] = []

    def refuse_unknown(self) -> None:
        for name in self._fields.keys() - _KNOWN:
            self._refuse(name, "There is no such field; check its spelling.")
        if self.is_local:
            for name in _OF_SSH:
                if self._fields.get(name):
                    self._refuse(name, "The board reaches this server without SSH; leave this out.")

    def read_transport(self) -> None:
        given = self._fields.get("transport")
        if given is None:
            return
        if self._server is None and given == TransportKind.LOCAL:
            self._refuse(
                "transport",
                "The machine of the board is added by `manage.py up` alone, since builds there run with the board's "
                "own account. Add it over ssh with an account for builds.",
            )
        elif self._server is not None and given != self._server.transport:
            self._refuse("transport", "A server keeps its transport; add another server instead.")

    def read_plain(self) -> None:
        for name, check in _CHECKS.items():
            if name not in self._fields or (self.is_local and name in _OF_SSH):
                continue
            value = self._fields[name]
            if name in _MAY_BE_EMPTY and value is None:
                value = ""
            try:
                self.columns[name] = check(value)
            except Invalid as error:
                self._refuse(name, str(error))

    def read_limits(self) -> None:
        for name, value in (self._fields.get("utilization_limits") or {}).items():
            try:
                if name not in _LIMITS:
                    raise Invalid("There is no such limit; choose among cpu, memory and storage.")
                self.columns[name.replace("_percent", "_limit_percent")] = validation.check_limit(value)
            except Invalid as error:
                self._refuse(f"utilization_limits.{name}", str(error))

    def read_jump_host(self) -> None:
        if "jump_host" not in self._fields or self.is_local:
            return
        word = self._fields["jump_host"]
        if word in (None, ""):
            self.columns["jump_host"] = None
            return
        try:
            self.columns["jump_host"] = _find_jump_host(word, server=self._server)
        except Invalid as error:
            self._refuse("jump_host", str(error))

    def read_key(self) -> GivenKey | None:
        text, passphrase = self._fields.get("private_key"), self._fields.get("private_key_passphrase")
        if not text or self.is_local:
            if passphrase:
                self._refuse(
                    "private_key_passphrase", "A passphrase goes with a private key; give both or none."
                )
            return None
        try:
            if len(text.encode()) > validation.MAX_KEY_BYTES:
                raise Invalid(
                    "This is longer than any private key; give the text of one OpenSSH or PEM file."
                )
            return GivenKey(*load_ssh_private_key(text, passphrase=passphrase or None))
        except ValueError as error:
            field_name = "private_key_passphrase" if "passphrase" in str(error) else "private_key"
            self._refuse(field_name, str(error))
        return None

    def require_address(self) -> None:
        for name in ("name", *_SSH_NEEDS):
            if not self._fields.get(name):
                self._refuse(name, "A server that is reached over SSH needs this.")

    def _refuse(self, name: str, message: str) -> None:
        if all(problem["field"] != name for problem in self.problems):
            self.problems.append({"field": name, "message": message})


def _find_jump_host(word: str | UUID, *, server: BuildServer | None) -> BuildServer:
    """The server of an id or a name, over which this one may be reached."""
    found = BuildServer.objects.filter(name=str(word)).first()
    if found is None:
        try:
            found = BuildServer.objects.filter(pk=UUID(str(word))).first()
        except ValueError:
            found = None
    if found is None:
        raise Invalid("There is no build server with this id or name.")
    if found.transport == TransportKind.LOCAL:
        raise Invalid("A jump host is reached over SSH; this server is the board's own machine.")
    if server is not None and _leads_through(found, server=server):
        raise Invalid("That server is reached through this one; a way in cannot lead through itself.")
    return found


def _leads_through(jump: BuildServer | None, *, server: BuildServer) -> bool:
    for _ in range(MAX_JUMPS):
        if jump is None:
            return False
        if jump.pk == server.pk:
            return True
        jump = jump.jump_host
    return True
