"""What a follower that died was handling."""

import uuid
from pathlib import Path

from django.conf import LazySettings

from jobs.execution.marker import CrashMarker


def test_what_was_being_handled_is_read_by_the_next(tmp_path: Path, settings: LazySettings) -> None:
    settings.DATA_DIR = tmp_path
    server, attempt = uuid.uuid4(), uuid.uuid4()
    CrashMarker(server).begin(attempt)

    assert CrashMarker(server).left_by_last() == attempt
    assert CrashMarker(uuid.uuid4()).left_by_last() is None


def test_nothing_is_left_after_the_end(tmp_path: Path, settings: LazySettings) -> None:
    settings.DATA_DIR = tmp_path
    server = uuid.uuid4()
    marker = CrashMarker(server)
    marker.begin(uuid.uuid4())
    marker.end()

    assert CrashMarker(server).left_by_last() is None


def test_without_a_place_to_write_it_has_no_effect(tmp_path: Path, settings: LazySettings) -> None:
    settings.DATA_DIR = tmp_path / "missing" / "deeper"
    marker = CrashMarker(uuid.uuid4())
    marker.begin(uuid.uuid4())

    assert marker.left_by_last() is None
