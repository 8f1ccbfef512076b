"""The one writer of a server's status: what a probe saw, reached or not, host keys. Each change is an event.

It is not in charge of connecting (connections.py), of taking out and back (drains.py), of the thresholds of an unwell
server (thresholds.py), of keeping what was measured (measured.py), nor of what a person changes (registry.py).
"""

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from buildboard.core.audit import BOARD, Actor, record_event
from buildboard.core.doorbell import ring_on_commit
from servers import quarantine
from servers.host_keys import HostKey, parse_host_keys
from servers.measured import (
    NOTHING_MEASURED,
    columns_of,
    forget_measures,
    keep_sample,
    own_architectures,
    store_toolchains,
    tool_facts,
)
from servers.models import BuildServer
from servers.probe import Measures, is_full, measure, troubles
from servers.starts import forget_refused_start
from servers.states import ServerStatus, TransportKind
from servers.thresholds import Assessment, assess, bands_of, readings_of
from servers.transport import HelperRefused, HostKeyMismatch, HostKeyProblem, TransportError

logger = logging.getLogger(__name__)

# A test of the connection probes twice in a second: those are no two probes in a row.
COUNTED_APART = timedelta(seconds=10)


def set_status(
    server_id: UUID,
    *,
    status: ServerStatus,
    reason: str = "",
    actor: Actor = BOARD,
    data: dict[str, Any] | None = None,
) -> bool:
    """Move a server to `status`; False when it is there already (nothing is recorded then)."""
    with transaction.atomic():
        found = BuildServer.objects.filter(pk=server_id).values_list("status", flat=True).first()
        if found is None or found == status:
            return False
        now = timezone.now()
        changed = BuildServer.objects.filter(pk=server_id, status=found).update(
            status=status,
            status_reason=reason,
            status_changed_at=now,
            status_changed_by=actor.name,
            updated_at=now,
        )
        if changed:
            record_event(
                "server",
                subject_id=server_id,
                kind="status",
                actor=actor,
                from_state=found,
                to_state=status,
                reason=reason,
                data=data,
            )
            ring_on_commit("jobs")
            ring_on_commit("queue")
        return bool(changed)


def note_reached(server_id: UUID) -> None:
    """The server answered: it is no longer unreachable. In maintenance it stays so, and out while its key is not
    the pinned one.
    """
    BuildServer.objects.filter(pk=server_id, unreachable_since__isnull=False).update(unreachable_since=None)
    server = BuildServer.objects.filter(pk=server_id).first()
    if server is not None and server.is_trusted and server.status in _AWAY:
        set_status(server_id, status=ServerStatus.ONLINE, reason="It answers.")


def note_unreachable(server_id: UUID, *, reason: str) -> None:
    """The server did not answer: remember since when; builds on it are neither ended nor started again."""
    BuildServer.objects.filter(pk=server_id, unreachable_since__isnull=True).update(
        unreachable_since=timezone.now()
    )
    status = BuildServer.objects.filter(pk=server_id).values_list("status", flat=True).first()
    if status in {ServerStatus.ONLINE, ServerStatus.DEGRADED, ServerStatus.UNKNOWN}:
        set_status(server_id, status=ServerStatus.OFFLINE, reason=reason)


def note_failure(server_id: UUID, *, error: TransportError | HelperRefused) -> None:
    """A contact failed: whose key was wrong, who is away, or who cannot work is taken out or told apart."""
    if isinstance(error, HostKeyProblem):
        of_whom = UUID(error.server_id) if error.server_id else server_id
        if _is_of_before(of_whom, error):
            return
        note_host_key(of_whom, seen=error.seen, changed=isinstance(error, HostKeyMismatch))
        if of_whom != server_id:
            note_unreachable(server_id, reason=f"Its jump host: {error}")
    elif isinstance(error, HelperRefused):
        server = BuildServer.objects.filter(pk=server_id).first()
        if server is not None:
            BuildServer.objects.filter(pk=server_id).update(unreachable_since=None)  # it answers
            reason = f"Its helper cannot work ({error}): look at the work folder and its disk."
            _put(server, status=ServerStatus.OFFLINE, reason=reason)
    else:
        note_unreachable(server_id, reason=str(error))
        server = BuildServer.objects.filter(pk=server_id).first()
        if server is not None and server.is_trusted:  # people are to read the cause of now, or of the alarm
            _put(server, status=ServerStatus.OFFLINE, reason=str(error))


_AWAY = {ServerStatus.OFFLINE, ServerStatus.UNKNOWN}

# ---- host keys --------------------------------------------------------------------------------------------


def note_host_key(server_id: UUID, *, seen: HostKey, changed: bool) -> None:
    """The server showed this key, which is not the pinned one (`changed`), or no key is pinned yet.

    Nothing was authenticated. It takes no builds until an operator accepts the key, or the pinned one shows again.
    """
    with transaction.atomic():
        server = BuildServer.objects.select_for_update(of=("self",), no_key=True).filter(pk=server_id).first()
        if server is None or server.transport == TransportKind.LOCAL or bool(server.host_key) != changed:
            return  # an operator was faster; the next contact tells
        if server.host_key == seen.line:
            return
        is_new = server.seen_host_key != seen.line
        BuildServer.objects.filter(pk=server_id).update(seen_host_key=seen.line, updated_at=timezone.now())
        if changed:
            _take_out(server, seen=seen, alarm=is_new)
            quarantine.hold_for_key(server_id, reason=f"Its host key changed: it shows {seen.fingerprint}.")
        else:
            reason = (
                f"It waits for an operator to accept its host key, {seen.kind} {seen.fingerprint}: compare it with "
                "what the server itself says of it."
            )
            _put(server, status=ServerStatus.UNKNOWN, reason=reason)


def note_pinned_key(server_id: UUID) -> None:
    """The pinned key showed itself in a new connection: an alarm about another one is over."""
    with transaction.atomic():
        over = BuildServer.objects.filter(pk=server_id).exclude(host_key="").exclude(seen_host_key="")
        if over.update(seen_host_key="", updated_at=timezone.now()):
            record_event("server", subject_id=server_id, kind="host_key_back")
            quarantine.forget_key(server_id, reason="It shows its pinned host key again.")


def _is_of_before(server_id: UUID, problem: HostKeyProblem) -> bool:
    """Whether somebody changed the address or the pin since: what was seen is of another way then."""
    server = BuildServer.objects.filter(pk=server_id).first()
    if server is None or problem.asked is None:
        return server is None
    try:
        return problem.asked != (server.hostname, server.ssh_port, parse_host_keys(server.host_key))
    except ValueError:
        return True


def _take_out(server: BuildServer, *, seen: HostKey, alarm: bool) -> None:
    pinned = server.host_key_fingerprint
    reason = (
        f"Its host key changed: {pinned} is pinned, it shows {seen.fingerprint}. Nothing is sent there. If the server "
        "was set up anew, accept the new key; if not, somebody may have put another machine in its place."
    )
    _put(server, status=ServerStatus.OFFLINE, reason=reason)
    if not alarm:
        return
    data = {"pinned": pinned, "seen": seen.fingerprint, "kind": seen.kind}
    record_event("server", subject_id=server.pk, kind="host_key_changed", reason=reason, data=data)
    extra = {"action": "host_key", "server": str(server.pk)}
    transaction.on_commit(partial(logger.error, "%s: %s", server.name, reason, extra=extra), robust=True)


def _put(server: BuildServer, *, status: ServerStatus, reason: str) -> None:
    """Move the server there, or say anew why it is there; in maintenance it stays so."""
    if server.status == ServerStatus.MAINTENANCE:
        return
    if not set_status(server.pk, status=status, reason=reason):
        BuildServer.objects.filter(pk=server.pk, status=status).update(status_reason=reason)


# ---- another machine --------------------------------------------------------------------------------------


def forget_machine(server_id: UUID, *, actor: Actor) -> None:
    """The address changed: nothing that was measured before is known of what is there now."""
    BuildServer.objects.filter(pk=server_id).update(
        **NOTHING_MEASURED, boot_id="", facts={}, strains=None, last_health_check=None, unreachable_since=None
    )
    forget_measures(server_id)
    forget_refused_start(server_id)
    quarantine.forget_machine(server_id, actor=actor)
    expect_probe(server_id, reason="Its address changed; it was not probed there yet.", actor=actor)


def expect_probe(server_id: UUID, *, reason: str, actor: Actor) -> None:
    """The status is not known until the next probe; in maintenance it stays so."""
    server = BuildServer.objects.filter(pk=server_id).first()
    if server is not None and server.status != ServerStatus.MAINTENANCE:
        set_status(server_id, status=ServerStatus.UNKNOWN, reason=reason, actor=actor)


# ---- probes -----------------------------------------------------------------------------------------------


def apply_probe(server_id: UUID, *, facts: Mapping[str, str], latency_ms: float | None = None) -> bool:
    """Store what a probe saw: size, load, disk, tools. Values are the server's word: numbers or short text.

    A light probe leaves the tools as they are. True when the machine was started anew since the last one: then its
    tools should be looked at, too.
    """
    measures = measure(facts, now=time.time())
    now = timezone.now()
    with transaction.atomic():
        server = BuildServer.objects.select_for_update(of=("self",), no_key=True).filter(pk=server_id).first()
        if server is None or not server.is_trusted:
            return False  # its address changed meanwhile: this was another machine
        rebooted = _note_boot(server, boot_id=facts.get("boot_id", "")[:64])
        known = {} if is_full(facts) else tool_facts(server.facts)
        found = _assess(
            server, measures, latency_ms=latency_ms, known={} if rebooted else server.strains, now=now
        )
        BuildServer.objects.filter(pk=server_id).update(
            **columns_of(measures),
            boot_id=facts.get("boot_id", "")[:64],
            facts=known | dict(facts),
            strains=found.strains,
            architectures=server.architectures or own_architectures(facts),
            last_health_check=now,
            updated_at=now,
        )
        keep_sample(server_id, measures, at=now, latency_ms=latency_ms)
        if is_full(facts):
            store_toolchains(server_id, facts)
        note_reached(server_id)
        _judge(server_id, unwell=" ".join((*troubles(facts), *found.sentences)))
    return rebooted


def _assess(
    server: BuildServer,
    measures: Measures,
    *,
    latency_ms: float | None,
    known: Mapping[str, Any] | None,
    now: datetime,
) -> Assessment:
    last = server.last_health_check
    bands = bands_of(
        memory_limit_percent=server.memory_limit_percent, storage_limit_percent=server.storage_limit_percent
    )
    return assess(
        known or {},
        readings_of(measures, latency_ms=latency_ms),
        bands=bands,
        counts=last is None or now - last >= COUNTED_APART,
    )


def _judge(server_id: UUID, *, unwell: str) -> None:
    """Degraded while something is wrong, with what and what to do; online again when it is not."""
    server = BuildServer.objects.get(pk=server_id)
    if unwell and server.status in {ServerStatus.ONLINE, ServerStatus.DEGRADED}:
        _put(server, status=ServerStatus.DEGRADED, reason=unwell)
    elif not unwell and server.status == ServerStatus.DEGRADED:
        set_status(server_id, status=ServerStatus.ONLINE, reason="It is well again.")


def _note_boot(server: BuildServer, *, boot_id: str) -> bool:
    if not boot_id or not server.boot_id or server.boot_id == boot_id:
        return False
    data = {"previous": server.boot_id, "boot_id": boot_id}
    record_event("server", subject_id=server.pk, kind="rebooted", reason="It was started anew.", data=data)
    return True
