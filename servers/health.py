"""The one writer of a server's status: what a probe saw, reached or not, maintenance. Each change is an event."""

import math
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from buildboard.core.audit import BOARD, Actor, record_event
from buildboard.core.doorbell import ring_on_commit
from servers.models import BuildServer, ProbeSample, Toolchain
from servers.states import ServerStatus

_TOOLS = (
    "gcc",
    "g++",
    "clang",
    "cc",
    "make",
    "cmake",
    "ninja",
    "meson",
    "cargo",
    "rustc",
    "go",
    "node",
    "npm",
    "python3",
    "java",
    "mvn",
    "gradle",
    "autoconf",
    "bazel",
)
_LARGEST_COLUMN = 2**31 - 1  # of a PositiveIntegerField
_VERSION = re.compile(r"\d+(?:\.\d+)+")


def set_status(server_id: UUID, *, status: ServerStatus, reason: str = "", actor: Actor = BOARD) -> bool:
    """Move a server to `status`; False when it is there already (nothing is recorded then)."""
    with transaction.atomic():
        found = BuildServer.objects.filter(pk=server_id).values_list("status", flat=True).first()
        if found is None or found == status:
            return False
        now = timezone.now()
        changed = BuildServer.objects.filter(pk=server_id, status=found).update(
            status=status, status_reason=reason, status_changed_at=now, updated_at=now
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
            )
            ring_on_commit("jobs")
        return bool(changed)


def note_reached(server_id: UUID) -> None:
    """The server answered: it is no longer unreachable; in maintenance it stays so."""
    BuildServer.objects.filter(pk=server_id, unreachable_since__isnull=False).update(unreachable_since=None)
    status = BuildServer.objects.filter(pk=server_id).values_list("status", flat=True).first()
    if status in {ServerStatus.OFFLINE, ServerStatus.UNKNOWN}:
        set_status(server_id, status=ServerStatus.ONLINE, reason="It answers.")


def note_unreachable(server_id: UUID, *, reason: str) -> None:
    """The server did not answer: remember since when; builds on it are neither ended nor started again."""
    BuildServer.objects.filter(pk=server_id, unreachable_since__isnull=True).update(
        unreachable_since=timezone.now()
    )
    status = BuildServer.objects.filter(pk=server_id).values_list("status", flat=True).first()
    if status in {ServerStatus.ONLINE, ServerStatus.DEGRADED, ServerStatus.UNKNOWN}:
        set_status(server_id, status=ServerStatus.OFFLINE, reason=reason)


def set_maintenance(server_id: UUID, *, enabled: bool, actor: Actor, reason: str = "") -> bool:
    """Take a server out for maintenance, or back (it is `unknown` until the next probe)."""
    status = ServerStatus.MAINTENANCE if enabled else ServerStatus.UNKNOWN
    return set_status(server_id, status=status, reason=reason, actor=actor)


def apply_probe(server_id: UUID, *, facts: Mapping[str, str]) -> None:
    """Store what a probe saw: size, load, disk, tools. Values are the server's word: numbers or short text."""
    cores = _number(facts.get("cores"))
    total_kb, available_kb = _number(facts.get("mem.MemTotal_kb")), _number(facts.get("mem.MemAvailable_kb"))
    disk_kb, free_kb = _number(facts.get("disk.total_kb")), _number(facts.get("disk.avail_kb"))
    load = _number(facts.get("load", "").split(" ")[0])
    seen: dict[str, Any] = {
        "cpu_percent": _share(load, cores),
        "memory_percent": _used(total_kb, available_kb),
        "storage_percent": _used(disk_kb, free_kb),
    }
    now = timezone.now()
    with transaction.atomic():
        BuildServer.objects.filter(pk=server_id).update(
            **seen,
            total_cpu_cores=_whole(cores),
            total_memory_mb=_whole(total_kb, unit=1024),
            total_storage_gb=_whole(disk_kb, unit=1024 * 1024),
            boot_id=facts.get("boot_id", "")[:64],
            facts=dict(facts),
            last_health_check=now,
            updated_at=now,
        )
        ProbeSample.objects.create(server_id=server_id, at=now, **seen)
        _store_toolchains(server_id, facts)
    note_reached(server_id)


def _store_toolchains(server_id: UUID, facts: Mapping[str, str]) -> None:
    found = []
    for name in _TOOLS:
        path, _, version = facts.get(f"tool.{name}", "").partition("|")
        if path:
            found.append(
                Toolchain(server_id=server_id, name=name, path=path[:255], version=_version(version))
            )
    if not found:
        return
    Toolchain.objects.bulk_create(
        found,
        update_conflicts=True,
        unique_fields=["server", "name", "target_architecture", "path"],
        update_fields=["version", "seen_at"],
    )
    Toolchain.objects.filter(server_id=server_id, target_architecture="").exclude(
        path__in=[tool.path for tool in found]
    ).delete()


def _version(line: str) -> str:
    """The last word that looks like a version: `gcc (Debian 12.2.0-14) 12.2.0`, `openjdk version "17.0.15"`."""
    words = [word.strip('"(),v').removeprefix("go") for word in line.split()]
    return next((word for word in reversed(words) if _VERSION.fullmatch(word)), "")[:64]


def _number(text: str | None) -> float | None:
    """A finite number of at least 0; `nan`, `inf` and less are words that `float` would take too."""
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < math.inf else None


def _whole(number: float | None, *, unit: int = 1) -> int | None:
    """Whole units, when there are any and their column has room for them."""
    return int(number / unit) if number and number / unit <= _LARGEST_COLUMN else None


def _used(total: float | None, free: float | None) -> float | None:
    return None if not total or free is None else round(max(0.0, min(100.0, 100 * (1 - free / total))), 1)


def _share(load: float | None, cores: float | None) -> float | None:
    return None if not cores or load is None else round(min(100.0, 100 * load / cores), 1)
