"""What the jobs of the demo board waited for, and how good the estimates of its queue have been."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from jobs.models import KeptForecast, Refusal
from jobs.queue.accuracy import Accuracy, TrackRecord
from servers.models import BuildServer
from tests.demo_jobs import Scene


def refuse(scene: Scene, found: Mapping[str, Any], servers: Mapping[str, BuildServer]) -> None:
    """What stood in the way of those whose pages are looked at, as (job, server, condition, from, to)."""
    half = scene.ago(130)
    stood: list[tuple[str, str, str, datetime | None, datetime | None]] = [
        ("queued", "build-x86-01", "quarantined", None, half),
        ("queued", "build-x86-02", "quarantined", None, half),
        ("queued", "build-x86-01", "full", half, None),
        ("queued", "build-x86-02", "full", half, None),
        ("queued", "build-x86-03", "full", scene.ago(90), None),
        ("queued", "build-x86-04", "draining", None, None),
        ("blocked", "build-rv-01", "toolchain", None, None),
        ("blocked", "build-rv-02", "toolchain", None, None),
        ("cancelled", "build-arm-02", "draining", None, scene.ago(1240)),
        ("cancelled", "build-arm-02", "full", scene.ago(1240), scene.ago(700)),
        ("failed", "build-x86-01", "full", None, found["failed"].completed_at),
        ("completed", "build-arm-01", "full", None, found["completed"].started_at),
        ("running", "build-x86-03", "full", None, found["running"].started_at),
    ]
    Refusal.objects.bulk_create(
        Refusal(
            job=found[word],
            server=servers[name],
            condition=condition,
            since=since or found[word].created_at,
            until=until,
        )
        for word, name, condition, since, until in stood
    )


def keep_forecast(now: datetime) -> None:
    """How good the estimates have been; it is too old to say when what waits now starts."""
    record = TrackRecord(starts=Accuracy(184, 71, 83), ends=Accuracy(200, 88, 81))
    made_at = now - timedelta(hours=1)
    KeptForecast.objects.create(pk=1, made_at=made_at, next_at=now, track_record=asdict(record))
