"""Signs of life."""

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from buildboard.core.heartbeat import Beat, beat, end_beat, last_beat
from buildboard.core.machine import MACHINE_VARIABLE, machine_id, process_identity
from buildboard.core.models import Heartbeat
from buildboard.core.tasks import ping

pytestmark = pytest.mark.django_db


def test_beat_is_kept_once_a_machine_and_names_its_process() -> None:
    beat("runner", data={"runner": "a"})
    beat("runner", data={"runner": "b"})

    found = last_beat("runner", machine=machine_id())

    assert found is not None
    assert found == Beat(
        name="runner",
        machine=machine_id(),
        pid=os.getpid(),
        process_started=process_identity(os.getpid()),
        data={"runner": "b"},
        beat_at=found.beat_at,
        age_seconds=found.age_seconds,
    )
    assert found.has_process
    assert 0 <= found.age_seconds < 60
    assert Heartbeat.objects.count() == 1


def test_age_is_reckoned_from_the_last_beat() -> None:
    beat("runner")
    Heartbeat.objects.update(beat_at=timezone.now() - timedelta(seconds=100))

    found = last_beat("runner")

    assert found is not None
    assert 99 < found.age_seconds < 160


def test_process_that_ended_is_told_from_one_with_its_number() -> None:
    beat("runner")
    Heartbeat.objects.update(process_started="another-1")

    found = last_beat("runner")

    assert found is not None
    assert not found.has_process


def test_newest_beat_of_any_machine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MACHINE_VARIABLE, "one")
    beat("runner")
    Heartbeat.objects.update(beat_at=timezone.now() - timedelta(seconds=100))
    monkeypatch.setenv(MACHINE_VARIABLE, "two")
    beat("runner")

    found = last_beat("runner")

    assert found is not None
    assert found.machine == "two"
    assert last_beat("runner", machine="three") is None


def test_ended_beat_leaves_nothing() -> None:
    beat("runner")
    end_beat("runner")

    assert last_beat("runner") is None


def test_ping_beats_for_its_cluster() -> None:
    ping("runner")

    assert list(Heartbeat.objects.values_list("name", flat=True)) == ["ping:runner"]
