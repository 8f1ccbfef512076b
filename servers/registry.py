"""Adds servers to the fleet, changes and removes them; what is trusted of one: its pin and its login key.

Not in charge of health and status (health.py), of slots (slots.py), or of checking what was given (fields.py).
No event and no error holds a private key.
"""

import os
import platform
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from buildboard.core.audit import Actor, record_event
from buildboard.core.crypto import encrypt, generate_ssh_key_pair
from servers import health, quarantine
from servers.architectures import canonical_architecture
from servers.checks import request_check
from servers.drains import set_draining
from servers.errors import InvalidServer, ServerConflict
from servers.fields import CheckedFields, GivenKey, check_fields
from servers.models import BuildServer
from servers.removals import refuse_jump_host
from servers.slots import fit_slots, lock_slots
from servers.states import ServerStatus, TransportKind

LOCAL_NAME = "local"
_OF_DRAIN = ("draining", "draining_reason", "draining_until")
_ADDRESS = frozenset({"hostname", "ssh_port", "ssh_username"})
# A check tells soon whether the server can still be used as it is now.
_TELLING = _ADDRESS | {"host_key", "jump_host", "work_dir", "environment", "private_key"}


def add_server(fields: Mapping[str, Any], *, actor: Actor) -> BuildServer:
    """Add a server that is reached over SSH; its host key is read at once, and waits to be accepted unless given.

    `fields` are the contract's. Without `private_key` the board makes a pair. Raises InvalidServer, and
    ServerConflict when its jump host goes just then.
    """
    checked = check_fields(fields, server=None)
    columns = checked.columns | _key_columns(checked.key, name=checked.columns["name"])
    with transaction.atomic():
        try:
            with transaction.atomic():
                server = BuildServer.objects.create(**columns)
        except IntegrityError as error:
            raise _name_taken() from error
        _check_ends(f"The jump host of {server.name} was deleted meanwhile: choose another one.")
        fit_slots(server)
        data = {"name": server.name, "hostname": server.hostname, **_trust_of(server)}
        record_event("server", subject_id=server.pk, kind="server_added", actor=actor, data=data)
        request_check(server, actor=actor)
    return server


def change_server(server: BuildServer, fields: Mapping[str, Any], *, actor: Actor) -> BuildServer:
    """Change what `fields` name and nothing else; gives the row as it is now.

    Another host, port or user is another machine: its pin goes, and with it the login key, which the board makes
    anew or which must be given again. `private_key: None` makes a new pair. Raises InvalidServer, and
    ServerConflict when builds run where the board would no longer look, or the server is gone.
    """
    with transaction.atomic():
        row = BuildServer.objects.select_for_update(of=("self",), no_key=True).filter(pk=server.pk).first()
        if row is None:
            raise ServerConflict("This server was deleted meanwhile.")
        checked = check_fields(fields, server=row)
        changes = {name: value for name, value in checked.columns.items() if getattr(row, name) != value}
        drain = {name: changes.pop(name) for name in _OF_DRAIN if name in changes}
        moved = bool(_ADDRESS & changes.keys())
        if (moved or "work_dir" in changes) and (held := lock_slots(row)):
            raise ServerConflict(
                f"{_builds(held)} on {row.name}: drain it and wait, or cancel them, to move it."
            )
        changes |= _trust_changes(row, changes, checked, moved=moved)
        if changes:
            _write(row, changes, moved=moved, actor=actor)
        if drain:
            _change_drain(row, drain, actor=actor)
    row.refresh_from_db()
    return row


def _change_drain(row: BuildServer, drain: Mapping[str, Any], *, actor: Actor) -> None:
    """What is not named stays. Raises InvalidServer for a reason or an end of a server that does not drain."""
    enabled = drain.get("draining", row.draining)
    if not enabled and (stray := next((name for name in _OF_DRAIN[1:] if drain.get(name)), "")):
        raise InvalidServer([{"field": stray, "message": "This goes with draining: set that to true, too."}])
    set_draining(
        row.pk,
        enabled=enabled,
        actor=actor,
        reason=drain.get("draining_reason", row.draining_reason),
        until=drain.get("draining_until", row.draining_until),
    )


def delete_server(server: BuildServer, *, actor: Actor, only_if_wished: bool = False) -> None:
    """Remove a server for good. Raises ServerConflict while builds run there or others are reached through it.

    `only_if_wished`: also when nobody wishes its removal any more.
    """
    with transaction.atomic():
        if only_if_wished:
            _hold_wish(server)
        refuse_while_building(server)
        refuse_jump_host(server)
        overtaken = f"{server.name} has just become the jump host of another server: look again."
        try:
            found, _ = BuildServer.objects.filter(pk=server.pk).delete()
        except ProtectedError as error:
            raise ServerConflict(overtaken) from error
        if not found:
            raise ServerConflict("This server was deleted meanwhile.")
        _check_ends(overtaken)
        data = {"name": server.name, "hostname": server.hostname}
        record_event("server", subject_id=server.pk, kind="server_deleted", actor=actor, data=data)


def refuse_while_building(server: BuildServer) -> None:
    """Raises ServerConflict while builds run there; until the caller's transaction ends none is given to it."""
    if held := lock_slots(server):
        raise ServerConflict(
            f"{_builds(held)} on {server.name}: drain it and wait, or cancel them, before you delete it."
        )


def _hold_wish(server: BuildServer) -> None:
    """Until the caller's transaction ends nobody takes the removal back. Raises ServerConflict if that is done."""
    rows = BuildServer.objects.select_for_update(of=("self",), no_key=True)
    if rows.filter(pk=server.pk, removal_requested_at__isnull=False).first() is None:
        raise ServerConflict(f"The removal of {server.name} was taken back meanwhile.")


def _check_ends(overtaken: str) -> None:
    """Have the database look now, not at the commit, whether each jump host is there. Raises ServerConflict."""
    try:
        connection.check_constraints([BuildServer._meta.db_table])
    except IntegrityError as error:
        raise ServerConflict(overtaken) from error


def accept_host_key(server: BuildServer, *, fingerprint: str, actor: Actor) -> BuildServer:
    """Pin the key that the board saw last. Raises ServerConflict unless it is the one of this fingerprint."""
    with transaction.atomic():
        row = BuildServer.objects.select_for_update(of=("self",), no_key=True).filter(pk=server.pk).first()
        if row is None:
            raise ServerConflict("This server was deleted meanwhile.")
        seen = row.seen_host_key_fingerprint
        if seen is None:
            if row.host_key and row.host_key_fingerprint == fingerprint:
                return row  # asked twice
            raise ServerConflict("The board has seen no new host key of this server. Probe it first.")
        if seen != fingerprint:
            raise ServerConflict(
                f"The server last showed {seen}, another key. Look again before you accept it."
            )
        previous = row.host_key_fingerprint
        row.host_key, row.seen_host_key = row.seen_host_key, ""
        _update(row, "host_key", "seen_host_key")
        data = {"fingerprint": seen, "previous": previous}
        record_event("server", subject_id=row.pk, kind="host_key_accepted", actor=actor, data=data)
        quarantine.forget_key(row.pk, reason="Its host key was accepted.", actor=actor)
        health.expect_probe(row.pk, reason="Its host key was accepted; a probe brings it in.", actor=actor)
        request_check(row, actor=actor)
    row.refresh_from_db()
    return row


# ---- trust ------------------------------------------------------------------------------------------------


def _trust_changes(
    row: BuildServer, changes: Mapping[str, Any], checked: CheckedFields, *, moved: bool
) -> dict[str, Any]:
    """The columns of pin and login key that change along."""
    trust: dict[str, Any] = {}
    if moved:
        trust |= {"host_key": changes.get("host_key", ""), "seen_host_key": ""}
    elif "host_key" in changes:
        trust["seen_host_key"] = ""
    if row.transport == TransportKind.LOCAL or not (moved or checked.names_key):
        return trust
    if checked.key is None and not checked.names_key and not row.key_generated:
        message = (
            "The address changes, and a key is not sent to another machine unasked: give the private key again, "
            "or null to have the board make a pair."
        )
        raise InvalidServer([{"field": "private_key", "message": message}])
    return trust | _key_columns(checked.key, name=str(changes.get("name", row.name)))


def _key_columns(key: GivenKey | None, *, name: str) -> dict[str, Any]:
    """The columns of a login key: the one that was given, or a fresh pair."""
    private, public = (
        generate_ssh_key_pair(f"buildboard-{name}") if key is None else (key.private_text, key.public_line)
    )
    return {"private_key": encrypt(private), "public_key": public, "key_generated": key is None}


def _trust_of(server: BuildServer) -> dict[str, Any]:
    """What an event may say of pin and login key."""
    return {
        "host_key": server.host_key_fingerprint,
        "login_key": server.login_key_fingerprint,
        "key_generated": server.key_generated,
    }


# ---- writing ----------------------------------------------------------------------------------------------


def _write(row: BuildServer, changes: Mapping[str, Any], *, moved: bool, actor: Actor) -> None:
    """Write changed columns with their events; what follows from them is done in the same transaction."""
    before = _trust_of(row)
    for name, value in changes.items():
        setattr(row, name, value)
    try:
        with transaction.atomic():
            _update(row, *changes)
    except IntegrityError as error:
        raise _name_taken() from error
    secret = {"private_key", "public_key", "key_generated", "seen_host_key"}
    named = sorted(changes.keys() - secret)
    if named:
        record_event(
            "server",
            subject_id=row.pk,
            kind="server_changed",
            actor=actor,
            data={"name": row.name, "what": named},
        )
    after = _trust_of(row)
    for column, kind in (("host_key", "host_key_replaced"), ("login_key", "login_key_replaced")):
        if before[column] != after[column]:
            data = {"previous": before[column], "fingerprint": after[column], "address_changed": moved}
            record_event("server", subject_id=row.pk, kind=kind, actor=actor, data=data)
    if "jump_host" in changes:
        _check_ends(f"The jump host of {row.name} was deleted meanwhile: choose another one.")
    if "max_concurrent_builds" in changes:
        fit_slots(row)
    if moved:
        health.forget_machine(row.pk, actor=actor)
    elif "seen_host_key" in changes:
        quarantine.forget_key(row.pk, reason="Another host key was pinned.", actor=actor)
    if _TELLING & changes.keys() and row.transport == TransportKind.SSH:
        request_check(row, actor=actor)


def _update(row: BuildServer, *columns: str) -> None:
    row.updated_at = timezone.now()
    values = {name: getattr(row, name) for name in (*columns, "updated_at")}
    BuildServer.objects.filter(pk=row.pk).update(**values)


def _name_taken() -> InvalidServer:
    return InvalidServer(
        [{"field": "name", "message": "Another server has this name; choose one that is free."}]
    )


def _builds(count: int) -> str:
    return "A build runs" if count == 1 else f"{count} builds run"


# ---- this machine -----------------------------------------------------------------------------------------


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
            health.set_status(server.pk, status=ServerStatus.ONLINE, reason="It is this machine.")
            server.refresh_from_db()
        elif not server.enabled:
            BuildServer.objects.filter(pk=server.pk).update(enabled=True)
            server.enabled = True
        fit_slots(server)
    return server


def disable_local_server(*, machine: str) -> None:
    """Send nothing new to this machine; what runs on it goes on."""
    BuildServer.objects.filter(transport=TransportKind.LOCAL, machine_id=machine).update(enabled=False)
