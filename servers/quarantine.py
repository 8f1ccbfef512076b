"""The one writer of quarantines: keeps a server from builds for a growing while, and lets it back in by one build.

A quarantine of the board's own ends through a canary: once its wait is over the server gets exactly one build, whose
success ends it and whose failure, if it is the server's again, doubles the wait. One that a person set lasts until
somebody ends it, or goes on the same way when it was given an end; one for a changed host key until the key is
accepted or the pinned one is back. What runs there goes on. Who is to blame is not decided here: callers bring that.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from buildboard.core.audit import BOARD, Actor, record_event
from buildboard.core.doorbell import ring_on_commit
from buildboard.core.instants import utc_text
from buildboard.core.models import Event
from servers.errors import ServerConflict
from servers.fields import with_kept
from servers.fleet import ServerFacts, load_fleet
from servers.models import NEVER, BuildServer
from servers.states import QuarantineKind, QuarantineStage

LONGEST_SECONDS = 3600.0
GOOD_SECONDS = 3600.0  # in service, after which one doubling is forgotten
MOST_SIGNS = 20
_WITHHELD_AGAIN = timedelta(hours=1)
_NONE: dict[str, Any] = {
    "quarantined_since": None,
    "quarantined_until": None,
    "quarantine_kind": "",
    "quarantine_reason": "",
    "quarantined_by": "",
    "quarantine_signs": None,
    "canary_id": None,
}


# ---- how long, and whether at all: pure -------------------------------------------------------------------


def wait_seconds(level: int) -> float:
    """How long the quarantine of this level (from 1) keeps all builds away: doubling, an hour at most."""
    first = float(settings.QUARANTINE_SECONDS)
    return min(LONGEST_SECONDS, first * 2.0 ** min(level - 1, 30))


def level_left(level: int, *, ended_at: datetime | None, now: datetime) -> int:
    """The level that still counts: each good hour since the last quarantine ended takes one back."""
    good = (now - ended_at).total_seconds() if ended_at else 0.0
    return max(0, level - int(good // GOOD_SECONDS)) if ended_at else 0


def why_spared(server: ServerFacts, fleet: Sequence[ServerFacts]) -> str:
    """Why the board does not take this server out by itself; empty: it may.

    Of the servers in service for an architecture it takes out half at most, and never the last one: a fleet that
    fails some builds is worth more than one that builds nothing, and a fault that so many have alike is seldom
    theirs. Labels and groups do not count: what only this server could build would fail there.
    """
    others = [one for one in fleet if one.id != server.id and one.in_service]
    for architecture in sorted(server.architectures):
        peers = [one for one in others if architecture in one.architectures]
        out = [one for one in peers if one.quarantined_since is not None]
        if len(out) == len(peers):
            return f"it is the last server in service that builds {architecture}"
        if 2 * (len(out) + 1) > len(peers) + 1:
            return f"half of the servers that build {architecture} are in quarantine already"
    return ""


# ---- what the board does ----------------------------------------------------------------------------------


def quarantine_for_fault(server_id: UUID, *, reason: str, signs: Collection[str] = ()) -> bool:
    """Take a server out that was found to be at fault; False when it is out already, or must not be.

    `signs`: fingerprints of its failures, by which builds that still run there are known as its victims.
    """
    if not settings.QUARANTINE_SECONDS:
        return False
    with transaction.atomic():
        # All of them, always in one order: two at once could else each find the other one still in service.
        list(
            BuildServer.objects.select_for_update(of=("self",), no_key=True).order_by("pk").values_list("pk")
        )
        row = BuildServer.objects.filter(pk=server_id, quarantined_since__isnull=True).first()
        if row is None:
            return False
        fleet = load_fleet(tools={})
        spared = why_spared(next(one for one in fleet if one.id == server_id), fleet)
        if spared:
            _note_withheld(row, reason=f"{reason} It is not put in quarantine, since {spared}.")
            return False
        now = timezone.now()
        level = level_left(row.quarantine_level, ended_at=row.quarantine_ended_at, now=now) + 1
        until = now + timedelta(seconds=wait_seconds(level))
        kept = sorted(signs)[:MOST_SIGNS]
        _begin(row, kind=QuarantineKind.FAULT, reason=reason, until=until, level=level, quarantine_signs=kept)
    return True


def keep_longer(server_id: UUID, *, canary: UUID, reason: str, is_worse: bool = True) -> bool:
    """Its canary build came to no good: wait again, twice as long if it `is_worse`. False when it is not its canary."""
    with transaction.atomic():
        row = _on_trial(server_id, canary)
        if row is None:
            return False
        level = row.quarantine_level + is_worse if row.quarantine_level else 1
        until = timezone.now() + timedelta(seconds=wait_seconds(level))
        columns = {"quarantined_until": until, "quarantine_level": level, "canary_id": None}
        if is_worse:
            columns["quarantine_reason"] = reason
        _write(row.pk, columns)
        data = {"level": level, "until": utc_text(until)}
        record_event("server", subject_id=row.pk, kind="quarantine_extended", reason=reason, data=data)
    return True


def free_canary(server_id: UUID, *, canary: UUID) -> bool:
    """Its canary build told nothing (it was cancelled, given back, or fails elsewhere, too): it gets another one."""
    freed = BuildServer.objects.filter(pk=server_id, canary_id=canary).update(canary_id=None)
    if freed:
        ring_on_commit("queue")
    return bool(freed)


def end_by_canary(server_id: UUID, *, canary: UUID, reason: str) -> bool:
    """Its canary build went well: it is back in service. False when it is not its canary."""
    with transaction.atomic():
        row = _on_trial(server_id, canary)
        if row is not None:
            _end(row, actor=BOARD, reason=reason)
    return row is not None


def acquit(server_id: UUID, *, reason: str) -> bool:
    """It turned out that the server was not at fault: it is back at once, and as if it had never been accused."""
    with transaction.atomic():
        row = _locked(server_id)
        if row is None or row.quarantine_kind != QuarantineKind.FAULT:
            return False
        _end(row, actor=BOARD, reason=reason, level=max(0, row.quarantine_level - 1))
    return True


def take_canary(server: BuildServer, *, holder: UUID) -> bool:
    """Whether the server takes this build: always when it is in service, on trial only one. Part of a claim."""
    stage = server.quarantine_at(timezone.now())
    if stage is QuarantineStage.NONE:
        return True
    if stage is not QuarantineStage.CANARY_DUE:
        return False
    row = BuildServer.objects.filter(
        pk=server.pk, canary_id__isnull=True, quarantined_since=server.quarantined_since
    )
    return bool(row.update(canary_id=holder))


# ---- host keys --------------------------------------------------------------------------------------------


def hold_for_key(server_id: UUID, *, reason: str) -> None:
    """It shows another host key: no build until `forget_key`.

    One that is in quarantine already stays as it is, so that no decision of a person is lost when the key is back;
    nothing is sent there all the same.
    """
    with transaction.atomic():
        row = _locked(server_id)
        if row is not None and row.quarantined_since is None:
            _begin(row, kind=QuarantineKind.HOST_KEY, reason=reason, until=None, level=row.quarantine_level)


def forget_key(server_id: UUID, *, reason: str, actor: Actor = BOARD) -> None:
    """The pinned key is back, or another one is accepted."""
    with transaction.atomic():
        row = _locked(server_id)
        if row is not None and row.quarantine_kind == QuarantineKind.HOST_KEY:
            _end(row, actor=actor, reason=reason)


def forget_machine(server_id: UUID, *, actor: Actor) -> None:
    """Another machine is at its address now: what the last one did, and how often it was out, is nothing of its."""
    with transaction.atomic():
        row = _locked(server_id)
        if row is None:
            return
        if row.quarantine_kind in {QuarantineKind.FAULT, QuarantineKind.HOST_KEY}:
            _end(row, actor=actor, reason="Another machine is at its address now.", level=0)
        else:
            _write(server_id, {"quarantine_level": 0, "quarantine_ended_at": timezone.now()})


# ---- what people do ---------------------------------------------------------------------------------------


def set_quarantine(
    server_id: UUID,
    *,
    enabled: bool,
    actor: Actor,
    reason: str = "",
    until: datetime | None = None,
    kept: Collection[str] = (),
) -> bool:
    """Put a server in quarantine by hand, or end any quarantine at once; False when nothing changes.

    With `until` it then gets one build first, else it lasts until somebody ends it. Asked again while a person keeps it
    there, it has the reason and the end of now, but for those of `reason` and `until` that are `kept`; of the board's
    own quarantine nothing is. Raises ServerConflict for one whose host key changed: that ends with the key.
    """
    with transaction.atomic():
        row = _locked(server_id)
        if row is None or (not enabled and row.quarantined_since is None):
            return False
        if row.quarantine_kind == QuarantineKind.HOST_KEY:
            raise ServerConflict(
                f"{row.name} shows another host key than the pinned one: accept that key, or see to it that the "
                "pinned one shows again."
            )
        if not enabled:
            _end(row, actor=actor, reason=reason, level=0)
            return True
        if row.quarantine_kind == QuarantineKind.HAND:
            known = (row.quarantine_reason, row.quarantined_until)
            if row.quarantined_until and row.quarantined_until <= timezone.now():
                kept = set(kept) - {"until"}  # past, it would hold the server no more
            reason, until = with_kept(kept, known, reason=reason, until=until)
            if known == (reason, until):
                return False
        level = max(1, row.quarantine_level)
        _begin(row, kind=QuarantineKind.HAND, reason=reason, until=until, level=level, actor=actor)
    return True


# ---- rows -------------------------------------------------------------------------------------------------


def _locked(server_id: UUID) -> BuildServer | None:
    return BuildServer.objects.select_for_update(of=("self",), no_key=True).filter(pk=server_id).first()


def _on_trial(server_id: UUID, canary: UUID) -> BuildServer | None:
    row = _locked(server_id)
    return row if row is not None and row.canary_id == canary else None


def _begin(
    row: BuildServer,
    *,
    kind: QuarantineKind,
    reason: str,
    until: datetime | None,
    level: int,
    actor: Actor = BOARD,
    **columns: Any,
) -> None:
    begun = {
        **_NONE,
        "quarantined_since": row.quarantined_since or timezone.now(),
        "quarantined_until": until or NEVER,
        "quarantine_kind": kind,
        "quarantine_reason": reason,
        "quarantined_by": actor.name,
        "quarantine_level": level,
    }
    _write(row.pk, begun | columns)
    data = {"why": kind.label, "level": level, "until": utc_text(until) if until else None}
    record_event("server", subject_id=row.pk, kind="quarantined", actor=actor, reason=reason, data=data)


def _end(row: BuildServer, *, actor: Actor, reason: str, level: int | None = None) -> None:
    now = timezone.now()
    kept = row.quarantine_level if level is None else level
    _write(row.pk, {**_NONE, "quarantine_level": kept, "quarantine_ended_at": now})
    since = utc_text(row.quarantined_since) if row.quarantined_since else None
    data = {"why": QuarantineKind(row.quarantine_kind).label, "since": since}
    record_event("server", subject_id=row.pk, kind="quarantine_ended", actor=actor, reason=reason, data=data)


def _write(server_id: UUID, columns: dict[str, Any]) -> None:
    BuildServer.objects.filter(pk=server_id).update(**columns, updated_at=timezone.now())
    ring_on_commit("jobs")
    ring_on_commit("queue")


def _note_withheld(row: BuildServer, *, reason: str) -> None:
    """Say it, once an hour: somebody should look at a server that only stays because nothing else is left."""
    events = Event.objects.filter(subject_type="server", subject_id=str(row.pk), kind="quarantine_withheld")
    if not events.filter(at__gt=timezone.now() - _WITHHELD_AGAIN).exists():
        record_event("server", subject_id=row.pk, kind="quarantine_withheld", reason=reason)
